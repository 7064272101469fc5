"""Lists put together by the rules of a ``Rerank``, in candidate rows."""

from __future__ import annotations

import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import Id
from shortlist.errors import DataError, ShortlistWarning, did_you_mean
from shortlist.index import Lists
from shortlist.recommender.answers import EXPLORED, PINNED, Answers, answered, towers_and_context
from shortlist.recommender.exploring import Explored
from shortlist.recommender.lanes import Lane
from shortlist.recommender.pool_cells import each
from shortlist.recommender.pools import Boosts, Pool, RowsOf
from shortlist.recommender.requests import candidate_rows, exact_ids
from shortlist.recommender.rerank import Rerank
from shortlist.recommender.served import Served
from shortlist.recommender.state import State
from shortlist.sources import Context, Filters, Scale, best_alone, depth_of

__all__ = ["Asked", "check_rules", "countable", "pool_size", "reranked", "warn_of_unknown_pins"]

POOL, POOL_OF_K = 200, 4  # candidates that the rules choose among: so many, or so many times k
GROWTH = 4  # times: how much larger the pool is each time that at_most has left too few of it
PLACES = 32  # of a list, which take about a millisecond to fill
DRAWN_FROM = 4  # times the places to explore: the best of the explored candidates that are drawn from


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

    def pools(self, k: int, rows: NDArray[np.int64] | None = None) -> list[Pool]:
        """The same as pools."""
        return Pool.each(self.best(k, rows))

    def alone(self, source: int, k: int, rows: NDArray[np.int64] | None = None) -> list[Pool]:
        """The k best of each query by one source of a mixture alone; none of a query that the model does not answer.

        Args:
            source: in the order of the mixture's weights.
            rows: the only rows that are searched, where given.
        """
        added, context, within = self.served.state.near, self.context, self.inside(rows).within
        assert added is not None
        assert context is not None
        towers, context, filters = towers_and_context(self.served, self.vectors, context, self.filters)
        hits = best_alone(towers, added, context, source, k, filters, within)
        found = Pool.each(Answers(hits.offsets, hits.ids, hits.scores))
        return [one if by_model else Pool.empty() for one, by_model in zip(found, self.by_model, strict=True)]

    @property
    def quotas(self) -> tuple[float, ...]:
        """The quotas of a mixture's sources; () for none."""
        near = self.served.state.near
        return () if near is None else near.quotas

    def without_quotas(self) -> Asked:
        """The same by all sources together."""
        if not self.quotas:
            return self
        state = self.served.state
        assert state.near is not None
        near = replace(state.near, quotas=())
        return replace(self, served=replace(self.served, state=replace(state, near=near)))

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
    state, quotas = asked.served.state, asked.quotas
    _check_columns(rules, state.candidates)
    rows_of = state.conditions.rows if met is None else lambda condition, option: met[condition]
    k = min(k, max([len(state.candidates), *rules.places]))  # longer lists would cost more, and be no longer
    size = pool_size(k)
    asked = asked.without_quotas()
    boosts = Boosts.of(state, rules, rows_of)
    if boosts.groups:  # each is searched by itself: all need one scale
        asked = asked.scaled(k)
        pools = boosts.pools(asked.pools, size)
    else:
        found = asked.best(size)
        asked, pools = replace(asked, scale=found.scale), Pool.each(found)
    own = [_Own.of(asked, boosts, source, quotas, k) for source, quota in enumerate(quotas) if quota]
    pinned = _pinned(asked, rules, k)
    explored = _explored(asked, rules, k, rows_of)
    lists = []
    for number, name in enumerate(ids):
        pause()
        lanes = _lanes(asked.one(number), rules, k, boosts, pools[number], own, number)
        one = _List(asked.one(number), rules, k, name, lanes, pause)
        lists.append(one.filled(pinned[number], explored[number]))
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
class _Own:
    """The best candidates of each query by one source alone, which has a quota.

    Attributes:
        share: of the places that are the source's.
    """

    source: int
    share: float
    pools: list[Pool]

    @classmethod
    def of(cls, asked: Asked, boosts: Boosts, source: int, quotas: Sequence[float], k: int) -> _Own:
        """As many as the quota can place in a list as long as the pool."""
        depth = max(1, depth_of(quotas[source], quotas, pool_size(k)))
        return cls(source, quotas[source], boosts.pools(partial(asked.alone, source), depth))


def _lanes(
    asked: Asked, rules: Rerank, k: int, boosts: Boosts, together: Pool, own: Sequence[_Own], number: int
) -> list[Lane]:
    """The lanes of a list: all sources together, and each source with a quota alone.

    Args:
        asked: one query.
        together: its candidates by all sources.
        own: its candidates by each source alone are those of query ``number``.
    """
    state, spans = asked.served.state, together.spans(k)
    table, vectors_of = state.candidates, asked.served.vectors_of

    def searched(size: int, rows: NDArray[np.int64]) -> Pool:
        return boosts.lifted(boosts.pools(asked.inside(rows).pools, size)[0], spans)

    def totals(rows: NDArray[np.int64]) -> dict[int, float]:
        pool = boosts.lifted(Pool.of(asked.best(len(rows), rows), 0), spans)
        return dict(zip(pool.rows.tolist(), pool.scores.tolist(), strict=True))

    share, first = 1 - sum(one.share for one in own), boosts.lifted(together, spans)
    lanes = [Lane(table, vectors_of, first, searched, rules.diversify, share, pool_size(k))]
    for one in own:
        pool = one.pools[number]
        by_source, of_pool = one.source, pool.spans(k)

        def searched_alone(
            size: int, rows: NDArray[np.int64], source: int = by_source, spans: Mapping[int, float] = of_pool
        ) -> Pool:
            return boosts.lifted(boosts.pools(partial(asked.inside(rows).alone, source), size)[0], spans)

        pool = boosts.lifted(pool, of_pool)
        lanes.append(Lane(table, vectors_of, pool, searched_alone, rules.diversify, one.share, len(pool.rows), totals))
    return lanes


class _List:
    """One query's list while it is filled."""

    def __init__(
        self, asked: Asked, rules: Rerank, k: int, name: Id | None, lanes: Sequence[Lane], pause: Callable[[], object]
    ) -> None:
        self.pause = pause
        self.rules, self.k, self.lanes = rules, k, lanes
        self.state = asked.served.state
        self.name = name
        self.items: dict[int, tuple[int, float, int]] = {}  # by place: row, score, source
        self.taken: set[int] = set()
        self.counts: dict[str, Counter[Any]] = {column: Counter() for column in rules.at_most}
        self.explored: Explored | None = None  # what is left of the candidates to explore
        self.begun = False  # whether the lanes have their candidates

    @cached_property
    def drawing(self) -> np.random.Generator:
        """Draws the same for the same query and seed."""
        return np.random.default_rng([self.rules.seed, zlib.crc32(repr(self.name).encode())])

    def filled(self, pinned: dict[int, tuple[int, float]], explored: Pool) -> list[tuple[int, float, int]]:
        """Row, score and source of each item, in the order of places."""
        for place, (row, score) in pinned.items():
            self._take(place, row, score, PINNED)
        open_places = [place for place in range(1, self.k + 1) if place not in self.items]
        drawn = self._places_to_explore(open_places)
        if drawn:
            self._begin_exploring(explored)
        for lane in self.lanes:
            lane.begin(self.taken)
        self.begun = True
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

    def _begin_exploring(self, pool: Pool) -> None:
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

    def _explore(self, place: int, pool: Pool) -> bool:
        """Fill the place with one that is drawn; whether there was one."""
        assert self.explored is not None
        fits = self.explored.fitting()
        if not len(fits):
            return False
        at = int(fits[int(self.drawing.integers(len(fits)))])
        self._take(place, int(pool.rows[at]), float(pool.scores[at]), EXPLORED, values=self.explored.values(at))
        return True

    def _next(self, place: int) -> bool:
        """Fill the place with the best that fits, of the lane whose turn it is; whether there was one."""
        heads = [(lane, at) for lane in self.lanes for at in [self._head(lane)] if at is not None]
        if not heads:
            return False
        lane, at = heads[0] if len(heads) == 1 else self._first(heads, place)
        values = self._values(lane, at)
        self._take(place, *lane.take(at), values, lane, at)
        return True

    def _first(self, heads: Sequence[tuple[Lane, int]], place: int) -> tuple[Lane, int]:
        """The candidate that has its turn first; one of a source that has too few by this place without it, before all others."""
        earlier = [row for at, (row, _, _) in self.items.items() if at < place]

        def order(head: tuple[Lane, int]) -> tuple[bool, float, float, int]:
            lane, at = head
            turn = lane.turn(at, earlier)
            return not (lane.alone and turn <= place), turn, -lane.score(at), lane.row(at)

        return min(heads, key=order)

    def _head(self, lane: Lane) -> int | None:
        """The place in the lane's pool of the best that fits; more are searched for where ``at_most`` has left too few."""
        while True:
            at = lane.head(self.taken, self._fits)
            if at is not None or not self.rules.at_most or not lane.more(self.taken, self._fitting(), GROWTH):
                return at

    def _fitting(self) -> NDArray[np.bool_]:
        """Which candidates, by row, still fit."""
        out = np.zeros(self.state.size, bool)
        out[list(self.taken)] = True
        for column, counts in self.counts.items():
            full = [value for value, count in counts.items() if count >= self.rules.at_most[column]]
            out |= _has_any(self.state.candidates[column], full)
        return ~out

    def _fits(self, lane: Lane, at: int) -> bool:
        """Whether a candidate of a lane may be in the list too."""
        counts = self.counts
        return all(
            counts[column][one] < most for column, most in self.rules.at_most.items() for one in lane.values(column, at)
        )

    def _values(self, lane: Lane, at: int) -> dict[str, list[Any]]:
        """The values of a lane's candidate that ``at_most`` counts, by column."""
        return {column: lane.values(column, at) for column in self.counts}

    def _take(
        self,
        place: int,
        row: int,
        score: float,
        source: int,
        values: Mapping[str, list[Any]] | None = None,
        lane: Lane | None = None,
        at: int | None = None,
    ) -> None:
        """Put a row with these values at a place; ``lane`` and ``at`` say where it was found, unless it is pinned or explored."""
        self.items[place] = (row, score, source)
        self.taken.add(row)
        if self.explored is not None:
            self.explored.without(row)
        if values is None:
            values = {column: each(self.state.candidates[column][row]) for column in self.counts}
        for column, some in values.items():
            self.counts[column].update(some)
            self._close_full(column, some)
        if self.begun and self.rules.diversify > 0:
            unit = (self.lanes[0] if lane is None else lane).unit(row, at)
            for one in self.lanes:
                one.met(unit)


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
        pool = Pool.of(found, number)
        out.append(
            {by_row[row]: (row, score) for row, score in zip(pool.rows.tolist(), pool.scores.tolist(), strict=True)}
        )
    return out


def _explored(asked: Asked, rules: Rerank, k: int, rows_of: RowsOf) -> list[Pool]:
    """For each query the candidates that are drawn from."""
    state = asked.served.state
    if rules.explore == 0:
        return [Pool.empty()] * len(asked.by_model)
    rows = np.arange(state.size)
    if rules.explore_rarer_than is not None:
        rows = np.flatnonzero(state.counts < rules.explore_rarer_than)
    if rules.explore_where is not None:
        rows = np.intersect1d(rows, rows_of(rules.explore_where, "explore_where"))
    found = asked.best(max(1, DRAWN_FROM * int(np.ceil(rules.explore * k))), rows)
    return [Pool.of(found, number) for number in range(len(asked.by_model))]


def _has_any(column: pl.Series, values: list[Any]) -> NDArray[np.bool_]:
    """Which cells have one of the values."""
    if not values:
        return np.zeros(len(column), bool)
    if isinstance(column.dtype, pl.List):
        met = column.list.eval(pl.element().is_in(pl.Series(values, dtype=column.dtype.inner).implode())).list.any()
    else:
        met = column.is_in(pl.Series(values, dtype=column.dtype).implode())
    return met.fill_null(False).to_numpy()
