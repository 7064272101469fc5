"""The neighbours of one history that weigh most, by the compiled library of the indexes (``index/native/neighbours.c``)."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.index.library import addresses, index_library

__all__ = ["heaviest"]

_ROOM = 4096  # weights that are added up by candidate: numpy sorts more in less time
_ITEMS = 1 << 14  # of a history; longer ones are rare


class Table(Protocol):
    """The part of ``Neighbours`` that the library reads."""

    @property
    def offsets(self) -> NDArray[np.int64]: ...

    @property
    def columns(self) -> NDArray[np.int32]: ...

    @property
    def weights(self) -> NDArray[np.float32]: ...

    @property
    def age(self) -> float: ...

    @property
    def length(self) -> int: ...

    def __len__(self) -> int: ...


def _none() -> None:
    """In place of a reference."""


class _Heaviest(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("size", "length", "brief", "every", "sampled", "count", "also_count", "room")
        ),
        *(
            (name, ctypes.c_void_p)
            for name in ("offsets", "columns", "weights", "ages", "history", "also", "rows", "scores")
        ),
        ("found", ctypes.c_int64),
        ("least", ctypes.c_double),
    )


class _Workspace(threading.local):
    """Memory of a thread for input and output, so that a call needs no addresses but those it has."""

    def __init__(self) -> None:
        self.given = _Heaviest(room=_ROOM)
        self.reference = ctypes.byref(self.given)
        self.table: Callable[[], object] = _none
        self.rows, self.scores = np.empty(_ROOM, np.int64), np.empty(_ROOM, np.float32)
        self.history = self.also = np.empty(0, np.int64)
        self.ages: NDArray[Any] = np.empty(0)
        self.given.rows, self.given.scores = addresses(self.rows, self.scores)

    def hold(self, table: Table) -> bool:
        """Whether the library can read this table, whose addresses are noted."""
        arrays = (table.offsets, table.columns, table.weights)
        if [one.dtype for one in arrays] != [np.int64, np.int32, np.float32]:
            return False
        if not all(one.flags.c_contiguous for one in arrays):
            return False
        self.table = _none  # until all is noted: an interrupt may come between any two lines
        self.given.offsets, self.given.columns, self.given.weights = addresses(*arrays)
        self.given.size, self.given.length = len(table), min(table.length, _ITEMS)
        self.ages = np.empty(0)
        self.table = weakref.ref(table)
        return True

    def widen(self, count: int, also: int, age: float) -> None:
        """Room for so many items and candidates."""
        self.ages, self.also = np.empty(0), np.empty(0, np.int64)  # until the addresses of what replaces them are noted
        items = max(64, 2 * count)
        history, more, ages = np.empty(items, np.int64), np.empty(max(64, 2 * also), np.int64), age ** np.arange(items)
        self.given.history, self.given.also, self.given.ages = addresses(history, more, ages)
        self.history, self.also, self.ages = history, more, ages


_workspace = _Workspace()


def heaviest(
    table: Table, history: NDArray[np.int64], brief: int, every: int, sampled: int, also: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32], float] | None:
    """The result of ``Neighbours.heaviest``; None where the library is missing, or more is to be added up than it does faster.

    Args:
        table: of neighbours.
        history: candidate rows, oldest first.
        brief: so many weights are all added up by candidate.
        every: one in so many weights is looked at for where the highest begin.
        sampled: how many of these are above the least that is kept.
        also: candidates whose scores are wanted in any case.
    """
    library, work = index_library(), _workspace
    count, more = history.size, also.size
    if library is None or brief > _ROOM or count > _ITEMS or not (work.table() is table or work.hold(table)):
        return None
    if count > work.ages.size or more > work.also.size:
        work.widen(count, more, table.age)
    given = work.given
    work.history[:count], work.also[:more] = history, also
    given.brief, given.every, given.sampled = brief, every, sampled
    given.count, given.also_count = count, more
    if library.shortlist_heaviest(work.reference):
        return None
    found = given.found
    return work.rows[:found].copy(), work.scores[:found].copy(), _rounded(given.least)


def _rounded(score: float) -> float:
    """The float32 that is nearest."""
    return ctypes.c_float(score).value
