"""Admission of requests: a few at a time, a queue that can be answered in time, and a 503 for all others.

Refusals must cost next to nothing, or a flood of requests leaves no time for answers. So a request is refused before it
is parsed, and nothing more is read from a refused connection until the server can afford it, or has nothing else to do: until
then the kernel keeps what the client sends. A client that waits for the seconds in ``Retry-After`` notices none of this.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Protocol

from shortlist.serve.clock import Moment
from shortlist.serve.problems import TYPE, Problem
from shortlist.serve.settings import Limits

__all__ = ["Admission", "Entry", "Probes", "is_plain", "overloaded"]

SLOTS = 128  # requests answered at a time, between two looks at the sockets: batches are larger in a flood
FIRST = 0.0002  # seconds from one request to the next, until it is measured
WINDOW = 0.1  # seconds over which it is measured
STALE = 1.0  # seconds after which a measurement no longer counts
REFUSAL = 0.004  # seconds that pass for each refusal: one takes about 40 µs, so that all take a hundredth of the time
PAUSE = 0.005  # seconds between two looks at which connections may be read again
PROBES = 4  # that begin in one turn of the event loop: each takes about as long as an answer


class Connection(Protocol):
    """A connection: its requests begin, and it is read again some time after a refusal."""

    def start(self, cycle: Any, app: Any, leave: Callable[[float], None] | None) -> bool: ...

    def resume(self) -> None: ...


class _Late:
    """A request that waits while its connection is read.

    Args:
        turn: done when its turn has come.

    Attributes:
        begun: whether it has.
    """

    def __init__(self, turn: asyncio.Future[None]) -> None:
        self.turn = turn
        self.begun = False

    def start(self, cycle: Any, app: Any, leave: Callable[[float], None] | None) -> bool:
        """Begin; False if nobody waits for it any more."""
        if self.turn.done():
            return False
        self.turn.set_result(None)
        self.begun = True
        return True

    def resume(self) -> None:
        """Its connection is read."""


Entry = tuple[Connection, Any, Any]


class Admission:
    """Counts the requests under way and those that wait.

    ``limits.wait_seconds`` is the longest that a request may wait, estimated from the pace of the last tenths of a
    second in which some waited; ``limits.under_way`` is the most that wait or are being answered. A pause of the whole
    process does not count as a slow pace.

    Args:
        limits: the server's limits.
        processor: the processor time of this process, in seconds.

    Attributes:
        active: requests that are being answered.
        begun: requests whose turn has come, from the start on.
        refused: refusals since the number was last taken away.
    """

    def __init__(self, limits: Limits, processor: Callable[[], float] = time.process_time) -> None:
        self._limits = limits
        self._processor = processor
        self._begun = Moment(0.0, 0.0)  # of the window
        self.slots = min(SLOTS, limits.under_way)
        self.active = self.begun = 0
        self.waiting: deque[Entry] = deque()
        self.refused = 0
        self._paused: OrderedDict[Connection, None] = OrderedDict()  # refused, and open: one is read again each REFUSAL
        self._timed = self._finishing = False
        self._due = 0.0  # when the first of them is
        self._last_waited = 0.0  # the last time that somebody waited
        self._passed = 0
        self._set_pace(FIRST)

    def _set_pace(self, pace: float) -> None:
        self.pace = pace
        self.most = self._limits.under_way - self.slots
        if not self._finishing:
            self.most = min(self.most, max(1, int(self._limits.wait_seconds / pace)))

    def finish(self) -> None:
        """From now on no request is refused: no more will arrive, and those that are here are to be answered."""
        self._finishing = True
        self._set_pace(self.pace)

    @property
    def full(self) -> bool:
        """Whether a new request would wait too long."""
        return self.active >= self.slots and len(self.waiting) >= self.most

    def enter(self, entry: Entry, now: float) -> None:
        """Let a request in: now, or when it is its turn."""
        if self.active < self.slots and not self.waiting:
            self._begin(entry)
            return
        if not self.waiting:
            if now - self._last_waited > STALE:
                self._set_pace(FIRST)
            self._open_window(now)
        self.waiting.append(entry)

    async def turn(self) -> None:
        """Let a request in that is being read already, when it is its turn; it has to ``leave``."""
        loop = asyncio.get_running_loop()
        late = _Late(loop.create_future())
        self.enter((late, None, None), loop.time())
        try:
            await late.turn
        except BaseException:
            if late.begun:
                self.leave(loop.time())
            raise

    def leave(self, now: float) -> None:
        """A request that was inside is done."""
        self.active -= 1
        if not self.waiting:
            return
        self._last_waited = now
        self._passed += 1
        if now - self._begun.wall >= WINDOW:
            measured = Moment(now, self._processor()).since(self._begun) / self._passed
            self._set_pace(measured if self.pace == FIRST else (self.pace + measured) / 2)
            self._open_window(now)
        while self.waiting and self.active < self.slots:
            self._begin(self.waiting.popleft())

    def _open_window(self, now: float) -> None:
        """Measure the pace from now on."""
        self._begun, self._passed = Moment(now, self._processor()), 0

    def _begin(self, entry: Entry) -> None:
        connection, cycle, app = entry
        if connection.start(cycle, app, self.leave):  # else: it has hung up
            self.active += 1
            self.begun += 1

    def refuse(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> int:
        """Count a refusal, and have ``connection`` rest.

        Returns:
            After how many whole seconds the client may try again.
        """
        self.refused += 1
        return self.rest(connection, loop)

    def rest(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> int:
        """Have ``connection``, on which a request was refused, not be read until it is resumed.

        Returns:
            After how many whole seconds the client may try again.
        """
        now, ahead = loop.time(), len(self._paused)
        self._due = max(self._due, now + REFUSAL - ahead * REFUSAL)
        self._paused[connection] = None
        if not self._timed:
            self._timed = True
            loop.call_at(self._due, self._resume, loop)
        return max(1, math.ceil(self._due + ahead * REFUSAL - now))

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed: those that were refused after it are read earlier."""
        self._paused.pop(connection, None)

    def _resume(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read again from connections whose time is up, and where nobody waits from as many as there is room for."""
        paused, now = self._paused, loop.time()
        room = 0 if self.waiting else self.slots - self.active
        while paused and (self._due <= now or room > 0):
            paused.popitem(last=False)[0].resume()
            self._due += REFUSAL
            room -= 1
        self._timed = bool(paused)
        if paused:
            loop.call_at(now + PAUSE, self._resume, loop)


class Probes:
    """Requests that are answered however many others wait: a few begin in each turn of the event loop, in the order of arrival.

    They have no place in the queue, so that nobody refuses them. Without a bound a thousand clients that ask for them
    again and again would take a tenth of a second of each turn.
    """

    def __init__(self) -> None:
        self._left = PROBES
        self._waiting: deque[Entry] = deque()
        self._scheduled = False

    def enter(self, entry: Entry) -> None:
        """Let a request in: now, or in one of the next turns."""
        if self._waiting or not self._begin(entry):
            self._waiting.append(entry)
        self._schedule()

    def _begin(self, entry: Entry) -> bool:
        """Whether there was room for a request in this turn; nothing is done for a client that has hung up."""
        if self._left <= 0:
            return False
        connection, cycle, app = entry
        self._left -= connection.start(cycle, app, _takes_no_place)
        return True

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._scheduled, self._left = False, PROBES
        while self._waiting and self._begin(self._waiting[0]):
            self._waiting.popleft()
        if self._waiting:
            self._schedule()


def _takes_no_place(now: float) -> None:
    """The request is done, and nobody waited for it."""


_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})(?:\r\n|$)")
_ODD = re.compile(
    rb"transfer-encoding|content-length.*content-length|\r\n(?:connection:(?![ \t]*keep-alive(?:\r|$))|expect:|upgrade:)",
    re.DOTALL,
)


def is_plain(data: bytes) -> bool:
    """Whether ``data`` is one whole POST in the most common form, and nothing else."""
    head, _, body = data.partition(b"\r\n\r\n")
    head = head.lower()
    if not (head.startswith(b"post /") and head.partition(b"\r\n")[0].endswith(b" http/1.1")):
        return False
    length = _LENGTH.search(head)
    return length is not None and int(length[1]) == len(body) and not _ODD.search(head)


_OVERLOADED: dict[int, bytes] = {}


def overloaded(seconds: int) -> bytes:
    """The whole reply to a client that may try again after so many seconds."""
    if seconds not in _OVERLOADED:
        body = Problem(503, "the server is overloaded.", hint="wait for the seconds in Retry-After").body(None)
        head = (
            f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: {TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"retry-after: {seconds}\r\nx-content-type-options: nosniff\r\n\r\n"
        )
        _OVERLOADED[seconds] = head.encode() + body
    return _OVERLOADED[seconds]
