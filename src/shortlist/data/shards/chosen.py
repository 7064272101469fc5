"""The choices of each query, one after another in a file of its own, for code that needs them in every batch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import DataError

if TYPE_CHECKING:
    from shortlist.data.shards.shards import Shards

__all__ = ["chosen_by_query"]

SORT_AT_ONCE = 1 << 22


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
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    values = _mapped(shards.folder, int(offsets[-1]))
    free = offsets[:-1].copy()
    for rows in shards.chunks():
        mine: slice | NDArray[np.bool_] = slice(None) if size == 1 else rows.query % size == rank
        query, candidate = rows.query[mine], rows.candidate[mine]
        order = np.argsort(query, kind="stable")
        distinct, first, many = np.unique(query[order], return_index=True, return_counts=True)
        values[np.repeat(free[distinct] - first, many) + np.arange(len(order))] = candidate[order]
        free[distinct] += many
    begin = 0
    while begin < len(counts):
        end = max(begin + 1, int(np.searchsorted(offsets, offsets[begin] + SORT_AT_ONCE, side="right")) - 1)
        part = values[offsets[begin] : offsets[end]]
        owner = np.repeat(np.arange(end - begin, dtype=np.int64), counts[begin:end])
        keys = np.sort(owner * len(shards.candidates) + part)
        part[:] = keys - owner * len(shards.candidates)
        begin = end
    return offsets, values


def _mapped(folder: Path, length: int) -> NDArray[np.int32]:
    """Space for so many numbers, reserved on the disk now: a mapped file without space later would end the process."""
    if not length:
        return np.zeros(0, np.int32)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, 4 * length)
            else:
                os.ftruncate(file.fileno(), 4 * length)
            return np.memmap(file, np.int32, "r+", shape=(length,)).view(np.ndarray)
    except OSError as error:
        raise DataError(
            f"the choices of all queries take {4 * length:,} bytes next to the shards in {str(folder)!r}: {error}.",
            hint="free some space, or do not use mask_known and impressions",
        ) from error
