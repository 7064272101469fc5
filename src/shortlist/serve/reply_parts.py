"""The parts of a reply, written one by one within a bound that counts the bytes themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from shortlist.serve.problems import Problem

__all__ = ["ENCODER", "VALUES", "ReplyMemory", "ReplyParts"]

ENCODER = msgspec.json.Encoder()
STEP = 1 << 16  # bytes that a reply may always have; beyond, room is taken in steps of as many
VALUES = 200  # that are written between two pauses, in some tenths of a millisecond
NUMBERS = 2000  # and numbers
HEAD = 64  # bytes kept free in front of the parts, for how a reply begins


class ReplyMemory:
    """Bytes of the long replies that are being written, of all requests together.

    Args:
        most: bytes of one reply; several together have half as many.
        pause: called between ``VALUES`` of a part that is written one by one.
    """

    def __init__(self, most: int, pause: Callable[[], object] = lambda: None) -> None:
        self.most = most
        self.pause = pause
        self.total = 0
        self._lock = threading.Lock()

    def more(self, held: int) -> None:
        """Take another ``STEP`` bytes for a reply that holds ``held``.

        Raises:
            Problem: when other replies have taken all.
        """
        with self._lock:
            if self.total > held and self.total + STEP > self.most // 2:
                raise Problem(
                    503,
                    "too many long replies are being written.",
                    retry_after=1,
                    reason="room",
                    hint="wait for the seconds in Retry-After",
                )
            self.total += STEP

    def less(self, held: int) -> None:
        """Give back the bytes of a reply that is written, or will not be."""
        with self._lock:
            self.total -= held


class ReplyParts:
    """Parts of a reply as JSON, by their position in it, all in one piece of memory.

    No more than the bound and one part is ever held, however long the values are.

    Args:
        count: parts.
        memory: bounds this reply, and all replies together.
    """

    def __init__(self, count: int, memory: ReplyMemory) -> None:
        self.size = 0
        self._memory = memory
        self._held = 0
        self._content = bytearray(HEAD)
        self._spans: list[tuple[int, int]] = [(0, 0)] * count

    def put(self, place: int, value: Any) -> None:
        """Write a value.

        Raises:
            Problem: beyond the bound.
        """
        text = ENCODER.encode(value)
        self._take(len(text))
        begin = self._begun()
        self._content += text
        self._spans[place] = begin, len(self._content)

    def put_each(self, place: int, values: Iterable[Any], before: bytes, after: bytes) -> None:
        """Write values one by one, with commas between them.

        Raises:
            Problem: as soon as they are beyond the bound.
        """
        self._take(len(before) + len(after))
        begin, comma = self._begun(), b""
        self._content += before
        for number, value in enumerate(values, start=1):
            text = ENCODER.encode(value)
            if number % VALUES == 0:
                self._memory.pause()
            self._take(len(text) + 1)
            self._content += comma
            self._content += text
            comma = b","
        self._content += after
        self._spans[place] = begin, len(self._content)

    def put_numbers(self, place: int, values: Sequence[Any], before: bytes, after: bytes) -> None:
        """Write many numbers as ``put_each`` does, ``NUMBERS`` in one call.

        Raises:
            Problem: as soon as they are beyond the bound.
        """
        self._take(len(before) + len(after))
        begin = self._begun()
        self._content += before
        for first in range(0, len(values), NUMBERS):
            if first:
                self._memory.pause()
                self._content += b","
            text = ENCODER.encode(values[first : first + NUMBERS])
            self._take(len(text) - 1)  # without its brackets, with a comma
            self._content += memoryview(text)[1:-1]
        self._content += after
        self._spans[place] = begin, len(self._content)

    def _begun(self) -> int:
        """Where the next part begins."""
        if len(self._content) > HEAD:
            self._content += b","
        return len(self._content)

    def _take(self, size: int) -> None:
        self.size += size
        if self.size > self._memory.most:
            raise Problem(
                422,
                f"the reply would have more bytes; at most {self._memory.most:,} are sent.",
                "$",
                hint="ask for fewer queries, shorter lists or fewer columns at a time",
            )
        while self.size - self._held > STEP:
            self._memory.more(self._held)
            self._held += STEP

    @property
    def parts(self) -> list[Any]:
        """Each part, by its place; None for one that was not written."""
        content = bytes(self._content)
        return [msgspec.Raw(content[begin:end]) if end else None for begin, end in self._spans]

    def whole(self, make: Callable[[list[Any]], Any]) -> bytes | memoryview:
        """The reply that ``make`` makes of the parts, which are the first list in it.

        Parts that were written in their order are not copied.
        """
        if self.size <= STEP or self._spans != sorted(self._spans):
            return ENCODER.encode(make(self.parts))
        head, found, tail = ENCODER.encode(make([])).partition(b"[]")
        assert found
        assert len(head) < HEAD
        self._content += b"]" + tail
        begin = HEAD - len(head) - 1
        self._content[begin:HEAD] = head + b"["
        return memoryview(self._content)[begin:]

    def __del__(self) -> None:
        self._memory.less(self._held)
