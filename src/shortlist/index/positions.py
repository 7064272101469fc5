"""From an index's ids to the positions of its vectors."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from shortlist.index.values import Ints

__all__ = ["Positions", "Remembered"]

_Value = TypeVar("_Value")

# A table is worth its memory while it has at most this many slots per id.
_SLOTS_PER_ID = 8
_COMPARED = 1 << 16  # ids compared at a time, so that no copy of all is made


class Positions:
    """Finds the positions of int64 ids; built on first use, since a search without filters needs none."""

    def __init__(self, ids: Ints) -> None:
        self.ids = ids
        self._members: Remembered[Ints] = Remembered()
        self._masks: Remembered[npt.NDArray[np.bool_]] = Remembered()

    def __reduce__(self) -> tuple[Any, ...]:
        return Positions, (self.ids,)  # what was found is found again

    @functools.cached_property
    def _low(self) -> int:
        return int(self.ids.min())

    @functools.cached_property
    def _consecutive(self) -> bool:
        if int(self.ids[-1]) - int(self.ids[0]) != self.ids.size - 1:
            return False
        parts = (self.ids[low : low + _COMPARED + 1] for low in range(0, self.ids.size - 1, _COMPARED))
        return all(bool((part[1:] - part[:-1] == 1).all()) for part in parts)

    @functools.cached_property
    def counting(self) -> bool:
        """Whether ids are 0, 1, 2, …"""
        return self.ids.size > 0 and int(self.ids[0]) == 0 and self._consecutive

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
        """Bytes held in addition to the ids, so far."""
        built = self.__dict__
        arrays = [built["_table"]] if built.get("_table") is not None else list(built.get("_sorted", ()))
        return sum(int(array.nbytes) for array in arrays)

    def find(self, ids: Ints) -> Ints:
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

    def members(self, ids: Ints) -> Ints:
        """The sorted distinct positions of the ids that the index has. Remembered where ``ids`` cannot be written to."""
        return self._members.of(ids, self._sorted_positions)

    def mask(self, positions: Ints) -> npt.NDArray[np.bool_]:
        """True at ``positions``, ``[ids]``, not to be written to. Remembered where they cannot be written to."""
        return self._masks.of(positions, self._marked)

    def _marked(self, positions: Ints) -> npt.NDArray[np.bool_]:
        marked = np.zeros(self.ids.size, bool)
        marked[positions] = True
        return marked

    def _sorted_positions(self, ids: Ints) -> Ints:
        positions = self.find(ids)
        positions = positions[positions >= 0]
        few = positions.size * 32 < self.ids.size
        found = np.unique(positions) if few else np.flatnonzero(self._marked(positions))
        found.setflags(write=False)
        return found


class Remembered(Generic[_Value]):
    """Values derived from arrays that nobody can write to; dropped when the arrays are."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[weakref.ref[Any], _Value]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Remembered, ()  # a copy's arrays are others

    def of(self, array: Ints, make: Callable[[Ints], _Value]) -> _Value:
        """``make(array)``."""
        if not _frozen(array):
            return make(array)
        key = id(array)
        held = self._held.get(key)
        if held is not None and held[0]() is array:
            return held[1]
        value = make(array)
        self._held[key] = (weakref.ref(array, lambda _: self._held.pop(key, None)), value)
        return value


def _frozen(array: Ints) -> bool:
    """Whether neither the array nor what it looks at can be written to."""
    part: Any = array
    while isinstance(part, np.ndarray):
        if part.flags.writeable:
            return False
        part = part.base
    return part is None
