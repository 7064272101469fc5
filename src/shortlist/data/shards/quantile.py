"""The k-th largest of numbers that do not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["time_of_rank"]

BINS = 1 << 16
AT_ONCE = 1 << 22


def time_of_rank(arrays: Callable[[], Iterable[NDArray[Any]]], rank: int) -> float | int:
    """The ``rank``-th largest (1: the largest) of all values, exactly, in a few passes over the arrays.

    1. Count how many values fall into each of 65,536 equal ranges between the least and the greatest of them.
    2. Continue among the values of the range that holds the wanted one, until they fit in memory or are all equal.

    Example:
        >>> time_of_rank(lambda: [np.array([5, 1, 9]), np.array([7, 7])], 2)
        7
    """
    inside = _Inside(arrays, None, None)
    left = rank
    while True:
        least, most, count = inside.extent()
        if least == most:
            return least.item()  # type: ignore[no-any-return]
        if count <= AT_ONCE:
            values = np.concatenate(list(inside))
            return np.partition(values, len(values) - left)[len(values) - left].item()  # type: ignore[no-any-return]
        edges = _edges(least, most)
        counts = np.zeros(len(edges), np.int64)  # the last holds the greatest value alone
        for values in inside:
            counts += np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(edges))
        above = np.cumsum(counts[::-1])
        place = int(np.searchsorted(above, left))
        left -= int(above[place - 1]) if place else 0
        number = len(edges) - 1 - place
        if number == len(edges) - 1:
            return most.item()  # type: ignore[no-any-return]
        inside = _Inside(arrays, edges[number], edges[number + 1])


class _Inside:
    """The values from ``low`` on and below ``high``, array by array; None stands for no bound."""

    def __init__(self, arrays: Callable[[], Iterable[NDArray[Any]]], low: Any, high: Any) -> None:
        self.arrays, self.low, self.high = arrays, low, high

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for array in self.arrays():
            values = array if self.low is None else array[array >= self.low]
            yield values if self.high is None else values[values < self.high]

    def extent(self) -> tuple[Any, Any, int]:
        """The least and the greatest value, and how many there are."""
        found = [(values.min(), values.max(), len(values)) for values in self if len(values)]
        return min(one[0] for one in found), max(one[1] for one in found), sum(one[2] for one in found)


def _edges(least: Any, most: Any) -> NDArray[Any]:
    """Ascending edges, the first ``least`` and the last ``most``; integers stay whole."""
    if isinstance(least, np.integer):
        step = max(1, -(-(int(most) - int(least)) // BINS))
        return np.append(np.arange(int(least), int(most), step, dtype=np.int64), most)
    edges = np.linspace(least, most, BINS + 1)
    edges[0], edges[-1] = least, most
    return np.unique(edges)
