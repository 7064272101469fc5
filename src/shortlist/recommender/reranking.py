"""Lists put together by the rules of a ``Rerank``, in candidate rows."""

from __future__ import annotations

import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import Id
from shortlist.errors import DataError, ShortlistWarning, did_you_mean
from shortlist.index import Lists
from shortlist.recommender.answers import EXPLORED, MODEL, PINNED, Answers, answered
from shortlist.recommender.exploring import Explored
from shortlist.recommender.pool_cells import PoolCells, each
from shortlist.recommender.requests import candidate_rows, exact_ids
from shortlist.recommender.rerank import Rerank
from shortlist.recommender.served import Served
from shortlist.recommender.state import State
from shortlist.sources import Context, Filters, Scale

__all__ = ["Asked", "check_rules", "countable", "pool_size", "reranked", "warn_of_unknown_pins"]

POOL, POOL_OF_K = 200, 4  # candidates that the rules choose among: so many, or so many times k
GROWTH = 4  # times: how much larger the pool is each time that at_most has left too few of it
PLACES = 32  # of a list, which take about a millisecond to fill
DRAWN_FROM = 4  # times the places to explore: the best of the explored candidates that are drawn from

RowsOf: TypeAlias = (
    "Callable[[str, str], NDArray[np.int64]]"  # from a condition and its option to the rows that meet it
)


@dataclass(frozen=True, eq=False)
class Asked:
    """The queries of one request, as ``answered`` takes them.

    Attributes:
        within: candidate rows that are searched alone; None for all that the filters leave.
        scale: what a mixture's scores are shares of, once a search has made it.
    """

    served: Served
    vectors: NDArray[np.float32]
    filters: Filters
    by_model: Sequence[bool]
    context: Context | None
    fallback: Sequence[str]
    within: NDArray[np.int64] | None = None
    scale: Scale | None = None

    def best(self, k: int, rows: NDArray[np.int64] | None = None) -> Answers:
        """The k best of each query; of these rows alone, where given."""
        within = self.inside(rows).within
        return answered(
            self.served, self.vectors, k, self.filters, self.by_model, self.context, self.fallback, within, self.scale
        )

    def scaled(self, k: int) -> Asked:
        """The same with the scale of a search for the k best, where the model is a mixture."""
        return self if self.served.state.near is None else replace(self, scale=self.best(k).scale)

    def inside(self, rows: NDArray[np.int64] | None) -> Asked:
        """The same in these rows alone; None for no other limit."""
        if rows is None:
            return self
        return replace(self, within=rows if self.within is None else np.intersect1d(rows, self.within))

    def one(self, number: int) -> Asked:
        """One of the queries."""
        exclude, part = self.filters.exclude, slice(number, number + 1)
        return replace(
            self,
            filters=self.filters if exclude is None else replace(self.filters, exclude=Lists.of([exclude.row(number)])),
            context=None if self.context is None else self.context.one(number),
            vectors=self.vectors[part],
            by_model=list(self.by_model[part]),
            scale=None if self.scale is None else self.scale.of(part),
        )


def pool_size(k: int) -> int:
    """How many candidates the rules choose among, of each group that ``boost`` lifts alike."""
    return max(POOL, POOL_OF_K * k)


def countable(kind: pl.DataType) -> bool:
    """Whether ``at_most`` can count the values of a column: plain ones, or lists of them."""
    inner = kind.inner if isinstance(kind, pl.List) else kind
    return not (inner.is_nested() or inner == pl.Object)


def reranked(
    asked: Asked,
    rules: Rerank,
    ids: Sequence[Id | None],
    k: int,
    met: Mapping[str, NDArray[np.int64]] | None = None,
    pause: Callable[[], object] = lambda: None,
) -> Answers:
    """The lists of all queries by the rules.

    Args:
        asked: the queries.
        rules: for each list.
        ids: the queries' raw ids; exploration draws by them.
        k: the length of the lists.
        met: the rows that meet each of the rules' conditions; None computes them here.
        pause: called before each list, and each time that ``PLACES`` of its places are filled.

    Raises:
        DataError: a column or a condition that the candidates' table does not fit; an id of another type.
    """
    state = asked.served.state
    _check_columns(rules, state.candidates)
    rows_of = state.conditions.rows if met is None else lambda condition, option: met[condition]
    k = min(k, max([len(state.candidates), *rules.places]))  # longer lists would cost more, and be no longer
    size = pool_size(k)
    boosts = _Boosts.of(state, rules, rows_of)
    if boosts.groups:  # each is searched by itself: all need one scale
        asked = asked.scaled(k)
        pools = boosts.pools(asked, size)
    else:
        found = asked.best(size)
        asked, pools = replace(asked, scale=found.scale), _Pool.each(found)
    pinned = _pinned(asked, rules, k)
    explored = _explored(asked, rules, k, rows_of)
    lists = []
    for number, name in enumerate(ids):
        pause()
        one = _List(asked.one(number), rules, k, name, boosts, pools[number].spans(k), pause)
        lists.append(one.filled(pools[number], pinned[number], explored[number]))
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(one) for one in lists], out=offsets[1:])
    items = [item for one in lists for item in one]
    return Answers(
        offsets,
        np.array([row for row, _, _ in items], np.int64),
        np.array([score for _, score, _ in items], np.float64),
        np.array([source for _, _, source in items], np.uint8),
        asked.scale,
    )


def check_rules(rules: Rerank, state: State) -> None:
    """DataError for rules that the candidates' table does not fit: a column, a condition, or an id of another type."""
    _check_columns(rules, state.candidates)
    candidate_rows(rules.places.values(), state.candidate_ids, "pin")
    for condition in rules.boost:
        state.conditions.rows(condition, "boost")
    if rules.explore_where is not None:
        state.conditions.rows(rules.explore_where, "explore_where")


def warn_of_unknown_pins(rules: Rerank, state: State) -> None:
    """A ShortlistWarning for pinned ids that the catalogue lacks; ``stacklevel`` is that of a method's caller."""
    places = rules.places
    rows = state.candidate_ids.rows(exact_ids(places.values(), state.candidate_ids, "pin"))
    missing = [one for one, row in zip(places.values(), rows, strict=True) if row < 0]
    if missing:
        warnings.warn(
            f"pin: the catalogue does not have {missing[0]!r} ({len(missing)} of {len(places)} are missing); their places are "
            "filled as others.\nhint: ids are compared exactly, including their type; candidate_ids lists them",
            ShortlistWarning,
            stacklevel=3,
        )


def _check_columns(rules: Rerank, table: pl.DataFrame) -> None:
    """DataError for a column of ``at_most`` that the candidates lack, or whose values cannot be counted."""
    for column in rules.at_most:
        if column not in table.columns:
            raise DataError(
                f"at_most: the candidates have no column {column!r}.", hint=did_you_mean(column, table.columns)
            )
        if not countable(table.schema[column]):
            raise DataError(
                f"at_most: the candidates' column {column!r} is of type {table.schema[column]}; plain values, or lists of "
                "them, were expected."
            )


@dataclass(frozen=True, eq=False)
class _Pool:
    """Candidates of one query, best first: by the model, then by the fallback."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    sources: NDArray[np.uint8]

    @classmethod
    def of(cls, answers: Answers, number: int) -> _Pool:
        """One list of some."""
        part = slice(answers.offsets[number], answers.offsets[number + 1])
        rows = answers.rows[part]
        sources = np.full(len(rows), MODEL, np.uint8) if answers.sources is None else answers.sources[part]
        return cls(rows, answers.scores[part].astype(np.float64), sources)

    @classmethod
    def empty(cls) -> _Pool:
        """No candidates."""
        return cls(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8))

    @classmethod
    def each(cls, answers: Answers) -> list[_Pool]:
        """Every list."""
        return [cls.of(answers, number) for number in range(len(answers))]

    @classmethod
    def joined(cls, parts: list[_Pool]) -> _Pool:
        """Several pools of one query as one."""
        return cls(*(np.concatenate([getattr(one, name) for one in parts]) for name in ("rows", "scores", "sources")))

    def spans(self, k: int) -> dict[int, float]:
        """The distance between the best and the k-th score of each source; 1 where there is none."""
        highest = {
            source: np.sort(self.scores[self.sources == source])[::-1][:k]
            for source in np.unique(self.sources).tolist()
        }
        return {source: float(scores[0] - scores[-1]) or 1.0 for source, scores in highest.items()}

    def sorted(self) -> _Pool:
        """Best first; equal scores by row."""
        order = np.lexsort((self.rows, -self.scores, self.sources))
        return _Pool(self.rows[order], self.scores[order], self.sources[order])

    def without(self, rows: Iterable[int]) -> _Pool:
        """Less some rows."""
        rows = [*rows]
        if not rows:
            return self
        kept = ~np.isin(self.rows, np.array(rows, np.int64))
        return _Pool(self.rows[kept], self.scores[kept], self.sources[kept])

    def relevance(self) -> NDArray[np.float64]:
        """From 1 for the best to 0 for the last of the first source's candidates; below 0, by place, for the others'."""
        if not len(self.rows):
            return self.scores
        first = self.sources == self.sources[0]
        most, least = self.scores[first].max(), self.scores[first].min()
        scaled = (self.scores - least) / (most - least) if most > least else np.zeros(len(self.rows))
        place = np.arange(1, len(self.rows) + 1) / len(self.rows)
        return np.where(first, scaled, -place)


@dataclass(frozen=True, eq=False)
class _Boosts:
    """The lift that conditions give each candidate row, in spans, and the rows in groups of one lift."""

    lift: NDArray[np.float64] | None
    groups: Sequence[NDArray[np.int64]]

    @classmethod
    def of(cls, state: State, rules: Rerank, rows_of: RowsOf) -> _Boosts:
        if not rules.boost:
            return cls(None, ())
        lift = np.zeros(state.size)
        for condition, factor in rules.boost.items():
            lift[rows_of(condition, "boost")] += factor
        return cls(lift, [np.flatnonzero(lift == one) for one in np.unique(lift)])

    def pools(self, asked: Asked, size: int) -> list[_Pool]:
        """The best candidates of each query, ``size`` of each group, so that lifted ones are among them; scores as found."""
        parts = [asked.best(size, rows) for rows in self.groups] if self.groups else [asked.best(size)]
        return [_Pool.joined(list(of_one)) for of_one in zip(*map(_Pool.each, parts), strict=True)]

    def lifted(self, pool: _Pool, spans: Mapping[int, float]) -> _Pool:
        """The pool with lifted scores, in the spans of each source."""
        if self.lift is None or not self.lift[pool.rows].any():
            return pool  # in its order, which a mixture's quotas may have changed
        span = np.array([spans.get(source, 1.0) for source in pool.sources.tolist()])
        return _Pool(pool.rows, pool.scores + span * self.lift[pool.rows], pool.sources).sorted()


class _List:
    """One query's list while it is filled."""

    def __init__(
        self,
        asked: Asked,
        rules: Rerank,
        k: int,
        name: Id | None,
        boosts: _Boosts,
        spans: Mapping[int, float],
        pause: Callable[[], object],
    ) -> None:
        self.pause = pause
        self.asked, self.rules, self.k, self.boosts, self.spans = asked, rules, k, boosts, spans
        self.state = asked.served.state
        self.name = name
        self.items: dict[int, tuple[int, float, int]] = {}  # by place: row, score, source
        self.taken: set[int] = set()
        self.counts: dict[str, Counter[Any]] = {column: Counter() for column in rules.at_most}
        self.explored: Explored | None = None  # what is left of the candidates to explore
        self.near: NDArray[np.float32] | None = None  # the largest cosine of each of the pool's to the list
        self.size = pool_size(k)

    @cached_property
    def drawing(self) -> np.random.Generator:
        """Draws the same for the same query and seed."""
        return np.random.default_rng([self.rules.seed, zlib.crc32(repr(self.name).encode())])

    def filled(
        self, pool: _Pool, pinned: dict[int, tuple[int, float]], explored: _Pool
    ) -> list[tuple[int, float, int]]:
        """Row, score and source of each item, in the order of places."""
        for place, (row, score) in pinned.items():
            self._take(place, row, score, PINNED)
        open_places = [place for place in range(1, self.k + 1) if place not in self.items]
        drawn = self._places_to_explore(open_places)
        if drawn:
            self._begin_exploring(explored)
        self._enter(pool)
        for number, place in enumerate(open_places, 1):
            if number % PLACES == 0:
                self.pause()
            if not (place in drawn and self._explore(place, explored)) and not self._next(place):
                break
        return [self.items[place] for place in sorted(self.items)]

    def _places_to_explore(self, places: list[int]) -> set[int]:
        if self.rules.explore == 0 or not places:
            return set()
        number = int(self.rules.explore * self.k + self.drawing.random())
        return {int(one) for one in self.drawing.choice(places, min(number, len(places)), replace=False)}

    def _begin_exploring(self, pool: _Pool) -> None:
        """Draw from these, less what does not fit next to what the list has."""
        self.explored = Explored(self.state.candidates, pool.rows, self.counts)
        for row in self.taken:
            self.explored.without(row)
        for column, counts in self.counts.items():
            self._close_full(column, counts)

    def _close_full(self, column: str, values: Iterable[Any]) -> None:
        """Explore no more candidates with those of the values that the list has often enough."""
        if self.explored is not None:
            for value in values:
                if self.counts[column][value] >= self.rules.at_most[column]:
                    self.explored.without_value(column, value)

    def _explore(self, place: int, pool: _Pool) -> bool:
        """Fill the place with one that is drawn; whether there was one."""
        assert self.explored is not None
        fits = self.explored.fitting()
        if not len(fits):
            return False
        at = int(fits[int(self.drawing.integers(len(fits)))])
        self._take(place, int(pool.rows[at]), float(pool.scores[at]), EXPLORED, values=self.explored.values(at))
        return True

    def _enter(self, pool: _Pool) -> None:
        """Choose among these from now on."""
        self.pool = self.boosts.lifted(pool.without(self.taken), self.spans)
        self.left = np.ones(len(self.pool.rows), bool)
        self.cells = PoolCells(self.state.candidates, self.pool.rows)
        if self.rules.diversify > 0:
            self.worth = (1 - self.rules.diversify) * self.pool.relevance()
            self.units = _units(self.asked.served.vectors_of(self.pool.rows))
            self.near = np.full(len(self.pool.rows), -1.0, np.float32)
            for row in self.taken:
                self._met(self._unit(row))

    def _next(self, place: int) -> bool:
        """Fill the place with the best that fits; whether there was one."""
        while True:
            for at in self._order():
                row = int(self.pool.rows[at])
                self.left[at] = False
                if row not in self.taken and self._fits(self._values(row, at)):
                    self._take(place, row, float(self.pool.scores[at]), int(self.pool.sources[at]), at)
                    return True
            if not self._more():
                return False

    def _order(self) -> Iterator[int]:
        """The places in the pool that are left, best first; those that a caller has taken are passed over."""
        if self.near is None:
            yield from np.flatnonzero(self.left).tolist()
            return
        worth = self.worth - self.rules.diversify * self.near if self.taken else self.worth.copy()
        worth[~self.left] = -np.inf
        for _ in range(np.count_nonzero(self.left)):
            at = int(worth.argmax())
            worth[at] = -np.inf
            yield at

    def _more(self) -> bool:
        """Search again among the candidates that still fit, for more of them each time; whether there are some."""
        if len(self.pool.rows) == 0 or (not self.rules.at_most):
            return False
        out = np.zeros(self.state.size, bool)
        out[list(self.taken)] = True
        for column, counts in self.counts.items():
            full = [value for value, count in counts.items() if count >= self.rules.at_most[column]]
            out |= _has_any(self.state.candidates[column], full)
        rest = self.asked.inside(np.flatnonzero(~out))
        self.size = min(self.size * GROWTH, self.state.size)
        self._enter(self.boosts.pools(rest, self.size)[0])
        return len(self.pool.rows) > 0

    def _fits(self, values: Mapping[str, list[Any]]) -> bool:
        """Whether a candidate with these values may be in the list too."""
        counts = self.counts
        return all(counts[column][one] < most for column, most in self.rules.at_most.items() for one in values[column])

    def _values(self, row: int, at: int | None = None) -> dict[str, list[Any]]:
        """The values of a candidate that ``at_most`` counts, by column.

        Args:
            at: its place in the pool.
        """
        table = self.state.candidates
        return {
            column: each(table[column][row]) if at is None else self.cells.values(column, at) for column in self.counts
        }

    def _take(
        self,
        place: int,
        row: int,
        score: float,
        source: int,
        at: int | None = None,
        values: Mapping[str, list[Any]] | None = None,
    ) -> None:
        """Put a row at a place; it is ``at`` in the pool, or has these values."""
        self.items[place] = (row, score, source)
        self.taken.add(row)
        if self.explored is not None:
            self.explored.without(row)
        for column, some in (self._values(row, at) if values is None else values).items():
            self.counts[column].update(some)
            self._close_full(column, some)
        if self.near is not None:
            self._met(self.units[at] if at is not None else self._unit(row))

    def _unit(self, row: int) -> NDArray[np.float32]:
        (unit,) = _units(self.asked.served.vectors_of(np.array([row], np.int64)))
        found: NDArray[np.float32] = unit
        return found

    def _met(self, unit: NDArray[np.float32]) -> None:
        """Similarities to a candidate that the list now has."""
        assert self.near is not None
        np.maximum(self.near, self.units @ unit, out=self.near)


def _pinned(asked: Asked, rules: Rerank, k: int) -> list[dict[int, tuple[int, float]]]:
    """For each query the pinned rows that it may have, by place, with their scores."""
    places = {place: one for place, one in rules.places.items() if place <= k}
    rows = candidate_rows(places.values(), asked.served.state.candidate_ids, "pin")
    count = len(asked.by_model)
    if not len(rows):
        return [{}] * count
    found = asked.best(len(rows), rows)
    ids = asked.served.state.candidate_ids
    by_row = {int(row): place for place, one in places.items() for row in [ids.rows([one])[0]] if row >= 0}
    out = []
    for number in range(count):
        pool = _Pool.of(found, number)
        out.append(
            {by_row[row]: (row, score) for row, score in zip(pool.rows.tolist(), pool.scores.tolist(), strict=True)}
        )
    return out


def _explored(asked: Asked, rules: Rerank, k: int, rows_of: RowsOf) -> list[_Pool]:
    """For each query the candidates that are drawn from."""
    state = asked.served.state
    if rules.explore == 0:
        return [_Pool.empty()] * len(asked.by_model)
    rows = np.arange(state.size)
    if rules.explore_rarer_than is not None:
        rows = np.flatnonzero(state.counts < rules.explore_rarer_than)
    if rules.explore_where is not None:
        rows = np.intersect1d(rows, rows_of(rules.explore_where, "explore_where"))
    found = asked.best(max(1, DRAWN_FROM * int(np.ceil(rules.explore * k))), rows)
    return [_Pool.of(found, number) for number in range(len(asked.by_model))]


def _has_any(column: pl.Series, values: list[Any]) -> NDArray[np.bool_]:
    """Which cells have one of the values."""
    if not values:
        return np.zeros(len(column), bool)
    if isinstance(column.dtype, pl.List):
        met = column.list.eval(pl.element().is_in(pl.Series(values, dtype=column.dtype.inner).implode())).list.any()
    else:
        met = column.is_in(pl.Series(values, dtype=column.dtype).implode())
    return met.fill_null(False).to_numpy()


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1; 0 where a vector is 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return units
