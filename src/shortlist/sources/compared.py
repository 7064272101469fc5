"""One query's candidates with their scores by all sources, as far as they can be among its best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shortlist.sources.blend import Weights

__all__ = ["Compared", "Found", "compared", "compared_at_once", "looked_up"]

FEW = 200  # so many candidates are scored at once: a look at which of them matter would take longer
PAIRS = 1 << 14  # ids are compared with all rows while these are so few pairs: sorting them takes longer
SLACK = 1e-12  # of a score: more than sums of the same numbers in another order differ by

Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Candidate rows and their scores by one source."""
Score: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.float32]]


class Compared(NamedTuple):
    """One query's candidates with their scores.

    Attributes:
        rows: of the candidates.
        totals: by all sources, ``[candidates]``.
        best: of each source, which the totals are shares of.
        bound: the most that any candidate can have that no source has found; None where there is no other.
    """

    rows: NDArray[np.int64]
    totals: NDArray[np.float64]
    best: NDArray[np.float64]
    bound: float | None


def compared(
    towers: Sequence[Score],
    found: Sequence[Found],
    near: Sequence[Found],
    depth: int,
    weights: Weights,
    best: list[float] | None,
    k: int | None,
    rest: Sequence[float] | None = None,
) -> Compared:
    """The candidates of one query that can be among its k best.

    1. Candidates that any towers found are scored by all of them.
    2. Of what only others found, the k with the highest bound too: their own score by the others, and the last that
       was found of each towers.
    3. So are those whose bound reaches the k-th best total by then. The rest cannot be among the k best, and their
       vectors are not read.

    Args:
        towers: a function of rows that gives their scores, for each towers.
        found: the ``depth`` best of each towers, best first; fewer where there are no more.
        near: what each other source has a score above 0 for, rows rising.
        depth: how many of each towers were asked for, at least k.
        weights: of all sources.
        best: of each source, where it is known.
        k: how many of the best are asked for; None for all.
        rest: the most that each other source has for a candidate that ``near`` lacks; None for 0. Those that the towers found
            are not lacking.
    """
    rows = found[0][0]
    if not len(rows):  # the index has nothing that is open: neither have the others
        return Compared(rows, np.zeros(0), np.zeros(len(found) + len(near)), None)
    for others, _ in found[1:]:
        rows = np.concatenate([rows, _besides(others, rows)])
    scored, beyond = _split(rows, near)
    scored.towers.extend(_completed(score, one, rows) for score, one in zip(towers, found, strict=True))
    by_near = [float(scores.max(initial=0.0)) for _, scores in near]
    highest = _highest(scored, by_near, best)
    if any(len(ids) < depth for ids, _ in found):  # one has no more: all that is open is here
        scored = scored.joined(beyond, towers)
        highest = _highest(scored, by_near, best)
        return Compared(scored.rows, _total(weights, scored.towers, scored.near, highest), np.array(highest), None)
    last, least = [float(scores[-1]) for _, scores in found], [0.0] * len(near) if rest is None else rest
    bound = _total_of_one(weights, last, least, highest)
    if k is not None and len(beyond.rows) > max(FEW, k):
        bounds = _total(weights, [np.array([one]) for one in last], beyond.near, highest)
        order = bounds.argpartition(len(bounds) - k)
        scored, left = scored.joined(beyond.of(order[-k:]), towers), order[:-k]
        totals = _total(weights, scored.towers, scored.near, highest)
        kth = np.partition(totals, len(totals) - k)[len(totals) - k]
        beyond = beyond.of(left[bounds[left] >= kth - SLACK * abs(kth)])
    scored = scored.joined(beyond, towers)
    highest = _highest(scored, by_near, best)
    return Compared(scored.rows, _total(weights, scored.towers, scored.near, highest), np.array(highest), bound)


def compared_at_once(
    rows: NDArray[np.int64],
    of_towers: NDArray[np.float32],
    of_near: NDArray[np.float32],
    last: float,
    best: Sequence[float],
    rest: float,
    weights: Weights,
) -> Compared:
    """As ``compared``, of one pair of towers and one other source that found so little that all of it has scores by both.

    Args:
        rows: of the candidates that either found; those of the towers first.
        of_towers: scores of each.
        of_near: scores of each by the other source.
        last: the score of the last of those that the towers found, as many as they were asked for.
        best: of what the towers found, and of what the other source found.
        rest: the most that the other source has for a candidate that is not in ``rows``.
    """
    highest = [float(of_towers.max()), best[1]]
    totals = _total(weights, [of_towers], [of_near], highest)
    return Compared(rows, totals, np.array(highest), _total_of_one(weights, [last], [rest], best))


class _Scored(NamedTuple):
    """Candidates with their scores by each towers, as far as these are known, and by each other source."""

    rows: NDArray[np.int64]
    towers: list[NDArray[np.float32]]
    near: list[NDArray[np.float32]]

    def of(self, places: NDArray[np.int64]) -> _Scored:
        """Some of the candidates."""
        return _Scored(self.rows[places], [], [one[places] for one in self.near])

    def joined(self, more: _Scored, towers: Sequence[Score]) -> _Scored:
        """These candidates and others, which the towers score here."""
        if not len(more.rows):
            return self
        of_towers = [score(more.rows) for score in towers]
        return _Scored(
            np.concatenate([self.rows, more.rows]),
            [np.concatenate(both) for both in zip(self.towers, of_towers, strict=True)],
            [np.concatenate(both) for both in zip(self.near, more.near, strict=True)],
        )


def _highest(scored: _Scored, near: list[float], best: list[float] | None) -> list[float]:
    """The best score of each source, unless it is known."""
    return best or [*(float(one.max()) for one in scored.towers), *near]


def _completed(score: Score, found: Found, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The scores of ``rows`` by towers that found some of them."""
    ids, scores = found
    if ids is rows:  # one pair of towers, whose candidates these are
        return scores
    order = np.argsort(ids, kind="stable")
    there, mine = looked_up(ids[order], scores[order], rows)
    if not there.all():
        mine[~there] = score(rows[~there])
    return mine


def _besides(ids: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ids that are not among ``rows``."""
    there: NDArray[np.bool_] = (ids[:, None] == rows).any(1) if len(ids) * len(rows) <= PAIRS else np.isin(ids, rows)
    return ids[~there]


def _split(rows: NDArray[np.int64], near: Sequence[Found]) -> tuple[_Scored, _Scored]:
    """The scores of ``rows`` by other sources, and what these found besides."""
    if len(near) == 1 and len(near[0][0]):
        ids, scores = near[0]
        place = np.minimum(ids.searchsorted(rows), len(ids) - 1)
        there = ids[place] == rows
        others = np.ones(len(ids), np.bool_)
        others[place[there]] = False
        return _Scored(rows, [], [scores[place] * there]), _Scored(ids[others], [], [scores[others]])
    if not near:
        return _Scored(rows, [], []), _Scored(rows[:0], [], [])
    union = _besides(np.unique(np.concatenate([ids for ids, _ in near])), rows)
    known, beyond = (_Scored(some, [], [looked_up(*one, some)[1] for one in near]) for some in (rows, union))
    return known, beyond


def _total(
    weights: Weights, towers: Sequence[NDArray[Any]], near: Sequence[NDArray[Any]], best: list[float]
) -> NDArray[np.float64]:
    """The scores by all sources; each of ``towers`` may have one number for all candidates."""
    return weights.total(towers, near, best[: len(towers)], best[len(towers) :])


def _total_of_one(weights: Weights, towers: Sequence[float], near: Sequence[float], best: Sequence[float]) -> float:
    """The score by all sources of one candidate, or a little more."""
    parts = [
        weight * math.exp(min((one - most) / temperature, 0.0))
        for one, most, weight, temperature in zip(towers, best, weights.of_towers, weights.temperatures, strict=False)
    ]
    parts += [
        weight * one / most
        for one, most, weight in zip(near, best[len(towers) :], weights.of_others, strict=True)
        if most
    ]
    return math.fsum(parts) * (1 + SLACK)


def looked_up(
    ids: NDArray[np.int64], scores: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which of ``rows`` are among ``ids``, which rise, and their scores, 0 for the others."""
    found = np.zeros(len(rows), np.float32)
    if not len(ids):
        return np.zeros(len(rows), np.bool_), found
    place = np.minimum(np.searchsorted(ids, rows), len(ids) - 1)
    there = ids[place] == rows
    found[there] = scores[place[there]]
    return there, found
