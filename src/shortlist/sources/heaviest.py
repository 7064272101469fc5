"""The neighbours of one history that weigh most, by the compiled library of the indexes (``index/native/neighbours.c``)."""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.index.library import index_library
from shortlist.index.workspace import Workspace

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


class _Workspace(Workspace):
    """Memory of a thread for input and output."""

    history = also = rows = np.empty(0, np.int64)
    scores, ages = np.empty(0, np.float32), np.empty(0)

    def __init__(self) -> None:
        super().__init__(_Heaviest, room=_ROOM)
        self.put(rows=np.empty(_ROOM, np.int64), scores=np.empty(_ROOM, np.float32))

    def hold(self, table: Table) -> bool:
        """Whether the library can read this table, whose addresses are noted."""
        arrays: dict[str, NDArray[Any]] = {"offsets": table.offsets, "columns": table.columns, "weights": table.weights}
        if [one.dtype for one in arrays.values()] != [np.int64, np.int32, np.float32]:
            return False
        if not all(one.flags.c_contiguous for one in arrays.values()):
            return False
        self.ages = np.empty(0)  # those of the table before
        self.borrow(table, arrays, size=len(table), length=min(table.length, _ITEMS))
        return True

    def widen(self, count: int, also: int, age: float) -> None:
        """Room for so many items and candidates."""
        items = max(64, 2 * count)
        history, more, ages = np.empty(items, np.int64), np.empty(max(64, 2 * also), np.int64), age ** np.arange(items)
        self.put(history=history, also=more, ages=ages)


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
    if library is None or brief > _ROOM or count > _ITEMS or not (work.owner() is table or work.hold(table)):
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
