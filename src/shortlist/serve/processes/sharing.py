"""Arrays that all workers of one bundle share: the first worker makes them, the others map them."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import ShortlistError
from shortlist.index.values import counted
from shortlist.recommender.manifest import MANIFEST, decoded

__all__ = ["Shared", "shared_of"]

NAMES = ("counts", "order")  # int64, a number for each candidate


class Shared:
    """Memory for one bundle's arrays, made in the supervisor and shared by every process that it forks.

    Args:
        rows: candidates of the bundle.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._numbers = counted(rows)  # held, so that forked processes need not make it
        self._there = mmap.mmap(-1, len(NAMES))  # 1 for each array that was made
        self._memory = {name: mmap.mmap(-1, max(1, 8 * rows)) for name in NAMES}

    def __call__(self, name: str, make: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
        """The array of a name, read-only; made if it is missing."""
        place = NAMES.index(name)
        array = np.frombuffer(self._memory[name], np.int64, self._rows)
        if not self._there[place]:
            made = make()
            if made.shape != array.shape:  # another bundle was put there since
                return made
            array[:] = made
            self._there[place] = 1
        array.flags.writeable = False
        return array


def shared_of(path: Path) -> Shared | None:
    """Memory for the arrays of the bundle at ``path``; None if there is none, which the first worker reports.

    Nobody has checked the bundle yet: where its manifest counts more candidates than its files have bytes, it is none.
    """
    with contextlib.suppress(ShortlistError, OSError, MemoryError):
        rows = decoded(path / MANIFEST).candidates.rows
        files = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
        if 0 <= rows <= sum(map(os.path.getsize, files)):
            return Shared(rows)
    return None
