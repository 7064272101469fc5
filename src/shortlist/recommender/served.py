"""The value that a recommender answers from: it never changes; a live change makes another one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.errors import ConfigError, checked_list, did_you_mean
from shortlist.index import Halves, Index, accepts_halves, choose_index, held_vectors, whole
from shortlist.index.checks import check_stored
from shortlist.index.heads import repeated
from shortlist.language import counted
from shortlist.recommender.embedding import Embedder
from shortlist.recommender.exported import exported
from shortlist.recommender.fold_in import FoldIn, Prior
from shortlist.recommender.state import State, fingerprint, known_queries, state_from_model
from shortlist.sources import Mixture
from shortlist.store.allocation import trim

if TYPE_CHECKING:
    from shortlist.model import TwoTower

__all__ = ["Policy", "PriorOnce", "Served", "served_from_model", "with_exports"]

COLD_START = ("auto", "unknown", "popularity", "refuse")
FALLBACKS = ("popularity",)


@dataclass(frozen=True)
class Policy:
    """The policy for queries and lists that the towers alone do not answer.

    Attributes:
        cold_start: one of ``COLD_START``, for a query without an interaction in training.
        fallback: the sources that fill lists shorter than k, in order.
    """

    cold_start: str
    fallback: tuple[str, ...]

    @classmethod
    def of(cls, cold_start: str, fallback: Sequence[str]) -> Policy:
        """The policy that a caller names. ConfigError for unknown words."""
        _check_choice("cold_start", cold_start, COLD_START)
        fallback = checked_list(fallback, "Recommender(fallback=)", "names", str)
        for name in fallback:
            _check_choice("fallback", name, FALLBACKS)
        return cls(cold_start, tuple(fallback))

    def answered_by_model(self, served: Served) -> bool:
        """Whether the model answers an unknown query: not under "popularity", and not under "auto" if it reads ids
        alone and has no weights for queries without a history."""
        if self.cold_start == "auto":
            near = served.state.near
            return served.reads != (served.state.query,) or (near is not None and bool(near.by_history))
        return self.cold_start != "popularity"


class PriorOnce:
    """The prior of folding in, computed when it is first needed; values with the same candidates deleted share it."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._prior: Prior | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return PriorOnce, ()  # a copy computes its own

    @property
    def made(self) -> bool:
        """Whether it was computed."""
        return self._prior is not None

    def get(self, make: Callable[[], Prior]) -> Prior:
        """The prior; ``make`` is called if it was not computed yet."""
        with self._making:
            if self._prior is None:
                self._prior = make()
            return self._prior


@dataclass(frozen=True, eq=False)
class Served:
    """A trained model, ready to answer from.

    The index knows candidates by their rows in the state's table. The value never changes: a caller that holds it can
    answer from it even after the recommender has another one.

    Attributes:
        fingerprint: a digest of what was learned.
        reason: why this index was chosen.
        metadata: values about the training, which the bundle keeps.
        origin: of a loaded bundle its checksum, its time and the version that wrote it.
        others: of a mixture, what its further towers answer from; each has the same rows of queries and candidates.
    """

    state: State
    index: Index
    embedder: Embedder
    policy: Policy
    fingerprint: str
    reason: str
    metadata: dict[str, Any] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    prior: PriorOnce = field(default_factory=PriorOnce, repr=False)
    others: tuple[Served, ...] = ()

    def __str__(self) -> str:
        state = self.state
        return (
            f"{counted(state.size, 'candidate')} · {counted(len(state.queries), 'query')} · "
            f"{len(state.seen.values):,} seen · {type(self.index).__name__}: {self.reason}"
        )

    @property
    def reads(self) -> tuple[str, ...]:
        """The queries' columns that any source reads."""
        return self._reads(() if self.state.near is None else self.state.near.reads)

    @property
    def reads_in_all(self) -> tuple[str, ...]:
        """The same, and those that a second stage reads."""
        return self._reads(() if self.state.near is None else self.state.near.reads_in_all)

    def _reads(self, added: Sequence[str]) -> tuple[str, ...]:
        names = (*self.state.reads, *(name for one in self.others for name in one.state.reads), *added)
        return tuple(dict.fromkeys(names))

    def check_column(self, values: pl.Series) -> None:
        """DataError for values of a queries' column that a tower, a ranked list or a second stage does not take."""
        for one in (self, *self.others):
            if values.name in one.state.reads:
                one.embedder.columns("query").check(values)
        if self.state.near is not None:
            self.state.near.check_column(values)

    @property
    def history_columns(self) -> tuple[str, ...]:
        """The columns from which any of the towers reads a query's own history."""
        if not self.others:
            return self.state.history_columns
        return tuple(dict.fromkeys(name for one in (self, *self.others) for name in one.state.history_columns))

    def vectors_of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of candidate rows, ``[rows, dim]``; for a deleted candidate its last one."""
        return _vectors_of(self.state, self.index, rows)

    @property
    def vectors(self) -> NDArray[np.float32] | Halves:
        """The vectors of all candidate rows, ``[candidates, dim]``, as they are kept; not to be written to."""
        if not self.state.live:
            return held_vectors(self.index)
        return self.vectors_of(np.arange(self.state.size))

    @property
    def folds_at_once(self) -> bool:
        """Whether a vector is folded in without a computation over all candidates before it."""
        return self.prior.made and all(one.folds_at_once for one in self.others)

    @property
    def fold_in_is_unprepared(self) -> bool:
        """Whether ``prepare_fold_in`` has something to compute."""
        own = self.state.query_vectors is not None and not self.prior.made
        return own or any(one.fold_in_is_unprepared for one in self.others)

    def prepare_fold_in(self) -> None:
        """Compute what folding in needs before its first vector; nothing where no vector is folded in."""
        if self.state.query_vectors is not None:
            _ = self.fold_in
        for one in self.others:
            one.prepare_fold_in()

    @cached_property
    def fold_in(self) -> FoldIn:
        """Vectors of queries from what they chose. ConfigError where no queries' vectors are stored."""
        state = self.state
        vectors_of = partial(_vectors_of, state, self.index)
        if state.query_vectors is None:
            raise ConfigError(
                "the query tower reads columns that only a request has, so there are no stored queries to fold in from.",
                hint="give those columns in the request instead",
            )
        return FoldIn(self.prior.get(partial(_prior, state, vectors_of)), vectors_of)


def served_from_model(model: TwoTower | Mixture, index: Index | None, seen: Dataset | None, policy: Policy) -> Served:
    """The value that a trained model answers from; see ``Recommender``."""
    trim()  # what training took, and each step below, before the next one takes more
    state, vectors = state_from_model(model, seen)
    trim()
    others: tuple[Served, ...] = ()
    if isinstance(model, Mixture):
        others = tuple(served_from_model(one, index, None, policy) for one in model.others)
    if others and state.near is not None:
        state = replace(state, near=replace(state.near, towers=tuple(one.fingerprint for one in others)))
    if state.query_vectors is not None:
        check_stored(state.query_vectors, "the queries' vectors")
    reason = "asked for"
    if index is None:
        index, reason = choose_index(*vectors.shape)
    if isinstance(vectors, Halves) and accepts_halves(index):
        built: Index = index.build(vectors)  # type: ignore[arg-type]
    else:
        built = index.build(whole(vectors), queries=known_queries(state))
    tuning = getattr(built, "tuning", None)
    reason = reason if tuning is None else tuning.reason
    trim()
    embedder = Embedder(state, model, others=[one.embedder for one in others])
    return Served(state, built, embedder, policy, fingerprint(state, vectors), reason, others=others)


def with_exports(served: Served) -> Served:
    """The same with both towers as ONNX; see ``Recommender.export``."""
    onnx = exported(served.embedder.towers)
    state = replace(served.state, model=replace(served.state.model, onnx=onnx))
    others = tuple(map(with_exports, served.others))
    embedder = served.embedder.with_exports(onnx, [one.embedder for one in others])
    return replace(served, state=state, embedder=embedder, others=others)


def _vectors_of(state: State, index: Index, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vectors of candidate rows, deleted ones included."""
    dead = np.isin(rows, state.dead) if state.deleted else None
    if dead is None or not dead.any():
        return index.vectors_of(rows)
    vectors = np.empty((len(rows), state.dim), np.float32)
    vectors[~dead] = index.vectors_of(rows[~dead])
    last = {one.row: one.vector for one in state.deleted.values()}
    for place in np.flatnonzero(dead).tolist():
        vectors[place] = last[int(rows[place])]
    return vectors


def _prior(state: State, vectors_of: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> Prior:
    """The prior for new queries, from the trained ones."""
    assert state.query_vectors is not None
    known = np.flatnonzero(state.known)
    heads = state.query_vectors.shape[1] // state.dim
    if heads == 1:
        return Prior.of(vectors_of, state.query_vectors, state.counts, known, state.seen, deleted=state.dead)
    of_known = (known[:, None] * heads + np.arange(heads)).ravel()  # each head as a query that chose the same
    heads_alone = state.query_vectors.reshape(-1, state.dim)
    return Prior.of(vectors_of, heads_alone, state.counts, of_known, repeated(state.seen, heads), deleted=state.dead)


def _check_choice(option: str, value: str, known: Sequence[str]) -> None:
    """Check an option of the policy.

    Raises:
        ConfigError: for an unknown one.
    """
    if value not in known:
        raise ConfigError(f"Recommender got {option}={value!r}.", hint=did_you_mean(str(value), known))
