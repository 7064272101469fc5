"""An index of one number a candidate."""

from __future__ import annotations

import numpy as np

from shortlist.index import BruteForce
from shortlist.index.base import LiveIndex

ONE = np.array([[1.0]], np.float32)


def column(*numbers: float) -> np.ndarray:
    """Vectors of one number, which is their score with ``ONE``."""
    return np.array(numbers, np.float32).reshape(-1, 1)


def built() -> LiveIndex:
    return BruteForce().build(column(1, 5, 3), np.array([10, 50, 30]))


def ids_of(index: LiveIndex, k: int = 99, **filters: object) -> list[int]:
    (found,) = index.search(ONE, k, **filters)
    return found[0].tolist()
