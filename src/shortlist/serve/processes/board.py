"""Connections of each worker, in memory that all of them see, so that each accepts its share of new ones."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

__all__ = ["AcceptQuota", "Board", "Counted"]

SLOTS = 1024
AHEAD = 2  # connections by which a worker may be ahead of the one that has fewest
PART = 8  # and one more for each so many of that one's: of many that come at once it takes more in a turn of its loop
PATIENCE = 10  # looks for which waiting connections are left to a worker that accepts none
QUIET = 1.0  # seconds without a request after which a connection does not count
NOT_ACCEPTING = 2**31 - 1
FULL = NOT_ACCEPTING - 1  # of a worker that accepts, and has no room now
_NUMBER = array("i").itemsize


class Board:
    """Two numbers for each worker's slot, in memory shared with every process that is forked later.

    They are the connections that it holds, and a count that grows whenever it accepts one.
    """

    def __init__(self) -> None:
        numbers = memoryview(mmap.mmap(-1, (2 * SLOTS + 1) * _NUMBER)).cast("i")
        self._held, self._accepted, self._used = numbers[:SLOTS], numbers[SLOTS : 2 * SLOTS], numbers[2 * SLOTS :]
        self._held[:] = memoryview(array("i", [NOT_ACCEPTING]) * SLOTS)

    def open(self, slot: int) -> None:
        """Note a new worker, which accepts from now on."""
        self.count(slot)  # else it may be taken for the one before, which accepted none
        self.set(slot, 0)

    def set(self, slot: int, connections: int) -> None:
        """Note how many connections a worker holds: ``FULL`` without room for more, ``NOT_ACCEPTING`` where it accepts none."""
        self._held[slot] = connections
        if slot >= self._used[0]:
            self._used[0] = slot + 1

    def count(self, slot: int) -> None:
        """Note that a worker has accepted a connection."""
        self._accepted[slot] = (self._accepted[slot] + 1) & NOT_ACCEPTING

    def held(self) -> list[int]:
        """The connections of all slots that were ever used."""
        return self._held[: self._used[0]].tolist()

    def accepted(self, slot: int) -> int:
        """How many connections the workers in a slot have accepted, up to a multiple of 2^31."""
        return int(self._accepted[slot])


class AcceptQuota:
    """Whether a worker may accept a waiting connection, so that it is not far ahead of the others.

    A worker that is ahead leaves them to those that are behind, which the socket has woken too. One of these that has accepted
    none in ``PATIENCE`` looks, while one waited at each, has stopped, or has no room: nothing is left to it until it accepts
    one again.

    Args:
        board: the connections of all workers.
        slot: of this worker.
        held: counts this worker's connections.
    """

    def __init__(self, board: Board, slot: int, held: Callable[[], int]) -> None:
        self._board, self._slot, self._held = board, slot, held
        self._looks: dict[int, tuple[int, int]] = {}  # for each slot: what it had accepted, and looks since then

    def behind(self, room: bool = True) -> Sequence[int]:
        """The slots of those that are to accept a waiting connection in its place; none if it may do so itself.

        Args:
            room: whether it has room for one; else all others that have are behind.
        """
        held = self._held() if room else FULL
        self._board.set(self._slot, held)
        counts = self._board.held()
        least = min(counts)
        if held < least + AHEAD + least // PART:
            return ()
        return [slot for slot, count in enumerate(counts) if held >= count + AHEAD + count // PART]

    def leaves_to(self, behind: Sequence[int]) -> bool:
        """Whether a connection that waits now is left to any of them; asked at each look."""
        return sum([self._leaves_to(one) for one in behind]) > 0

    def _leaves_to(self, slot: int) -> bool:
        accepted = self._board.accepted(slot)
        before, looks = self._looks.get(slot, (accepted, 0))
        if accepted != before:
            looks = 0
        self._looks[slot] = accepted, min(looks + 1, PATIENCE + 1)
        return looks < PATIENCE

    def _has_stopped(self, slot: int) -> bool:
        before, looks = self._looks.get(slot, (0, 0))
        return looks >= PATIENCE and self._board.accepted(slot) == before

    def accepted(self) -> None:
        """Note that it has accepted one."""
        self._board.count(self._slot)

    def stop(self) -> bool:
        """Accept no more.

        Returns:
            Whether other workers still do; False for the last one to stop. One that accepts none although some wait does not.
        """
        self._board.set(self._slot, NOT_ACCEPTING)
        return any(
            count != NOT_ACCEPTING and not self._has_stopped(slot) for slot, count in enumerate(self._board.held())
        )


class Idler(Protocol):
    """A connection that may be idle."""

    idle_since: float

    @property
    def idle(self) -> bool:
        """Whether it waits for no reply."""


class Counted:
    """The connections of a worker, without those on which nobody has asked for ``QUIET`` seconds.

    They cost the worker nothing. If they counted, a worker that has just been started would get all new connections, and all requests of
    clients that make one for each, until it held as many as the others hold idle.

    Args:
        connections: the open ones.
        opening: counts those that are accepted and not open yet.
    """

    def __init__(self, connections: Collection[Idler], opening: Callable[[], int]) -> None:
        self._connections, self._opening = connections, opening
        self._quiet = 0

    def look(self, now: float) -> None:
        """Count the idle ones again."""
        self._quiet = sum(now - one.idle_since >= QUIET and one.idle for one in self._connections)

    def __call__(self) -> int:
        """How many there are now."""
        count = len(self._connections)
        self._quiet = min(self._quiet, count)  # idle ones were closed since; there are no more until the next look
        return count - self._quiet + self._opening()
