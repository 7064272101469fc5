"""A column of lists: numbers of rows, one row's after another's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["ListColumn", "as_lists"]


class ListColumn(NamedTuple):
    """Row r has ``values[offsets[r] : offsets[r + 1]]``.

    Example:
        >>> column = ListColumn(np.array([0, 2, 2, 3]), np.array([5, 6, 7], np.int32))
        >>> column.at(np.array([2, 0])).values.tolist(), column.at(np.array([2, 0])).offsets.tolist()
        ([7, 5, 6], [0, 1, 3])
    """

    offsets: NDArray[np.int64]  # [rows + 1]
    values: NDArray[np.int32]

    @property
    def rows(self) -> int:
        """How many lists there are."""
        return len(self.offsets) - 1

    def at(self, rows: NDArray[Any]) -> ListColumn:
        """The lists of these rows, numbers or a mask ``[rows]``, in this order."""
        numbers = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        starts = self.offsets[numbers]
        lengths = self.offsets[numbers + 1] - starts
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return ListColumn(offsets, self.values[places])

    def part(self, start: int, stop: int) -> ListColumn:
        """The lists of neighbouring rows."""
        offsets = self.offsets[start : stop + 1]
        return ListColumn(offsets - offsets[0], self.values[int(offsets[0]) : int(offsets[-1])])

    @classmethod
    def joined(cls, parts: Sequence[ListColumn]) -> ListColumn:
        """The lists of several columns, one column after another."""
        lengths = [np.diff(part.offsets) for part in parts]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))])
        return cls(offsets, np.concatenate([np.zeros(0, np.int32), *(part.values for part in parts)]))


def as_lists(values: pl.Series) -> pl.Series:
    """A column of lists, of arrays of one length, or of single values, as lists."""
    values = values.alias("value")
    if isinstance(values.dtype, pl.List):
        return values
    if isinstance(values.dtype, pl.Array):
        return values.arr.to_list()
    return values.to_frame().select(pl.concat_list("value"))["value"]
