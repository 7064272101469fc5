"""Conditions on candidates: SQL over the columns of their table; the rows of the last ones are remembered."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist._forks import refuse_after_fork
from shortlist.data.condition_text import check_text
from shortlist.data.conditions import Condition, in_parts

__all__ = ["Conditions", "Evaluation"]

_KEPT = 64  # conditions remembered
_BYTES = 1 << 25  # bytes of row numbers remembered, in addition to those of the last condition
_PIECE = 1 << 20  # comparisons in the first piece of a table: some milliseconds
_LEAST, _MOST = 1 << 11, 1 << 19  # rows of a piece; temporary columns are as long
_SECONDS = 0.005  # what a piece is to take: a request that needs one turn of the same thread waits for it


class Evaluation:
    """A condition on a table, computed piece by piece.

    Args:
        table: the columns.
        where: SQL.
        done: called with the rows at the end.
        option: what to call the condition in errors.

    Attributes:
        is_read: whether all of the text is read; ``read`` reads more of it.
        rows: the rows that meet it, rising, not to be written to; None until ``step`` has seen the whole table.

    Raises:
        DataError: for an invalid condition and columns that the table lacks; as soon as that is read.
    """

    def __init__(
        self, table: pl.DataFrame, where: str, done: Callable[[NDArray[np.int64]], object], option: str = "where"
    ) -> None:
        self._table, self._done = table, done
        self._at = self._size = 0
        self._found: list[NDArray[np.int64]] = []
        self._reading = in_parts(where, table.schema, option=option)
        self.is_read = False
        self.rows: NDArray[np.int64] | None = None
        self.read()

    def read(self) -> None:
        """Reads the next part of the condition, in a millisecond or two."""
        try:
            next(self._reading)
        except StopIteration as end:
            self._condition: Condition = end.value
            self._size = min(max(_PIECE // self._weight, _LEAST), _MOST)
            self._pieces = -(-len(self._table) // self._size)  # as expected
            self.is_read = True

    @property
    def cost(self) -> int:
        """The cost of all pieces, in comparisons of numbers; what each but the first costs whatever its rows counts too."""
        self._read_all()
        return len(self._table) * self._weight + max(0, self._pieces - 1) * self._condition.overhead

    @property
    def _weight(self) -> int:
        """The cost of a row; a text of more than a few words counts as several."""
        table, length = self._table, 32
        texts = [table[name] for name in self._condition.columns if table.schema[name] == pl.String]
        longest = int(max((column.estimated_size() for column in texts), default=0)) // max(1, len(table))
        return self._condition.weight * max(1, longest // length)

    def _read_all(self) -> None:
        while not self.is_read:
            self.read()

    def step(self, part: int = 1) -> bool:
        """Computes the next piece, of some milliseconds; whether that was the last.

        Args:
            part: a piece is so many times shorter, for others' sake.

        Raises:
            DataError: for values that cannot be compared.
        """
        self._read_all()
        begun, size = time.perf_counter(), -(-self._size // part)
        piece = self._table.slice(self._at, size)
        mask = self._condition.mask(piece)
        self._found.append(np.flatnonzero(mask.to_numpy()).astype(np.int64, copy=False) + self._at)
        self._at += size
        rows = size * self._weight  # the rest of the time does not depend on how many rows there are
        taken = max((time.perf_counter() - begun) * rows / (rows + self._condition.overhead), 1e-6) * self._size / size
        self._size = int(min(max(self._size * min(2.0, _SECONDS / taken), _LEAST), _MOST))
        if self._at < len(self._table):
            return False
        met = self._found[0] if len(self._found) == 1 else np.concatenate(self._found)
        met.setflags(write=False)  # its own memory: an index remembers what cannot change
        self.rows, self._found = met, []
        self._done(met)
        return True


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

    def __reduce__(self) -> tuple[Any, ...]:
        return Conditions, (self._table,)  # without the conditions that are remembered

    def rows(self, where: str, option: str = "where") -> NDArray[np.int64]:
        """Rows that meet the condition, rising; not to be written to.

        Args:
            where: SQL.
            option: what to call the condition in errors.

        Raises:
            DataError: for an invalid condition, columns that the table lacks, and values that do not fit a column.
        """
        check_text(where, option)
        found = self.known(where)
        if found is not None:
            return found
        evaluation = self.begin(where, option)
        while not evaluation.step():
            pass
        assert evaluation.rows is not None
        return evaluation.rows

    def known(self, where: str) -> NDArray[np.int64] | None:
        """The rows of a condition that is remembered."""
        with self._changing:
            found = self._known.get(where)
            if found is not None:
                self._known.move_to_end(where)
            return found

    def begin(self, where: str, option: str = "where") -> Evaluation:
        """The condition, to be computed piece by piece and then remembered. Errors as for ``rows``."""
        refuse_after_fork("a condition")

        def remember(rows: NDArray[np.int64]) -> None:
            with self._changing:
                if where not in self._known:
                    self._known[where] = rows
                    self._bytes += rows.nbytes
                while len(self._known) > 1 and (len(self._known) > _KEPT or self._bytes > _BYTES):
                    self._bytes -= self._known.popitem(last=False)[1].nbytes

        return Evaluation(self._table, where, remember, option)
