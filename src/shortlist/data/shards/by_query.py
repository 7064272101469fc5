"""The rows of each query, one after another in files of their own, for code that needs all of a query's choices at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from shortlist.errors import DataError
from shortlist.store import mapped_zeros

if TYPE_CHECKING:
    from shortlist.data.shards.blocks import Rows
    from shortlist.data.shards.shards import Shards

__all__ = ["OrderedRows", "chosen_by_query", "file_next_to", "ordered_by_query", "parts_of"]

AT_ONCE = 1 << 22  # rows that are sorted at a time


class OrderedRows(NamedTuple):
    """All rows that are read, by query and then by time; rows of one time stay in the order of the shards.

    The rows of query q are at places ``offsets[q]`` to ``offsets[q + 1]`` of each array ``[rows]``. All but the offsets are mapped
    from files without names next to the shards, which disappear with the arrays.
    """

    offsets: NDArray[np.int64]  # [queries + 1]
    query: NDArray[np.int32]
    candidate: NDArray[np.int32]
    weight: NDArray[np.float32] | None = None
    time: NDArray[Any] | None = None
    context: NDArray[np.int32] | None = None
    number: NDArray[np.int64] | None = None  # of the row among all encoded ones, where shards keep negatives

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.query)


def ordered_by_query(shards: Shards) -> OrderedRows:
    """All rows of shards that are read, by query and then by time.

    1. Shards are read once, a few million rows at a time, and each row goes to the next free place of its query.
    2. The rows of each query are sorted by time, a few million rows at a time.

    Raises:
        DataError: where the disk has no room for the files.
    """
    offsets = _offsets(shards.query_counts)
    total = int(offsets[-1])
    arrays: dict[str, NDArray[Any]] = {}
    for places, order, rows in _placed(shards, offsets, times=True):
        for name in OrderedRows._fields[1:]:
            column = getattr(rows, name)
            if column is not None:
                if name not in arrays:
                    arrays[name] = file_next_to(shards.folder, total, column.dtype, "histories")
                arrays[name][places] = column[order]
    if "time" in arrays:
        for begin, end in parts_of(offsets):
            part = slice(int(offsets[begin]), int(offsets[end]))
            order = np.lexsort((arrays["time"][part], arrays["query"][part]))
            for column in arrays.values():
                column[part] = column[part][order]
    return OrderedRows(offsets, **arrays)


def chosen_by_query(shards: Shards, rank: int = 0, size: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The candidates that each query chose, ascending: those of query q are ``values[offsets[q] : offsets[q + 1]]``.

    1. Shards are read once, a few million rows at a time, and each row goes to the next free place of its query.
    2. The lists are sorted, a few million values at a time.

    Offsets are int64 ``[queries + 1]``. Values are int32 ``[interactions]``, mapped from a file without a name next to the
    shards, of 4 bytes an interaction, which disappears with the array.

    Args:
        rank: with several processes, the number of this one, which gets its own queries alone.
        size: how many processes there are.

    Raises:
        DataError: where the disk has no room for it.
    """
    counts = shards.query_counts.copy()
    counts[np.arange(len(counts)) % size != rank] = 0
    offsets = _offsets(counts)
    values = file_next_to(shards.folder, int(offsets[-1]), np.dtype(np.int32), "mask_known, mined and impressions")
    for places, order, rows in _placed(shards, offsets, rank=rank, size=size):
        values[places] = rows.candidate[order]
    for begin, end in parts_of(offsets):
        part = values[offsets[begin] : offsets[end]]
        owner = np.repeat(np.arange(end - begin, dtype=np.int64), counts[begin:end])
        keys = np.sort(owner * len(shards.candidates) + part)
        part[:] = keys - owner * len(shards.candidates)
    return offsets, values


def parts_of(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of queries that together have all rows, each of a few million rows or of one query."""
    begin, queries = 0, len(offsets) - 1
    while begin < queries:
        end = max(begin + 1, int(np.searchsorted(offsets, offsets[begin] + AT_ONCE, side="right")) - 1)
        yield begin, end
        begin = end


def file_next_to(folder: Path, length: int, dtype: npt.DTypeLike, purpose: str) -> NDArray[Any]:
    """Space for so many numbers in a file without a name in the folder of shards. DataError where the disk has no room."""
    try:
        return mapped_zeros((length,), dtype, str(folder))
    except OSError as error:
        raise DataError(
            f"the choices of all queries take {np.dtype(dtype).itemsize * length:,} bytes next to the shards in {str(folder)!r}: "
            f"{error}.",
            hint=f"free some space, or do not use {purpose}",
        ) from error


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the rows of each query begin, and their end."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _placed(
    shards: Shards, offsets: NDArray[np.int64], rank: int = 0, size: int = 1, times: bool = False
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Rows]]:
    """All rows in the order of the shards, some million at a time: places, which of ``rows`` go there, and ``rows``."""
    free = offsets[:-1].copy()
    for rows in shards.chunks(times=times, numbers=times and shards.negatives is not None):
        mine = np.flatnonzero(rows.query % size == rank) if size > 1 else np.arange(len(rows.query))
        order = mine[np.argsort(rows.query[mine], kind="stable")]
        distinct, first, many = np.unique(rows.query[order], return_index=True, return_counts=True)
        yield np.repeat(free[distinct] - first, many) + np.arange(len(order)), order, rows
        free[distinct] += many
