"""Milliseconds a query, one query at a time, of several indexes in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from shortlist.index.contract import Index
from shortlist.index.values import Floats

__all__ = ["latencies"]


def latencies(
    indexes: Sequence[Index], queries: Floats, k: int, rounds: int, seconds: float
) -> list[tuple[float, float]]:
    """Median and 99th percentile per index, in milliseconds.

    The indexes take turns, ``rounds`` times, in an order that alternates, so that other work on the machine
    slows all of them alike. Each has about ``seconds`` in all; in a round all are asked the same queries.
    """
    each = [_first(index, queries, k) for index in indexes]
    shares = [int(np.clip(seconds / rounds / max(first, 1e-6), 1, queries.shape[0])) for first in each]
    times: list[list[float]] = [[] for _ in indexes]
    for turn in range(rounds):
        order = range(len(indexes)) if turn % 2 == 0 else reversed(range(len(indexes)))
        for number in order:
            index, asked = indexes[number], shares[number]
            for i in range(turn * asked, (turn + 1) * asked):
                query = queries[i % queries.shape[0]][None, :]
                started = time.perf_counter()
                index.search(query, k)
                times[number].append(time.perf_counter() - started)
    return [(float(np.median(one)) * 1e3, float(np.percentile(one, 99)) * 1e3) for one in times]


def _first(index: Index, queries: Floats, k: int) -> float:
    """Seconds of a warm query."""
    index.search(queries[:1], k)
    started = time.perf_counter()
    index.search(queries[-1:], k)
    return time.perf_counter() - started
