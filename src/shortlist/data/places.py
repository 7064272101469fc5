"""Where a value of a table is, for messages: the file and its line or row, or the row of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import polars as pl
import polars.selectors as cs

from shortlist.data.opened_files import UNREADABLE
from shortlist.data.source import Source
from shortlist.errors import DataError

__all__ = ["NOWHERE", "Bad", "Places"]

Bad: TypeAlias = Callable[[pl.Series], pl.Series]
"""The values of a column that are refused, as Booleans."""


class Prepared(Protocol):
    """A plan that turns the rows of a table into interactions (``EventPlan``)."""

    def sources(self, columns: Sequence[str]) -> list[str]:
        """The columns to read where these are wanted."""

    def lazily(self, scan: pl.LazyFrame) -> pl.LazyFrame:
        """The rows that are interactions."""


@dataclass(frozen=True)
class Places:
    """Finds the first value of a table that a check refuses; it reads the table again, so it is for errors alone.

    Attributes:
        source: the files of the table.
        frame: the table itself, where it did not come from files.
        plan: which of its rows count.
    """

    source: Source | None = None
    frame: pl.DataFrame | None = None
    plan: Prepared | None = None

    def first(self, column: str, bad: Bad) -> str:
        """``", the first in line 7 of 'log.csv'"``, to end a sentence with; empty if no value is found."""
        if self.frame is not None:
            row = self._row(self.frame.lazy(), self.frame.columns, column, bad)
            return "" if row is None else f", the first in row {row} (counted from 0)"
        for file in () if self.source is None else self.source.files:
            there = self.source.schema().names()  # type: ignore[union-attr]
            wanted = [column] if self.plan is None else self.plan.sources([column])
            scan = self.source.scan(file, [name for name in wanted if name in there])  # type: ignore[union-attr]
            row = self._row(scan, there, column, bad)
            if row is not None:
                return f", the first in {self.source.place(file, row)}"  # type: ignore[union-attr]
        return ""

    def _row(self, scan: pl.LazyFrame, there: Sequence[str], column: str, bad: Bad) -> int | None:
        """The first row, counted from 0 before any is left out."""
        if column not in there:
            return None
        number = "row"
        while number in there:
            number += "_"
        try:
            numbered = scan.with_row_index(number)
            kept = numbered if self.plan is None else self.plan.lazily(numbered)
            rows = kept.select(cs.by_name(number, column)).collect()
            found = rows[number].filter(bad(rows[column].alias("value")).fill_null(False))
        except (*UNREADABLE, DataError):  # the place is an addition to an error that will be shown
            return None
        return int(found[0]) if len(found) else None


NOWHERE = Places()
