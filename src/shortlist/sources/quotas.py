"""Quotas: places of a list that go to the best of one source, whatever the sum of all says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import ConfigError

__all__ = ["MOST_QUOTAS", "checked_quotas", "depth_of", "in_places", "places_of_all"]

MOST_QUOTAS = 0.5  # of all sources together


def checked_quotas(quotas: Sequence[float]) -> tuple[float, ...]:
    """The quotas; () where all are 0. ConfigError for numbers below 0, or more than half of the places together."""
    for value in quotas:
        usable = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not usable or not 0 <= value <= MOST_QUOTAS:
            raise ConfigError(f"a mixture got the quota {value!r}; a number from 0 to {MOST_QUOTAS:g} was expected.")
    if sum(quotas) > MOST_QUOTAS:
        raise ConfigError(
            f"the quotas of a mixture are {sum(quotas):g} of the places together; at most {MOST_QUOTAS:g} were expected.",
            hint="the other places go to the best by all sources",
        )
    return tuple(float(value) for value in quotas) if any(quotas) else ()


def depth_of(quota: float, quotas: Sequence[float], k: int) -> int:
    """How many of a source's best can have a place among k by its quota."""
    return int(quota * k / (1 - sum(quotas)))


def in_places(
    rows: NDArray[np.int64],
    totals: NDArray[np.float64],
    ranked: Sequence[NDArray[np.int64]],
    quotas: Sequence[float],
    k: int,
) -> NDArray[np.int64]:
    """The first k of a query's candidates by ``places_of_all``, as places in ``rows``.

    Args:
        rows: of the candidates, with the k best by all sources among them.
        totals: their scores by all sources.
        ranked: of each source the rows of its best candidates, best first; at least ``depth_of`` its quota of them, or all.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    share = 1 - sum(quotas)
    order = np.lexsort((rows, -totals))
    key = np.full(len(rows), np.inf)
    key[order[:k]] = np.arange(1, min(k, len(rows)) + 1) / share
    by_row = np.argsort(rows)
    for best, quota in zip(ranked, quotas, strict=True):
        best = best[: depth_of(quota, quotas, k)]
        if len(best):
            at = by_row[np.searchsorted(rows, best, sorter=by_row)]
            key[at] = np.minimum(key[at], np.arange(1, len(best) + 1) / quota)
    return np.lexsort((rows, -totals, key))[:k]


def places_of_all(
    totals: NDArray[Any], sources: Sequence[NDArray[Any]], quotas: Sequence[float], lowest: Sequence[float]
) -> NDArray[np.float64]:
    """Scores ``[queries, candidates]`` that put every candidate in its place under quotas: 0 for the first, then −1, −2, …

    With r the rank of a candidate by all sources (from 1), r_s its rank by source s alone, and q_s the quotas:

        place(c) = min(r / (1 − Σ q), min_s r_s / q_s)

    Candidates are in the order of ``place``; equal ones by their score. So among the first n places there are the
    ⌊q_s · n⌋ best of every source s, for every n, and a shorter list is the beginning of a longer one.

    Args:
        totals: by all sources, ``[queries, candidates]``.
        sources: by each source alone.
        lowest: of each source, the score that none of its own candidates has (−inf of towers, 0 of others).
    """
    count = totals.shape[1]
    number = np.broadcast_to(np.arange(count), totals.shape)
    key = _ranks(np.lexsort((number, -totals), axis=1)) / (1 - sum(quotas))
    for scores, quota, least in zip(sources, quotas, lowest, strict=True):
        if quota:
            rank = _ranks(np.lexsort((number, -scores), axis=1)) / quota
            key = np.minimum(key, np.where(scores > least, rank, np.inf))
    return 1 - _ranks(np.lexsort((number, -totals, key), axis=1))


def _ranks(order: NDArray[np.int64]) -> NDArray[np.float64]:
    """The rank of each column, from 1, by an order of the columns."""
    ranks = np.empty(order.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, order.shape[1] + 1)[None], 1)
    return ranks
