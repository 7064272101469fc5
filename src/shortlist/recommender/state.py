"""Everything a recommender answers from, as arrays and tables; none of it needs torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.errors import DataError
from shortlist.features import Vocabulary
from shortlist.index import Lists

if TYPE_CHECKING:
    from shortlist.model import TwoTower

__all__ = ["ModelFiles", "State", "state_from_model"]


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """A model's stored form: JSON values, weights, and long feature states."""

    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    series: dict[str, pl.Series]


@dataclass(frozen=True, eq=False)
class State:
    """Tables, vectors and seen items of a trained model.

    queries, candidates: the training tables. counts: int64 ``[candidates]``, training interactions. known: bool
    ``[queries]``. query_vectors: float32 ``[queries, dim]``, or None where the query tower reads context that only a
    request has. unknown_vector: float32 ``[dim]``, of a query with nothing known, or None likewise. seen: per query
    row, the candidate rows chosen.
    """

    query: str
    candidate: str
    queries: pl.DataFrame
    candidates: pl.DataFrame
    counts: NDArray[np.int64]
    known: NDArray[np.bool_]
    query_vectors: NDArray[np.float32] | None
    unknown_vector: NDArray[np.float32] | None
    seen: Lists
    model: ModelFiles

    @cached_property
    def query_vocabulary(self) -> Vocabulary:
        """Raw query id -> row + 1."""
        return Vocabulary(self.queries[self.query])

    @cached_property
    def candidate_vocabulary(self) -> Vocabulary:
        """Raw candidate id -> row + 1."""
        return Vocabulary(self.candidates[self.candidate])

    @cached_property
    def candidate_ids(self) -> pl.Series:
        """Raw ids by candidate row."""
        return self.candidates[self.candidate]

    @cached_property
    def popular(self) -> NDArray[np.int64]:
        """Candidate rows by training count, most chosen first; equal counts by row."""
        return np.argsort(-self.counts, kind="stable")


def state_from_model(model: TwoTower, seen: Dataset | None) -> tuple[State, NDArray[np.float32]]:
    """The state of a trained model, and its candidates' vectors ``[candidates, dim]``."""
    from shortlist.model import state_of

    catalogue = model.catalogue
    stored = state_of(model)
    files = ModelFiles(stored.config, {name: value.numpy() for name, value in stored.tensors.items()}, stored.series)
    query_vectors = unknown = None
    if all(column in catalogue.queries.columns for column in model.query.columns):
        query_vectors = model.query_vectors(catalogue.queries)
        nothing = pl.DataFrame({name: pl.Series([None], dtype=kind) for name, kind in catalogue.queries.schema.items()})
        unknown = model.query_vectors(nothing)[0]
    state = State(
        catalogue.query,
        catalogue.candidate,
        catalogue.queries,
        catalogue.candidates,
        catalogue.counts,
        catalogue.known,
        query_vectors,
        unknown,
        Lists(np.zeros(len(catalogue.queries) + 1, np.int64), np.zeros(0, np.int64)),
        files,
    )
    return (state if seen is None else _with_seen(state, seen)), model.candidate_vectors(catalogue.candidates)


def _with_seen(state: State, seen: Dataset) -> State:
    """The state with each query's distinct choices in ``seen``; ids that training did not have are left out."""
    from dataclasses import replace

    if (seen.query, seen.candidate) != (state.query, state.candidate):
        raise DataError(
            f"seen= has ids {seen.query!r} and {seen.candidate!r}; the model was trained on {state.query!r} and "
            f"{state.candidate!r}."
        )
    own = seen.queries is state.queries and seen.candidates is state.candidates
    rows, chosen = seen.query_rows.astype(np.int64), seen.candidate_rows.astype(np.int64)
    if not own:
        rows = state.query_vocabulary.encode(seen.queries[seen.query]).astype(np.int64)[rows] - 1
        chosen = state.candidate_vocabulary.encode(seen.candidates[seen.candidate]).astype(np.int64)[chosen] - 1
    both = (rows >= 0) & (chosen >= 0)
    keys = np.unique(rows[both] * len(state.candidates) + chosen[both])
    rows, chosen = np.divmod(keys, len(state.candidates))
    offsets = np.zeros(len(state.queries) + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=len(state.queries)), out=offsets[1:])
    return replace(state, seen=Lists(offsets, chosen))


def fingerprint(state: State, candidate_vectors: NDArray[np.float32]) -> str:
    """sha256 over what was learned: both sides' vectors and the weights. Index and model of one training share it."""
    digest = hashlib.sha256()
    parts = [candidate_vectors, *([] if state.query_vectors is None else [state.query_vectors])]
    parts += [state.model.tensors[name] for name in sorted(state.model.tensors)]
    for part in parts:
        digest.update(repr((part.dtype.str, part.shape)).encode())
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
