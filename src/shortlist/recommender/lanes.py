"""Candidates of one list in the order in which the rules take them: of all sources together, or of one source alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.recommender.pool_cells import PoolCells
from shortlist.recommender.pools import Pool

__all__ = ["Lane"]


@dataclass(eq=False)
class Lane:
    """Candidates that one list can take next, by all sources together or by one source with a quota.

    Attributes:
        table: of the candidates.
        vectors_of: the vectors of candidate rows, ``[rows, dim]``.
        pool: its candidates, best first.
        search: a pool of so many more, among some rows alone.
        diversify: as of ``Rerank``.
        share: of the places that belong to the lane.
        size: candidates that were searched for.
        totals: of one source alone, the scores that candidates have in the list, by row.
    """

    table: pl.DataFrame
    vectors_of: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    pool: Pool
    search: Callable[[int, NDArray[np.int64]], Pool]
    diversify: float
    share: float
    size: int
    totals: Callable[[NDArray[np.int64]], dict[int, float]] | None = None

    def __post_init__(self) -> None:
        self._given: set[int] = set()  # rows that the list has from this lane
        self._left_out: set[int] = (
            set()
        )  # rows that the list had before it was filled, where they do not count for the lane
        self._reached = 0  # the highest rank so far
        self._over = False  # whether nothing is left
        self._scores: dict[int, float] = {}

    @property
    def alone(self) -> bool:
        """Whether its candidates are one source's."""
        return self.totals is not None

    def begin(self, listed: Collection[int]) -> None:
        """Choose from the pool, next to what the list has; a pool by all sources loses what the list has."""
        self._left_out = set() if self.alone else {*listed}
        self._enter(self.pool.without(self._left_out), listed)

    def _enter(self, pool: Pool, listed: Iterable[int]) -> None:
        self._pool = pool
        self._left = np.ones(len(pool.rows), bool)
        self._cells = PoolCells(self.table, pool.rows)
        self._place: dict[int, int] = {}
        if self.diversify > 0:
            self._worth = (1 - self.diversify) * pool.relevance()
            self._units = _units(self.vectors_of(pool.rows))
            self._near = np.full(len(pool.rows), -1.0, np.float32)  # the largest cosine to the list
            for row in listed:
                self.met(self.unit(row))

    def head(self, listed: Collection[int], fits: Callable[[Lane, int], bool]) -> int | None:
        """The place in the pool of the best candidate that is left, not listed, and fits; None where there is none."""
        for at in self._order(listed):
            if int(self._pool.rows[at]) not in listed and fits(self, at):
                return at
            self._left[at] = False
        return None

    def _order(self, listed: Collection[int]) -> Iterator[int]:
        """The places in the pool that are left, best first."""
        if self.diversify == 0:
            yield from np.flatnonzero(self._left).tolist()
            return
        worth = self._worth - self.diversify * self._near if listed else self._worth.copy()
        worth[~self._left] = -np.inf
        for _ in range(np.count_nonzero(self._left)):
            at = int(worth.argmax())
            worth[at] = -np.inf
            yield at

    def take(self, at: int) -> tuple[int, float, int]:
        """Row, score and source of the candidate at a place of the pool, which the list takes."""
        self._left[at] = False
        self._given.add(self.row(at))
        return self.row(at), self.score(at), int(self._pool.sources[at])

    def row(self, at: int) -> int:
        """The candidate's row."""
        return int(self._pool.rows[at])

    def score(self, at: int) -> float:
        """The candidate's score in the list."""
        if self.totals is None:
            return float(self._pool.scores[at])
        if self.row(at) not in self._scores:
            self._scores |= self.totals(self._pool.rows)
        return self._scores[self.row(at)]

    def values(self, column: str, at: int) -> list[Any]:
        """The values of a cell of the candidates' table, which ``at_most`` counts."""
        return self._cells.values(column, at)

    def turn(self, at: int, earlier: Iterable[int]) -> float:
        """The place of a list by which the candidate has its turn: its rank in the lane over the lane's share.

        Its rank is 1 more than the number of earlier candidates of the list that the lane gave, or has before it.

        Args:
            earlier: rows that the list has at earlier places.
        """
        if not self._place:
            self._place = {row: number for number, row in enumerate(self._pool.rows.tolist())}
        ahead = sum(row in self._given or self._place.get(row, at) < at for row in earlier)
        self._reached = max(self._reached, ahead + 1)
        return self._reached / self.share

    def more(self, listed: Collection[int], fits: NDArray[np.bool_], growth: int) -> bool:
        """Search again among the rows that fit, ``growth`` times as far each time; whether there are more.

        Of several lanes each searches among what the list has too, which counts in its ranks.
        """
        self._over = self._over or not len(self._pool.rows)
        open_ = fits.copy()
        if self.share < 1:
            open_[[row for row in listed if row not in self._left_out]] = True
        rows = np.flatnonzero(open_)
        while not self._over:
            self._over = self.share < 1 and self.size >= len(self.table)
            self.size = min(self.size * growth, len(self.table))
            self._enter(self.search(self.size, rows), listed)
            if any(row not in listed for row in self._pool.rows.tolist()):
                return True
            self._over = self._over or self.share == 1
        return False

    def unit(self, row: int, at: int | None = None) -> NDArray[np.float32]:
        """The vector of a candidate, which may be ``at`` in the pool, with length 1."""
        unit: NDArray[np.float32] = (
            _units(self.vectors_of(np.array([row], np.int64)))[0] if at is None else self._units[at]
        )
        return unit

    def met(self, unit: NDArray[np.float32]) -> None:
        """Similarities to a candidate that the list now has."""
        np.maximum(self._near, self._units @ unit, out=self._near)


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1; 0 where a vector is 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return units
