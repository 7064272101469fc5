"""The memory that interactions would need, and how much there is."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from shortlist.data.source import Source

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


def available_memory() -> int:
    """Bytes that are available without swapping: of the machine, or of the container where that is less."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 << 30
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return max(free, 0)
