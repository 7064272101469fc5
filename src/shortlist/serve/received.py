"""Bodies that are being received or wait for their turn: few bytes in total, and few in each turn of the event loop."""

from __future__ import annotations

import asyncio
import sys
from typing import Protocol

__all__ = ["SMALL", "Intake", "Received", "Sender"]

SMALL = 65_536  # bytes that a connection may always send
IN_A_TURN = (
    65_536  # bytes of long requests that are parsed in one turn of the event loop, in some tenths of a millisecond
)
MOST = 16 << 20  # bytes of all others together, or four of the longest bodies
PARTS = 16 << 20  # and so many more of all parts of requests, however short each of them is


class Sender(Protocol):
    """A connection, and the bytes received on it.

    Attributes:
        waiting_since: since when it waits for the rest of a request; None for a whole one.
    """

    waiting_since: float | None

    def abort(self, reason: str) -> None:
        """End the connection at once."""

    def refuse_body(self) -> None:
        """Refuse the request that is being received."""


class Received:
    """Bytes of requests that are not answered yet, by connection: of those that sent more than ``SMALL``, and of all that wait
    for the rest of one.

    Args:
        longest: bytes that a body may have.
        senders: requests whose head has arrived, and not all of their body.
    """

    def __init__(self, longest: int, senders: int = sys.maxsize) -> None:
        self.most = max(MOST, 4 * longest)
        self.total = 0
        self._of: dict[Sender, int] = {}
        self._parts: dict[Sender, int] = {}  # bytes of requests that have not arrived whole; the first that began first
        self._in_parts = 0
        self._senders = senders
        self._awaited: dict[Sender, None] = {}  # the one that has been awaited for longest first

    def wait_for(self, sender: Sender) -> None:
        """Record that the rest of a body is awaited, until it is ``whole``; of too many the first is closed."""
        self._awaited.pop(sender, None)
        self._awaited[sender] = None
        if len(self._awaited) > self._senders:
            first = next(iter(self._awaited))
            self.discard(first)
            first.abort("room")

    def hold(self, sender: Sender, size: int) -> None:
        """Record that so many bytes of ``sender`` are kept, until what they belong to is ``whole``; of too many the first is closed."""
        self._in_parts += size - self._parts.get(sender, 0)
        self._parts[sender] = size
        while self._in_parts > self.most + PARTS and self._parts:
            first = next(iter(self._parts))
            self.discard(first)
            first.abort("room")

    def _release(self, sender: Sender) -> None:
        self._in_parts -= self._parts.pop(sender, 0)

    def whole(self, sender: Sender) -> None:
        """Record that the request of ``sender`` has arrived."""
        self._awaited.pop(sender, None)
        self._release(sender)

    def put(self, sender: Sender, size: int) -> None:
        """Record that ``sender`` has sent so many bytes by now.

        If there is no room, the connection that has been sending for longest is closed.
        """
        if size <= SMALL:
            return
        self.total += size - self._of.get(sender, 0)
        self._of[sender] = size
        while self.total > self.most:
            sending = [one for one in self._of if one is not sender and one.waiting_since is not None]
            if not sending:  # the others are whole, and wait for their turn
                self.discard(sender)
                sender.refuse_body()
                return
            slowest = min(sending, key=lambda one: one.waiting_since or 0.0)
            self.discard(slowest)
            slowest.abort("room")

    def discard(self, sender: Sender) -> None:
        """Forget ``sender``: it has hung up."""
        self._awaited.pop(sender, None)
        self.answered(sender)

    def answered(self, sender: Sender) -> None:
        """Record that everything that ``sender`` sent is answered."""
        self.total -= self._of.pop(sender, 0)
        self._release(sender)


class Reader(Protocol):
    """A connection with bytes that were read and not parsed."""

    def parse_more(self) -> None:
        """Parse them, or as many as are allowed."""


class Intake:
    """How much of long requests is parsed in one turn of the event loop: ``IN_A_TURN`` bytes of all senders together.

    A turn of the loop reads every socket that has something, so without this a hundred senders of a megabyte would take
    a tenth of a second of each turn, and every other request needs several turns. Senders with more have their turns in
    the order in which they began to wait.
    """

    def __init__(self) -> None:
        self._left = IN_A_TURN
        self._waiting: dict[Reader, None] = {}
        self._scheduled = False

    def take(self, size: int) -> bool:
        """Whether so many bytes may be parsed in this turn."""
        if self._left <= 0:
            return False
        self._left -= size
        self._schedule()
        return True

    def wait(self, reader: Reader) -> None:
        """Have ``reader`` parse in one of the next turns."""
        self._waiting[reader] = None
        self._schedule()

    def discard(self, reader: Reader) -> None:
        """Forget ``reader``: it has nothing to parse, or has hung up."""
        self._waiting.pop(reader, None)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._scheduled, self._left = False, IN_A_TURN
        for reader in list(self._waiting):
            if self._left <= 0:
                break
            self._waiting.pop(reader, None)
            reader.parse_more()
