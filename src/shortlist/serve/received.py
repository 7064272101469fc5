"""Bodies that are being received or wait for their turn: few bytes in total, of all senders together."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SMALL", "Received", "Sender"]

SMALL = 65_536  # bytes that a connection may always send
MOST = 16 << 20  # bytes of all others together, or four of the longest bodies


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
    """Bytes of requests that are not answered yet, by connection; of those that sent more than ``SMALL``.

    Args:
        longest: bytes that a body may have.
    """

    def __init__(self, longest: int) -> None:
        self.most = max(MOST, 4 * longest)
        self.total = 0
        self._of: dict[Sender, int] = {}

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
        """Forget ``sender``: everything that it sent is answered, or it has hung up."""
        self.total -= self._of.pop(sender, 0)
