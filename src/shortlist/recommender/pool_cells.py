"""Values of the candidates that the rules for a list choose among."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["PoolCells", "each"]

BLOCK, BLOCKS = 256, 256  # cells that are read at a time, and how many such blocks are kept


class PoolCells:
    """Values of a pool's candidates, read a block at a time where they are asked for: few of a large pool's are.

    Args:
        table: of the candidates.
        rows: of the pool.
    """

    def __init__(self, table: pl.DataFrame, rows: NDArray[np.int64]) -> None:
        self._table, self._rows = table, rows
        self._blocks: dict[tuple[str, int], list[Any]] = {}

    def value(self, column: str, at: int) -> Any:
        """The value of a column for the candidate at a place in the pool."""
        key = column, at // BLOCK
        if key not in self._blocks:
            if len(self._blocks) >= BLOCKS:
                self._blocks.clear()
            start = at // BLOCK * BLOCK
            self._blocks[key] = self._table[column].gather(self._rows[start : start + BLOCK]).to_list()
        return self._blocks[key][at % BLOCK]

    def values(self, column: str, at: int) -> list[Any]:
        """The values of that cell: none of null, each of a list."""
        return each(self.value(column, at))


def each(value: Any) -> list[Any]:
    """The values of a cell: none of null, each of a list."""
    if value is None:
        return []
    listed = isinstance(value, (list, pl.Series))
    return [one for one in dict.fromkeys(value) if one is not None] if listed else [value]
