"""A recommender's data on queries and candidates, as arrays and tables; none of it needs torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.id_map import Id, IdMap
from shortlist.data.titles import titles
from shortlist.errors import DataError
from shortlist.index import Halves, Lists, whole
from shortlist.index.values import offsets_of
from shortlist.recommender.conditions import Conditions
from shortlist.recommender.tensors import BFLOAT16, as_stored, numbers_of, widened
from shortlist.sources import Added, Mixture, towers_of
from shortlist.store import roomy_zeros
from shortlist.store.allocation import trim

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from shortlist.model import Catalogue, Tower, TwoTower

__all__ = [
    "Deleted",
    "ModelFiles",
    "Popularity",
    "State",
    "fingerprint",
    "known_queries",
    "learned_arrays",
    "state_from_model",
]


PIECE = 1 << 18  # numbers of bfloat16 that are widened at a time


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """A model's stored form: JSON values, weights, and a function that reads its long feature states (vocabularies).

    Attributes:
        onnx: its exported towers by side, empty before an export.
        optimizer: the name of the optimizer whose state was kept; empty for none.
        slots: its state.
    """

    config: dict[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    series: Callable[[], dict[str, pl.Series]]
    onnx: Mapping[str, Buffer] = field(default_factory=dict)
    optimizer: str = ""
    slots: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Files that are held open as their bytes."""
        return {**vars(self), "onnx": {side: bytes(content) for side, content in self.onnx.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


@dataclass(frozen=True)
class KeptSeries:
    """Long feature states that are in memory."""

    series: dict[str, pl.Series]

    def __call__(self) -> dict[str, pl.Series]:
        return self.series


@dataclass(frozen=True, eq=False)
class Popularity:
    """How often training chose each candidate.

    Attributes:
        counts: int64 by row, of the candidates that training had.
        ordered: makes ``order``, where others may have it already.
    """

    counts: NDArray[np.int64]
    ordered: Callable[[], NDArray[np.int64]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Popularity, (self.counts,)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The rows by count, most chosen first; equal counts by row."""
        return np.argsort(-self.counts, kind="stable") if self.ordered is None else self.ordered()


class Deleted(NamedTuple):
    """A deleted candidate: its row, which stays its own, and the vector that it had."""

    row: int
    vector: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class State:
    """Tables and seen items of a trained model, by row; the candidates' vectors are in the index.

    Attributes:
        queries: the training table of queries.
        candidates: the training table of candidates, and those added since.
        query: the id column of ``queries``.
        candidate: the id column of ``candidates``.
        popularity: training counts; 0 for candidates added since.
        known: bool ``[queries]``, whether training had any interaction of the query.
        reads: the columns that the query tower reads.
        dim: the length of a candidate's vector.
        query_vectors: float32 ``[queries, heads · dim]``, or halves of them, or None where the query tower reads context that only a
            request has.
        unknown_vector: float32 ``[heads · dim]``, for a query of which nothing is known, or None likewise.
        seen: per query row, the candidate rows chosen.
        near: the sources that a mixture adds to its towers.
        deleted: the deleted candidates, by raw id.
        live: whether candidates were added, changed or deleted since training.
        changed_rows: rows of candidates that were added or changed since and are not deleted, rising.
    """

    query: str
    candidate: str
    queries: pl.DataFrame
    candidates: pl.DataFrame
    query_ids: IdMap
    candidate_ids: IdMap
    popularity: Popularity
    known: NDArray[np.bool_]
    reads: tuple[str, ...]
    dim: int
    query_vectors: NDArray[np.float32] | Halves | None
    unknown_vector: NDArray[np.float32] | None
    seen: Lists
    model: ModelFiles
    near: Added | None = None
    deleted: Mapping[Id, Deleted] = field(default_factory=dict)
    live: bool = False
    changed_rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def size(self) -> int:
        """Rows of the candidates' table, those of deleted ones included."""
        return len(self.candidates)

    @property
    def history_columns(self) -> tuple[str, ...]:
        """The columns from which the query tower reads a query's own history."""
        features = self.model.config["query"]["features"]
        return tuple(one["state"]["column"] for one in features if one["kind"] == "History")

    @cached_property
    def dead(self) -> NDArray[np.int64]:
        """Rows of candidates that were deleted since, rising."""
        return np.array(sorted(one.row for one in self.deleted.values()), np.int64)

    @cached_property
    def conditions(self) -> Conditions:
        """Conditions on the candidates' columns."""
        return Conditions(self.candidates)

    @cached_property
    def titles(self) -> pl.Series | None:
        """The title of each candidate, to show; None where there is none, or where titles are the ids."""
        return titles(self.candidates, self.candidate)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Training counts of all candidate rows; not to be written to."""
        trained = self.popularity.counts
        return np.concatenate([trained, np.zeros(self.size - len(trained), np.int64)]) if self._has_added else trained

    @cached_property
    def popular(self) -> NDArray[np.int64]:
        """Candidate rows by training count, most chosen first; equal counts by row."""
        order = self.popularity.order
        if self._has_added:  # a candidate added since has a count of 0, and comes after all others
            order = np.concatenate([order, np.arange(len(order), self.size)])
        if not self.deleted:
            return order
        alive = np.ones(self.size, bool)
        alive[self.dead] = False
        return order[alive[order]]

    @property
    def _has_added(self) -> bool:
        return self.size > len(self.popularity.counts)

    def rows_of(self, ids: Sequence[Id | None]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The row of each query id, -1 where the table has none, and whether training had it."""
        rows = np.array(self.query_ids.rows(ids), np.int64)
        return rows, (rows >= 0) & self.known[rows]


def state_from_model(model: TwoTower | Mixture, seen: Dataset | None) -> tuple[State, NDArray[np.float32] | Halves]:
    """The state of a trained model, and its candidates' vectors ``[candidates, dim]``. ConfigError before ``fit``; DataError where ``seen`` has other id columns."""
    from shortlist.model import state_of

    towers = towers_of(model)
    catalogue = towers.catalogue
    stored = state_of(towers)
    query_vectors = unknown = None
    if all(column in catalogue.queries.columns for column in towers.query.columns):
        query_vectors = _kept(towers.query, towers.query_vectors(_without_unknown_ids(catalogue)))
        schema = catalogue.queries.schema
        nothing = pl.DataFrame({name: pl.Series([None], dtype=kind) for name, kind in schema.items()})
        unknown = towers.query_vectors(nothing)[0]
        trim()
    vectors = _kept(towers.candidate, towers.candidate_vectors(catalogue.candidates))
    state = State(
        query=catalogue.query,
        candidate=catalogue.candidate,
        queries=catalogue.queries,
        candidates=catalogue.candidates,
        query_ids=IdMap(catalogue.queries[catalogue.query]),
        candidate_ids=IdMap(catalogue.candidates[catalogue.candidate]),
        popularity=Popularity(catalogue.counts),
        known=catalogue.known,
        reads=towers.query.columns,
        dim=int(vectors.shape[1]),
        query_vectors=query_vectors,
        unknown_vector=unknown,
        seen=Lists(np.zeros(len(catalogue.queries) + 1, np.int64), np.zeros(0, np.int64)),
        model=ModelFiles(
            stored.config,
            {name: numbers_of(value) for name, value in stored.tensors.items()},
            KeptSeries(stored.series),
            optimizer="" if stored.optimizer is None else stored.optimizer.kind,
            slots={}
            if stored.optimizer is None
            else {name: numbers_of(one) for name, one in stored.optimizer.slots.items()},
        ),
        near=model.added if isinstance(model, Mixture) else None,
    )
    return state if seen is None else _with_seen(state, seen), vectors


def _kept(tower: Tower, vectors: NDArray[np.float32]) -> NDArray[np.float32] | Halves:
    """A tower's vectors as they are kept: halves where its tables are bfloat16 and the vectors lose nothing by it."""
    halves = Halves.of(vectors) if tower.storage.dtype == "bfloat16" else None
    return vectors if halves is None else halves


def known_queries(state: State) -> NDArray[np.float32] | None:
    """Vectors of the queries that training had, ``[.., dim]``, one for each head; None where none are stored."""
    if state.query_vectors is None:
        return None
    if state.known.all():
        return whole(state.query_vectors).reshape(-1, state.dim)
    shape = (int(np.count_nonzero(state.known)), state.query_vectors.shape[1])
    chosen = roomy_zeros(shape, state.query_vectors.dtype)
    np.compress(state.known, whole(state.query_vectors), axis=0, out=chosen)
    return chosen.reshape(-1, state.dim)


def learned_arrays(
    state: State, vectors: NDArray[np.float32] | Halves, weights: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays that were learned, by name: both sides' vectors, neighbours, weights.

    Args:
        vectors: the candidates', ``[candidates, dim]``, by row.
    """
    yield "candidates", as_stored(vectors)
    if state.query_vectors is not None and state.unknown_vector is not None:
        yield "queries", as_stored(state.query_vectors)
        yield "unknown", state.unknown_vector
    if state.near is not None:
        yield from _added_arrays(state.near)
    for name in sorted(weights):
        yield f"weights {name}", weights[name]


def _added_arrays(added: Added) -> Iterator[tuple[str, NDArray[Any]]]:
    """Arrays of the sources that a mixture adds to its towers, by name; a pair keeps its earlier names."""
    pair = added.pair
    for number, table in enumerate(added.tables):
        name = "neighbours" if pair is not None else f"neighbours {number}"
        yield name, table.columns
        yield f"{name}' offsets", table.offsets
        yield f"{name}' weights", table.weights
    yield "histories", added.histories.values
    yield "histories' offsets", added.histories.offsets
    if pair is not None:
        (table,) = added.tables
        yield "blend", np.array([pair.share, pair.temperature, table.age, table.length])
        return
    for number, ranked in enumerate(added.lists):
        yield f"list {number}", ranked.rows
        yield f"list {number}' offsets", ranked.offsets
        settings = repr((ranked.kind, ranked.by, ranked.values, ranked.length, ranked.newest))
        yield f"list {number}' settings", np.frombuffer(settings.encode(), np.uint8)
    yield "weights of sources", np.array(added.weights.values, np.float64)
    yield "temperatures", np.array(added.weights.temperatures, np.float64)
    for most, weights in added.by_history:
        yield f"weights of sources for {most} at most", np.array(weights.values, np.float64)
    if added.quotas:
        yield "quotas", np.array(added.quotas, np.float64)
    if added.stage is not None:
        yield from added.stage.arrays.items()
        groupings = added.stage.features.groupings
        settings = repr((added.stage.depth, added.stage.features.total, added.stage.features.length, groupings))
        yield "stage's settings", np.frombuffer(settings.encode(), np.uint8)
    yield "tables' settings", np.array([(table.age, table.length) for table in added.tables], np.float64)
    yield "further towers", np.frombuffer("".join(added.towers).encode(), np.uint8)


def fingerprint(state: State, vectors: NDArray[np.float32] | Halves) -> str:
    """sha256 over what was learned. Files of one training share it.

    Args:
        vectors: as for ``learned_arrays``.
    """
    digest = hashlib.sha256(f"dim {state.dim}".encode())
    for name, part in learned_arrays(state, vectors, state.model.tensors):
        numbers = np.ascontiguousarray(part).reshape(-1)
        digest.update(repr((name, widened(numbers[:0]).dtype.str, part.shape)).encode())
        at_a_time = PIECE if part.dtype == BFLOAT16 else max(1, len(numbers))
        for low in range(0, len(numbers), at_a_time):
            digest.update(widened(numbers[low : low + at_a_time]).view(np.uint8).data)
    return digest.hexdigest()


def _without_unknown_ids(catalogue: Catalogue) -> pl.DataFrame:
    """The queries, with null in place of ids that training never saw: for those only the features count."""
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
        rows = state.query_ids.find(seen.queries[seen.query])[rows]
    if seen.candidates is not state.candidates:
        chosen = state.candidate_ids.find(seen.candidates[seen.candidate])[chosen]
    both = (rows >= 0) & (chosen >= 0)
    keys = np.unique(rows[both] * len(state.candidates) + chosen[both])
    rows, chosen = np.divmod(keys, len(state.candidates))
    return replace(state, seen=Lists(offsets_of(np.bincount(rows, minlength=len(state.queries))), chosen))
