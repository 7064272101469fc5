"""Conditions on candidates: SQL over the columns of their table; the rows of the last ones are remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.conditions import check_text, condition

__all__ = ["Conditions"]

_KEPT = 64  # conditions remembered
_BYTES = 1 << 27  # bytes of row numbers remembered, in addition to those of the last condition


class Conditions:
    """Which rows of a table meet a condition; the last conditions are remembered.

    See ``shortlist.data.conditions`` for what a condition may contain.

        >>> Conditions(pl.DataFrame({"stock": [0, 4, None]})).rows("stock > 0").tolist()
        [1]
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table
        self._known: OrderedDict[str, NDArray[np.int64]] = OrderedDict()
        self._bytes = 0
        self._changing = threading.Lock()

    def rows(self, where: str) -> NDArray[np.int64]:
        """Rows that meet the condition, rising; not to be written to.

        Raises:
            DataError: for an invalid condition, columns that the table lacks, and values that do not fit a column.
        """
        check_text(where, "where")
        with self._changing:
            found = self._known.get(where)
            if found is not None:
                self._known.move_to_end(where)
                return found
        rows: NDArray[np.int64] = _evaluated(
            self._table, where
        ).copy()  # read-only memory of its own: an index caches by arrays that cannot change
        rows.setflags(write=False)
        with self._changing:
            if where not in self._known:
                self._known[where] = rows
                self._bytes += rows.nbytes
            while len(self._known) > 1 and (len(self._known) > _KEPT or self._bytes > _BYTES):
                self._bytes -= self._known.popitem(last=False)[1].nbytes
            return self._known.get(where, rows)


def _evaluated(table: pl.DataFrame, where: str) -> NDArray[np.int64]:
    met = condition(where, table.schema).mask(table)
    return np.flatnonzero(met.to_numpy()).astype(np.int64, copy=False)
