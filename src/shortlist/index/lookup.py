"""From an index's ids to the positions of its vectors."""

from __future__ import annotations

import functools

import numpy as np

from shortlist.index.values import Ints

__all__ = ["Lookup"]

# A table is worth its memory while it has at most this many slots per id.
_SLOTS_PER_ID = 8


class Lookup:
    """Finds the positions of ids; built on first use, since a search without filters needs none."""

    def __init__(self, ids: Ints) -> None:
        self.ids = ids

    @functools.cached_property
    def _low(self) -> int:
        return int(self.ids.min())

    @functools.cached_property
    def _consecutive(self) -> bool:
        if int(self.ids[-1]) - int(self.ids[0]) != self.ids.size - 1:
            return False
        return bool((self.ids[1:] - self.ids[:-1] == 1).all())

    @functools.cached_property
    def _table(self) -> Ints | None:
        span = int(self.ids.max()) - self._low + 1
        if span > _SLOTS_PER_ID * self.ids.size + 1024:
            return None
        table = np.full(span, -1, np.int64)
        table[self.ids - self._low] = np.arange(self.ids.size)
        return table

    @functools.cached_property
    def _sorted(self) -> tuple[Ints, Ints]:
        order = np.argsort(self.ids)
        return self.ids[order], order

    @property
    def nbytes(self) -> int:
        """Bytes held beside the ids themselves, so far."""
        built = self.__dict__
        arrays = [built["_table"]] if built.get("_table") is not None else list(built.get("_sorted", ()))
        return sum(int(array.nbytes) for array in arrays)

    def positions(self, ids: Ints) -> Ints:
        """The position of each id, int64 ``[ids]``; −1 where the index has none."""
        size = self.ids.size
        if size == 0 or ids.size == 0:
            return np.full(ids.size, -1, np.int64)
        table = None if self._consecutive else self._table
        if self._consecutive or table is not None:
            low, span = self._low, size if table is None else table.size
            inside = (ids >= low) & (ids < low + span)
            if inside.all():
                shifted = ids - low
                return shifted if table is None else table[shifted]
            shifted = np.where(inside, ids, low) - low
            return np.where(inside, shifted if table is None else table[shifted], -1)
        keys, order = self._sorted
        at = np.minimum(np.searchsorted(keys, ids), size - 1)
        return np.where(keys[at] == ids, order[at], -1)
