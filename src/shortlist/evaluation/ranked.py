"""Test pairs with the rank that a scorer gives each, arranged by query, so that a metric is a few array operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shortlist.evaluation.ranks import Pairs, Ties, found_ranks
from shortlist.evaluation.scorers import Scorer
from shortlist.evaluation.testset import TestSet
from shortlist.index.values import offsets_of
from shortlist.intervals import PairSums

__all__ = ["RankedPairs", "Truths", "distinct_places"]


@dataclass(frozen=True, eq=False)
class RankedPairs:
    """The pairs of a test set with the rank that one scorer gives each.

    Attributes:
        rank: float64 ``[pairs]``, 1 for the best, inf for one that cannot be found; the worst place among the
            candidates it ties with.
        best: float64 ``[pairs]``, the best place among the candidates it ties with: metrics are then expectations over
            a random order of tied candidates. None: ties count against the pair. A pair of grade 0 is not a choice, so
            it counts in no metric.
    """

    test: TestSet
    rank: NDArray[np.float64]
    best: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, test: TestSet, scorer: Scorer, ties: Ties = "worst") -> RankedPairs:
        """The exact ranks by a scorer of the test's queries and catalogue; candidates that the test hides do not compete."""

        def places(pairs: Pairs) -> NDArray[np.float64]:
            found: NDArray[np.float64] = found_ranks(scorer.ranks(pairs), scorer.candidates).numpy()
            return found

        rank = places(test.pairs)
        return cls(test, rank, None if ties == "worst" else places(test.pairs._replace(favourable=True)))

    @property
    def queries(self) -> int:
        """How many queries are asked."""
        return len(self.test.queries)

    def only(self, pairs: NDArray[np.bool_]) -> RankedPairs:
        """These pairs alone, as if the test had no others; their ranks stay."""
        return RankedPairs(self.test.only(pairs), self.rank[pairs], None if self.best is None else self.best[pairs])

    @cached_property
    def chosen(self) -> RankedPairs:
        """The pairs that are choices: all but those of grade 0."""
        grade = self.test.grade
        return self if grade is None or (grade > 0).all() else self.only(grade > 0)

    @cached_property
    def truths(self) -> Truths:
        """The distinct pairs: what each query chose, in the order of the ranks."""
        return Truths.of(self)

    def per_pair(self, values: NDArray[np.float64]) -> PairSums:
        """The mean over test pairs of ``values`` ``[pairs]``, weighted where there are weights."""
        weight = self.test.weight
        weighed = values if weight is None else weight * values
        return PairSums(_summed(self.test.query, weighed, self.queries), self.pairs_per_query)

    @cached_property
    def pairs_per_query(self) -> NDArray[np.float64]:
        """How much the pairs of each query count together, ``[queries]``."""
        weighed = np.bincount(self.test.query, self.test.weight, self.queries)
        return weighed.astype(np.float64)

    def per_query(self, values: NDArray[np.float64]) -> PairSums:
        """The mean over queries with a test pair of ``values`` ``[queries]``; a query weighs as much as its pairs."""
        pairs = self.pairs_per_query
        weight = (pairs > 0).astype(np.float64) if self.test.weight is None else pairs
        return PairSums(np.where(weight > 0, values, 0.0) * weight, weight)


@dataclass(frozen=True, eq=False)
class Truths:
    """Each query's distinct chosen candidates, best ranked first; arrays ``[truths]`` sorted by query, then place.

    A truth may tie with other candidates, truths among them: its place is then one of ``size`` places from ``place`` on,
    all equally likely, and no two truths share one. Where ties count against the model ``size`` is 1.

    Attributes:
        query: the row of the query.
        place: the first place that the truth can have, 1 for the top of the list; inf if it cannot be found.
        size: how many places it can have.
        before: how many truths of its query are certainly above it.
        tied: how many truths share its places, itself among them.
        number: 1 for the first of those, 2 for the next, ….
        start: int64 ``[queries + 1]``, where each query begins.
        grade: as in ``TestSet``; a repeated pair has its highest grade.
        propensity: as in ``TestSet``.
    """

    query: NDArray[np.int64]
    place: NDArray[np.float64]
    size: NDArray[np.float64]
    before: NDArray[np.int64]
    tied: NDArray[np.int64]
    number: NDArray[np.int64]
    start: NDArray[np.int64]
    grade: NDArray[np.float64] | None
    propensity: NDArray[np.float64]

    @classmethod
    def of_pairs(cls, test: TestSet) -> NDArray[np.int64]:
        """The pairs that count: the first of each query and candidate, the highest grade first."""
        falling = np.zeros(len(test)) if test.grade is None else -test.grade
        order = np.lexsort((falling, test.candidate, test.query))
        query, candidate = test.query[order], test.candidate[order]
        repeated = np.zeros(len(order), np.bool_)
        repeated[1:] = (query[1:] == query[:-1]) & (candidate[1:] == candidate[:-1]) & (candidate[1:] >= 0)
        kept: NDArray[np.int64] = order[~repeated]
        return kept

    @classmethod
    def of(cls, ranked: RankedPairs) -> Truths:
        """The truths of ranked pairs."""
        test = ranked.test
        kept = cls.of_pairs(test)
        worst = ranked.rank[kept]
        place = worst if ranked.best is None else ranked.best[kept]
        order = np.lexsort((worst, place, test.query[kept]))
        kept, worst, place = kept[order], worst[order], place[order]
        query = test.query[kept]
        start = offsets_of(np.bincount(query, minlength=ranked.queries))
        found = np.isfinite(place)
        first = np.ones(len(kept), np.bool_)  # the first of the truths that share their places
        size = np.ones(len(kept))
        if ranked.best is None:
            place[found] = distinct_places(place[found], query[found])
        else:
            size[found] = worst[found] - place[found] + 1
            first[1:] = (query[1:] != query[:-1]) | (place[1:] != place[:-1]) | (worst[1:] != worst[:-1])
        group = np.cumsum(first) - 1
        opens = np.flatnonzero(first)
        return cls(
            query,
            place,
            size,
            opens[group] - start[query],
            np.diff(opens, append=len(kept))[group],
            np.arange(len(kept)) - opens[group] + 1,
            start,
            None if test.grade is None else test.grade[kept],
            test.propensity[kept],
        )

    @cached_property
    def found(self) -> NDArray[np.bool_]:
        """Whether the truth can be found at all."""
        found: NDArray[np.bool_] = np.isfinite(self.place)
        return found

    def within(self, k: int) -> NDArray[np.float64]:
        """How many of the truth's places are among the first k."""
        return np.clip(k - self.place + 1, 0, self.size)

    def chance(self, k: int) -> NDArray[np.float64]:
        """The chance that the truth is among the first k: 0 or 1 unless it ties."""
        return self.within(k) / self.size

    def mean(self, value: Callable[[NDArray[np.float64]], NDArray[np.float64]], k: int) -> NDArray[np.float64]:
        """The expected ``value`` of each truth's place, where a place beyond k is worth 0."""
        result = np.zeros(len(self.place))
        certain = self.found & (self.size == 1) & (self.place <= k)
        result[certain] = value(self.place[certain])
        ties = np.flatnonzero((self.size > 1) & (self.place <= k))
        if len(ties):
            place, size, reached = self.place[ties], self.size[ties], self.within(k)[ties]
            upto = np.concatenate([[0.0], np.cumsum(value(np.arange(1.0, (place + reached).max())))])
            first = place.astype(np.int64) - 1
            result[ties] = (upto[first + reached.astype(np.int64)] - upto[first]) / size
        return result

    def sums(self, values: NDArray[np.float64], queries: int) -> NDArray[np.float64]:
        """The sum of ``values`` ``[truths]`` over each query, float64 ``[queries]``."""
        return _summed(self.query, values, queries)


def _summed(query: NDArray[np.int64], values: NDArray[np.float64], queries: int) -> NDArray[np.float64]:
    return np.bincount(query, values, queries).astype(np.float64)


def distinct_places(place: NDArray[np.float64], query: NDArray[np.int64]) -> NDArray[np.float64]:
    """Places in one list: truths that tie counted each other as above, so m of them at rank r hold r−m+1, …, r.

    From a query's last truth backwards each place is at most the next one's less 1.
    """
    number = np.arange(len(place))
    lifted = place - number
    apart = query * (np.ptp(lifted) + 1 if len(lifted) else 1)  # so that the running minimum stays within the query
    lowest = np.minimum.accumulate((lifted + apart)[::-1])[::-1]
    places: NDArray[np.float64] = lowest - apart + number
    return places
