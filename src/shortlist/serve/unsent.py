"""Replies that wait for their readers: few bytes in total, and none for a reader that has stopped reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Reader", "Unsent"]

STEP = 16_384  # bytes that a reader takes, at the least, in the seconds that it has
PATIENCE = 2.0  # seconds that a reader has while the server stops
LONGEST_REMAINDER = 10.0  # seconds that the rest of a reply may take at its reader's pace while the server stops


class Reader(Protocol):
    """A connection, and the bytes that it has not received yet."""

    def buffered(self) -> int:
        """Bytes of replies in this process's memory."""

    def outstanding(self) -> int:
        """Bytes that the other side has not received: ``buffered`` and what the kernel keeps."""

    def abort(self, reason: str) -> None:
        """End the connection at once."""


@dataclass
class _Progress:
    begun: float
    first: int  # bytes left then
    at: float  # the last time that a step was taken
    left: int  # bytes left then
    held: int = 0

    def remaining_seconds(self, now: float) -> float:
        """Seconds that what is left would take at the reader's pace until now."""
        return self.left * (now - self.begun) / max(self.first - self.left, 1)


class Unsent:
    """Bytes of replies that could not be sent at once, by reader.

    A reader that takes less than ``STEP`` bytes in ``seconds`` is cut off. When more than ``most`` bytes are unsent in
    total, the readers that would take longest for the rest are cut off until there are no more than that.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._finishing = False
        self._of: dict[Reader, _Progress] = {}
        self._at_most = 0  # bytes unsent, by what each reader held when it was last counted

    @property
    def total(self) -> int:
        """Bytes unsent."""
        for reader in self._of:
            self._count(reader)
        return self._at_most

    def add(self, reader: Reader, now: float) -> None:
        """Record that a reply to ``reader`` could not be sent whole; others are cut off if there is no room for it."""
        self.watch(reader, now)
        if self._at_most <= self._most or self.total <= self._most:
            return
        others = [one for one in self._of if one is not reader]
        for other in others:
            self._update(other, now)
        for slowest in sorted(others, key=lambda one: -self._of[one].remaining_seconds(now)):
            self._cut(slowest, "room")
            if self._at_most <= self._most:
                return

    def watch(self, reader: Reader, now: float) -> None:
        """Count what ``reader`` has not taken."""
        if reader not in self._of:
            left = reader.outstanding()
            self._of[reader] = _Progress(now, left, now, left)
        self._count(reader)

    def discard(self, reader: Reader) -> None:
        """Forget ``reader``: it has taken everything, or has hung up."""
        progress = self._of.pop(reader, None)
        if progress is not None:
            self._at_most -= progress.held

    def check(self, now: float) -> None:
        """Cut off readers that have stopped reading."""
        seconds = min(self._seconds, PATIENCE) if self._finishing else self._seconds
        for reader, progress in list(self._of.items()):
            if not self._count(reader):
                self.discard(reader)
                continue
            self._update(reader, now)
            if now - progress.at > seconds or (self._finishing and progress.remaining_seconds(now) > LONGEST_REMAINDER):
                self._cut(reader, "unread")

    def _count(self, reader: Reader) -> int:
        progress, held = self._of[reader], reader.buffered()
        self._at_most += held - progress.held
        progress.held = held
        return held

    def _update(self, reader: Reader, now: float) -> None:
        """Record how far a reader has read."""
        progress, left = self._of[reader], reader.outstanding()
        if progress.left - left >= STEP:
            progress.at, progress.left = now, left
        elif left > progress.left:  # more was written
            progress.first += left - progress.left
            progress.left = left

    def _cut(self, reader: Reader, reason: str) -> None:
        self.discard(reader)
        reader.abort(reason)

    def finish(self) -> None:
        """From now on readers have little time: the server stops."""
        self._finishing = True
