"""The memory that interactions would need."""

from __future__ import annotations

import polars as pl

from shortlist.data.source import Source
from shortlist.store import available_memory

__all__ = ["available_memory", "memory_of", "row_bytes"]

TEXT = 40  # bytes of a string: its view and some characters of its own
TEXT_TIMES, PACKED = 4, 5  # a byte of text as a table and its parts; a byte of packed text as text
NUMBERS = 40  # bytes of an interaction as row numbers, in training: both kinds of int32, both of int64, an order


def row_bytes(schema: pl.Schema) -> int:
    """Bytes of a row of a frame, assuming short strings."""
    widths = {pl.String: TEXT, pl.Boolean: 1, pl.Int8: 1, pl.UInt8: 1, pl.Int16: 2, pl.UInt16: 2}
    widths |= {pl.Int32: 4, pl.UInt32: 4, pl.Float32: 4, pl.Date: 4}
    return sum(TEXT * 2 if kind.is_nested() else widths.get(kind.base_type(), 8) for kind in schema.dtypes())


def memory_of(source: Source) -> int:
    """Bytes that training from memory takes for the interactions: the table, both parts of a split, and row numbers.

    For text files, a rough guess by their size.
    """
    if source.kind.family in ("delimited", "json"):
        packed = source.kind.packed is not None
        return sum(max(file.bytes, 0) for file in source.files) * (PACKED if packed else 1) * TEXT_TIMES
    rows = sum(map(source.rows, source.files))
    return rows * (2 * row_bytes(source.schema()) + NUMBERS)
