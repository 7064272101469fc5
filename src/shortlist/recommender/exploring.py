"""The candidates that a list may explore: each leaves once, when it no longer fits, and is not looked at again."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.recommender.pool_cells import PoolCells

__all__ = ["Explored"]


class Explored:
    """Candidates of one list that are drawn from.

    Args:
        table: of the candidates.
        rows: that may be explored; each once.
        columns: whose values the list counts.

    Attributes:
        rows: all of them.
    """

    def __init__(self, table: pl.DataFrame, rows: NDArray[np.int64], columns: Collection[str]) -> None:
        self.rows = rows
        self._fits = np.ones(len(rows), bool)
        self._place = {row: at for at, row in enumerate(rows.tolist())}
        cells = PoolCells(table, rows)
        self._values = {column: [cells.values(column, at) for at in range(len(rows))] for column in columns}
        self._with: dict[tuple[str, Any], list[int]] = {}
        for column, values in self._values.items():
            for at, some in enumerate(values):
                for value in some:
                    self._with.setdefault((column, value), []).append(at)

    def fitting(self) -> NDArray[np.int64]:
        """The places, in ``rows``, of those that still fit; rising."""
        return np.flatnonzero(self._fits)

    def values(self, at: int) -> dict[str, list[Any]]:
        """The values of one by column."""
        return {column: values[at] for column, values in self._values.items()}

    def without(self, row: int) -> None:
        """The list has this row now."""
        at = self._place.get(row)
        if at is not None:
            self._fits[at] = False

    def without_value(self, column: str, value: Any) -> None:
        """The list has as many with this value as it may."""
        self._fits[self._with.pop((column, value), [])] = False
