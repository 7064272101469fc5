"""The first rows of a table in some order, found part by part, so that a long table keeps nobody waiting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_rows"]

PART = 4096  # rows that are looked at between two pauses, in about half a millisecond

Look = Callable[[slice], tuple[NDArray[np.int64], tuple[NDArray[np.generic], ...]]]


def first_rows(size: int, limit: int, look: Look, pause: Callable[[], object]) -> NDArray[np.int64]:
    """The first ``limit`` rows in the order of some keys; equal ones by row.

    Args:
        size: rows of the table.
        limit: at least 1.
        look: gives, for a part of the table, the rows that count, rising, and their keys, the most important one last.
        pause: called before each part.
    """
    kept: list[tuple[NDArray[np.generic], ...]] = []
    for low in range(0, max(size, 1), PART):
        pause()
        rows, keys = look(slice(low, min(low + PART, size)))
        kept.append(_first(limit, rows, *keys))
        if len(kept) * limit > PART:
            kept = [_joined(limit, kept)]
    return _joined(limit, kept)[0].astype(np.int64)


def _joined(limit: int, parts: list[tuple[NDArray[np.generic], ...]]) -> tuple[NDArray[np.generic], ...]:
    return _first(limit, *(np.concatenate(column) for column in zip(*parts, strict=True)))


def _first(limit: int, *columns: NDArray[np.generic]) -> tuple[NDArray[np.generic], ...]:
    order = np.lexsort(columns)[:limit]
    return tuple(column[order] for column in columns)
