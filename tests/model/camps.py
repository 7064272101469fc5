"""Readers in four camps, and models over them, for several tests."""

from __future__ import annotations

import shortlist as sl
from shortlist.model import EmbeddingTable

__all__ = ["camps", "tables", "towers"]


def camps(readers: int = 20) -> sl.Dataset:
    """Reader r chose book r mod 4, three times."""
    rows = {
        "reader": [r for r in range(readers) for _ in range(3)],
        "book": [r % 4 for r in range(readers) for _ in range(3)],
    }
    return sl.Dataset(rows, "reader", "book")


def towers(**options: object) -> sl.TwoTower:
    sides = [sl.Tower(sl.IntegerLookup(side), dim=8, **options) for side in ("reader", "book")]  # type: ignore[arg-type]
    return sl.TwoTower(*sides)


def tables(model: sl.TwoTower) -> list[EmbeddingTable]:
    return [part for part in model.modules() if isinstance(part, EmbeddingTable)]
