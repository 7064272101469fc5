"""Connections of each worker, in memory that all of them see, so that each accepts its share of new ones."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable

__all__ = ["AcceptQuota", "Board"]

SLOTS = 1024
AHEAD = 2  # connections by which a worker may be ahead of the one that has fewest
PART = 8  # and one more for each so many of that one's: of many that come at once it takes more in a turn of its loop
PATIENCE = 10  # looks for which waiting connections are left to others
_NUMBER = struct.Struct("<i")
NOT_ACCEPTING = -1


class Board:
    """A number for each worker's slot, in memory shared with every process that is forked later."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SLOTS * _NUMBER.size)
        for slot in range(SLOTS):
            self.set(slot, NOT_ACCEPTING)

    def set(self, slot: int, connections: int) -> None:
        """Note how many connections a worker holds; ``NOT_ACCEPTING`` for a slot whose worker accepts none."""
        _NUMBER.pack_into(self._memory, slot * _NUMBER.size, connections)

    def least(self, but: int, slots: int) -> int | None:
        """The fewest connections in one of the first ``slots``, apart from ``but``; None if there is no other."""
        values = [_NUMBER.unpack_from(self._memory, slot * _NUMBER.size)[0] for slot in range(slots) if slot != but]
        return min((one for one in values if one != NOT_ACCEPTING), default=None)


class AcceptQuota:
    """Whether a worker may accept a waiting connection, so that it is not far ahead of the others.

    A worker that is ahead leaves them to others, which the socket has woken too. If nobody accepts them within
    ``PATIENCE`` looks, it accepts one anyway, since the others may have stopped.

    Args:
        board: the connections of all workers.
        slot: of this worker.
        slots: how many may be in use.
        held: counts this worker's connections.
    """

    def __init__(self, board: Board, slot: int, slots: int, held: Callable[[], int]) -> None:
        self._board, self._slot, self._slots, self._held = board, slot, slots, held
        self._looks = 0

    def __call__(self) -> bool:
        """Whether to accept one now."""
        held = self._held()
        self._board.set(self._slot, held)
        least = self._board.least(self._slot, self._slots)
        if least is None or held < least + AHEAD + least // PART or self._looks >= PATIENCE:
            self._looks = 0
            return True
        self._looks += 1
        return False

    def stop(self) -> bool:
        """Accept no more.

        Returns:
            Whether other workers still do; False for the last one to stop.
        """
        self._board.set(self._slot, NOT_ACCEPTING)
        return self._board.least(self._slot, self._slots) is not None
