"""Test pairs with the rank that a scorer gives each, arranged by query, so that a metric is a few array operations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairSums", "Ranked"]


@dataclass(frozen=True, eq=False)
class PairSums:
    """A metric as one fraction per query: its value is ``numerator.sum() / denominator.sum()``; float64 ``[queries]``.

    Metrics of queries have a denominator of 1 for each query that counts; metrics of pairs have the query's pairs.
    """

    numerator: NDArray[np.float64]
    denominator: NDArray[np.float64]

    @property
    def value(self) -> float:
        """The metric; NaN where nothing counts."""
        total = float(self.denominator.sum())
        return float(self.numerator.sum()) / total if total else float("nan")


@dataclass(frozen=True, eq=False)
class Ranked:
    """The ranks of test pairs.

    query: int64 ``[pairs]``, from 0 to ``queries`` - 1. candidate: int64 ``[pairs]``, −1 for one that is in no
    catalogue. rank: float64 ``[pairs]``, 1 for the best, inf for one that cannot be found. competing: int64 ``[queries]``,
    how many candidates compete for each query. expected: ranks are expectations over ties, not places. weight: float64 ``[pairs]``, or None to count each once.
    grade: float64 ``[pairs]``, how good a choice it was, or None for all alike. propensity: float64 ``[pairs]``, how
    likely the pair was to be observed, or None.
    """

    query: NDArray[np.int64]
    candidate: NDArray[np.int64]
    rank: NDArray[np.float64]
    queries: int
    competing: NDArray[np.int64]
    expected: bool = False
    weight: NDArray[np.float64] | None = None
    grade: NDArray[np.float64] | None = None
    propensity: NDArray[np.float64] | None = None

    def only(self, pairs: NDArray[np.bool_]) -> Ranked:
        """These pairs alone, as if the test had no others; their ranks stay."""

        def part(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
            return None if values is None else values[pairs]

        return Ranked(
            self.query[pairs],
            self.candidate[pairs],
            self.rank[pairs],
            self.queries,
            self.competing,
            self.expected,
            part(self.weight),
            part(self.grade),
            part(self.propensity),
        )

    @cached_property
    def truths(self) -> Truths:
        """The distinct pairs: what each query chose, in the order of the ranks."""
        return Truths.of(self)

    def per_pair(self, values: NDArray[np.float64]) -> PairSums:
        """The mean over test pairs of ``values`` ``[pairs]``, weighted where there are weights."""
        weight = np.ones(len(self.query)) if self.weight is None else self.weight
        return PairSums(_summed(self.query, weight * values, self.queries), _summed(self.query, weight, self.queries))

    def per_query(self, values: NDArray[np.float64]) -> PairSums:
        """The mean over queries with a test pair of ``values`` ``[queries]``; a query weighs as much as its pairs."""
        pairs = np.bincount(self.query, self.weight, self.queries).astype(np.float64)
        weight = (pairs > 0).astype(np.float64) if self.weight is None else pairs
        return PairSums(np.where(weight > 0, values, 0.0) * weight, weight)


@dataclass(frozen=True, eq=False)
class Truths:
    """Each query's distinct chosen candidates, best ranked first; arrays ``[truths]`` sorted by query, then place.

    query: which. place: the position in the query's list, 1 for the first; no two of a query share one unless ranks
    are expectations. number: 1 for a query's best truth, 2 for the next, … siblings: how many truths its query has. start: int64
    ``[queries + 1]``. grade, propensity: as in ``Ranked``; a repeated pair has its highest grade.
    """

    query: NDArray[np.int64]
    place: NDArray[np.float64]
    number: NDArray[np.int64]
    siblings: NDArray[np.int64]
    start: NDArray[np.int64]
    grade: NDArray[np.float64] | None
    propensity: NDArray[np.float64] | None

    @classmethod
    def of_pairs(cls, ranked: Ranked) -> NDArray[np.int64]:
        """The pairs that count: the first of each query and candidate, the highest grade first."""
        falling = np.zeros(len(ranked.query)) if ranked.grade is None else -ranked.grade
        order = np.lexsort((falling, ranked.candidate, ranked.query))
        query, candidate = ranked.query[order], ranked.candidate[order]
        repeated = np.zeros(len(order), np.bool_)
        repeated[1:] = (query[1:] == query[:-1]) & (candidate[1:] == candidate[:-1]) & (candidate[1:] >= 0)
        kept: NDArray[np.int64] = order[~repeated]
        return kept

    @classmethod
    def of(cls, ranked: Ranked) -> Truths:
        """The truths of ranked pairs."""
        kept = cls.of_pairs(ranked)
        kept = kept[np.lexsort((ranked.rank[kept], ranked.query[kept]))]
        query = ranked.query[kept]
        sizes = np.bincount(query, minlength=ranked.queries)
        start = np.concatenate([[0], np.cumsum(sizes)])
        number = np.arange(len(kept)) - start[query] + 1
        place = ranked.rank[kept]
        found = np.isfinite(place)
        if not ranked.expected:
            place[found] = _distinct_places(place[found], query[found])
        return cls(
            query,
            place,
            number,
            sizes[query],
            start,
            None if ranked.grade is None else ranked.grade[kept],
            None if ranked.propensity is None else ranked.propensity[kept],
        )

    def sums(self, values: NDArray[np.float64], queries: int) -> NDArray[np.float64]:
        """The sum of ``values`` ``[truths]`` over each query, float64 ``[queries]``."""
        return _summed(self.query, values, queries)


def _summed(query: NDArray[np.int64], values: NDArray[np.float64], queries: int) -> NDArray[np.float64]:
    return np.bincount(query, values, queries).astype(np.float64)


def _distinct_places(place: NDArray[np.float64], query: NDArray[np.int64]) -> NDArray[np.float64]:
    """Places in one list: truths that tie counted each other as above, so m of them at rank r hold r−m+1, …, r.

    From a query's last truth backwards each place is at most the next one's less 1.
    """
    number = np.arange(len(place))
    lifted = place - number
    apart = query * (np.ptp(lifted) + 1 if len(lifted) else 1)  # so that the running minimum stays within the query
    lowest = np.minimum.accumulate((lifted + apart)[::-1])[::-1]
    places: NDArray[np.float64] = lowest - apart + number
    return places
