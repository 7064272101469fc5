"""One query's list while its places are filled by the rules: pinned items, explored ones, and the best of each lane that fits."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import Id
from shortlist.recommender.answers import EXPLORED, PINNED
from shortlist.recommender.asked import Asked
from shortlist.recommender.exploring import Explored
from shortlist.recommender.lanes import Lane
from shortlist.recommender.pool_cells import each
from shortlist.recommender.pools import Pool
from shortlist.recommender.rerank import Rerank

__all__ = ["Filling"]

GROWTH = 4  # times: how much larger the pool is each time that at_most has left too few of it
PLACES = 32  # of a list, which take about a millisecond to fill


class Filling:
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


def _has_any(column: pl.Series, values: list[Any]) -> NDArray[np.bool_]:
    """Which cells have one of the values."""
    if not values:
        return np.zeros(len(column), bool)
    if isinstance(column.dtype, pl.List):
        met = column.list.eval(pl.element().is_in(pl.Series(values, dtype=column.dtype.inner).implode())).list.any()
    else:
        met = column.is_in(pl.Series(values, dtype=column.dtype).implode())
    return met.fill_null(False).to_numpy()
