"""Everything a recommender answers from, as arrays and tables; none of it needs torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.ids import unpatterned
from shortlist.errors import ConfigError, DataError
from shortlist.features import Vocabulary
from shortlist.index import Lists
from shortlist.index.heads import repeated
from shortlist.recommender.conditions import Conditions
from shortlist.recommender.fold_in import FoldIn
from shortlist.sources import Mixture, NeighbourSource, towers_of

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Buffer

    from shortlist.model import Catalogue, TwoTower
    from shortlist.recommender.grown import Room

__all__ = ["Ids", "ModelFiles", "State", "fingerprint", "known_queries", "state_from_model"]

PIECE = 4096  # ids put into a map between two rests
LISTED = 1 << 20  # up to this many ids are kept as a plain list, which answers single requests faster

Id = str | int


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """A model's stored form: JSON values, weights, and a way to its long feature states (vocabularies).

    onnx: its exported towers by side, empty before an export. optimizer, slots: what the optimizer knew in the end, under
    its name; empty where it was not kept.
    """

    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    series: Callable[[], dict[str, pl.Series]]
    onnx: Mapping[str, Buffer] = field(default_factory=dict)
    optimizer: str = ""
    slots: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Ids:
    """Raw ids by row, and rows by raw id."""

    def __init__(self, series: pl.Series) -> None:
        self.name = series.name
        self.series = unpatterned(series)

    @property
    def strings(self) -> bool:
        """Whether the ids are strings; else they are integers."""
        return self.series.dtype == pl.String

    @cached_property
    def _listed(self) -> list[Id]:
        return self.series.to_list()

    @cached_property
    def row_of(self) -> Mapping[Id, int]:
        """Raw id -> row."""
        return {value: row for row, value in enumerate(self.series.to_list())}

    def prepare(self, rest: Callable[[], None]) -> None:
        """Make at once, with rests, what look-ups would make at the first of them."""
        row_of: dict[Id, int] = {}
        listed: list[Id] = []
        keeps = len(self.series) <= LISTED
        for low in range(0, len(self.series), PIECE):
            part = self.series[low : low + PIECE].to_list()
            row_of.update(zip(part, range(low, low + len(part)), strict=True))
            if keeps:
                listed += part
            rest()
        self.__dict__ |= {"row_of": row_of, "_listed": listed} if keeps else {"row_of": row_of}

    def take(self, rows: NDArray[np.int64]) -> list[Id]:
        """The raw ids of ``rows``."""
        if len(self.series) > LISTED:
            return self.series.gather(rows).to_list()
        listed = self._listed
        return [listed[row] for row in rows.tolist()]

    def rows(self, ids: Sequence[Id | None]) -> list[int]:
        """The row of each id; -1 for one that is not there."""
        get = self.row_of.get
        return [get(value, -1) for value in ids]  # type: ignore[arg-type]  # None is never there


@dataclass(frozen=True, eq=False)
class State:
    """Tables, vectors and seen items of a trained model.

    queries, candidates: the training tables, of which ``query`` and ``candidate`` are the id columns. counts: int64
    ``[candidates]``, training interactions. known: bool ``[queries]``, whether training had any of the query. reads:
    the columns that the query tower reads. vectors: float32 ``[candidates, dim]``. query_vectors: float32
    ``[queries, dim]``, or None where the query tower reads context that only a request has; unknown_vector: float32
    ``[dim]``, of a query of which nothing is known, or None likewise. seen: per query row, the candidate rows chosen.
    buried: raw ids of candidates that were deleted since, and their rows, which stay theirs.
    live: whether candidates were added, changed or deleted since training. room: where more of them can be put.
    near: the neighbours behind the towers, where the model has some.
    """

    query: str
    candidate: str
    queries: pl.DataFrame
    candidates: pl.DataFrame
    counts: NDArray[np.int64]
    known: NDArray[np.bool_]
    reads: tuple[str, ...]
    vectors: NDArray[np.float32]
    query_vectors: NDArray[np.float32] | None
    unknown_vector: NDArray[np.float32] | None
    seen: Lists
    model: ModelFiles
    buried: Mapping[Id, int] = field(default_factory=dict)
    live: bool = False
    room: Room | None = None
    near: NeighbourSource | None = None

    @cached_property
    def dead(self) -> NDArray[np.int64]:
        """Rows of candidates that were deleted since."""
        return np.array(sorted(self.buried.values()), np.int64)

    @cached_property
    def query_ids(self) -> Ids:
        """Raw query ids."""
        return Ids(self.queries[self.query])

    @cached_property
    def candidate_ids(self) -> Ids:
        """Raw candidate ids."""
        return Ids(self.candidates[self.candidate])

    @cached_property
    def conditions(self) -> Conditions:
        """Conditions on the candidates' columns."""
        return Conditions(self.candidates)

    @cached_property
    def fold_in(self) -> FoldIn:
        """Vectors of queries from what they chose. ConfigError where no queries' vectors are stored."""
        if self.query_vectors is None:
            raise ConfigError(
                "the query tower reads columns that only a request has, so so so so there are no stored queries to fold in from.",
                hint="give those columns in the request instead",
            )
        known, dim = np.flatnonzero(self.known), self.vectors.shape[1]
        heads = self.query_vectors.shape[1] // dim
        if heads == 1:
            return FoldIn.of(self.vectors, self.query_vectors, self.counts, known, self.seen)
        of_known = (known[:, None] * heads + np.arange(heads)).ravel()  # each head as a query that chose the same
        heads_alone = self.query_vectors.reshape(-1, dim)
        return FoldIn.of(self.vectors, heads_alone, self.counts, of_known, repeated(self.seen, heads))

    @cached_property
    def popular(self) -> NDArray[np.int64]:
        """Candidate rows by training count, most chosen first; equal counts by row."""
        if not self.buried:
            return self.order
        alive = np.ones(len(self.counts), bool)
        alive[self.dead] = False
        return self.order[alive[self.order]]

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """All candidate rows by training count, also those of deleted ones."""
        return np.argsort(-self.counts, kind="stable")


def state_from_model(model: TwoTower | Mixture, seen: Dataset | None) -> State:
    """The state of a trained model. ConfigError before ``fit``; DataError where ``seen`` has other id columns."""
    from shortlist.model import state_of

    towers = towers_of(model)
    catalogue = towers.catalogue
    stored = state_of(towers)
    query_vectors = unknown = None
    if all(column in catalogue.queries.columns for column in towers.query.columns):
        query_vectors = towers.query_vectors(_without_unknown_ids(catalogue))
        schema = catalogue.queries.schema
        nothing = pl.DataFrame({name: pl.Series([None], dtype=kind) for name, kind in schema.items()})
        unknown = towers.query_vectors(nothing)[0]
    state = State(
        query=catalogue.query,
        candidate=catalogue.candidate,
        queries=catalogue.queries,
        candidates=catalogue.candidates,
        counts=catalogue.counts,
        known=catalogue.known,
        reads=towers.query.columns,
        vectors=towers.candidate_vectors(catalogue.candidates),
        query_vectors=query_vectors,
        unknown_vector=unknown,
        seen=Lists(np.zeros(len(catalogue.queries) + 1, np.int64), np.zeros(0, np.int64)),
        model=ModelFiles(
            stored.config,
            {name: _numbers(value) for name, value in stored.tensors.items()},
            lambda: stored.series,
            optimizer="" if stored.optimizer is None else stored.optimizer.kind,
            slots={}
            if stored.optimizer is None
            else {name: one.numpy() for name, one in stored.optimizer.slots.items()},
        ),
        near=NeighbourSource(model.neighbours, model.histories, model.blend) if isinstance(model, Mixture) else None,
    )
    return state if seen is None else _with_seen(state, seen)


def known_queries(state: State) -> NDArray[np.float32] | None:
    """Vectors of the queries that training had, ``[.., dim]``, one for each head; None where none are stored."""
    if state.query_vectors is None:
        return None
    return np.ascontiguousarray(state.query_vectors[state.known].reshape(-1, state.vectors.shape[1]))


def fingerprint(state: State) -> str:
    """sha256 over what was learned: dim, both sides' vectors, weights, neighbours. Files of one training share it."""
    digest = hashlib.sha256(f"dim {state.vectors.shape[1]}".encode())
    parts: dict[str, NDArray[Any]] = {"candidates": state.vectors}
    if state.query_vectors is not None and state.unknown_vector is not None:
        parts |= {"queries": state.query_vectors, "unknown": state.unknown_vector}
    if state.near is not None:
        table = state.near.neighbours
        blend = np.array([state.near.blend.share, state.near.blend.temperature, table.age, table.length])
        parts |= {
            "neighbours": table.columns,
            "neighbours' offsets": table.offsets,
            "neighbours' weights": table.weights,
            "histories": state.near.histories.values,
            "histories' offsets": state.near.histories.offsets,
            "blend": blend,
        }
    parts |= {f"weights {name}": state.model.tensors[name] for name in sorted(state.model.tensors)}
    for name, part in parts.items():
        digest.update(repr((name, part.dtype.str, part.shape)).encode())
        if part.size:
            digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _numbers(tensor: Tensor) -> NDArray[Any]:
    """A tensor as numpy; bfloat16, which numpy lacks, as float32, which holds it exactly."""
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _without_unknown_ids(catalogue: Catalogue) -> pl.DataFrame:
    """The queries, with null in place of ids that training never saw: of those only the features count."""
    if catalogue.known.all():
        return catalogue.queries
    known = pl.Series(catalogue.known)
    return catalogue.queries.with_columns(pl.when(known).then(pl.col(catalogue.query)).alias(catalogue.query))


def _with_seen(state: State, seen: Dataset) -> State:
    """The state with each query's distinct choices in ``seen`` that count as seen; ids that the catalogue lacks are left out."""
    if (seen.query, seen.candidate) != (state.query, state.candidate):
        raise DataError(
            f"seen= has ids {seen.query!r} and {seen.candidate!r}; the model was trained on {state.query!r} and "
            f"{state.candidate!r}.",
            hint="give the training data, or interactions with the same id columns",
        )
    seen = seen.seen
    rows, chosen = seen.query_rows.astype(np.int64), seen.candidate_rows.astype(np.int64)
    if seen.queries is not state.queries:
        rows = _mapped(state.query_ids, seen.queries[seen.query])[rows]
    if seen.candidates is not state.candidates:
        chosen = _mapped(state.candidate_ids, seen.candidates[seen.candidate])[chosen]
    both = (rows >= 0) & (chosen >= 0)
    keys = np.unique(rows[both] * len(state.candidates) + chosen[both])
    rows, chosen = np.divmod(keys, len(state.candidates))
    offsets = np.zeros(len(state.queries) + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=len(state.queries)), out=offsets[1:])
    return replace(state, seen=Lists(offsets, chosen))


def _mapped(ids: Ids, other: pl.Series) -> NDArray[np.int64]:
    """The row in ``ids`` of each id of another table; -1 where there is none."""
    return Vocabulary(ids.series).encode(other).astype(np.int64) - 1
