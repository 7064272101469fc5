"""Accept connections: several in each turn of the event loop, and no more than it answers requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from shortlist.serve.leaving import sent_before_opening
from shortlist.serve.listening import BACKLOG, complete_no_more, someone_waits

__all__ = ["Acceptor"]

AT_ONCE = 256  # connections in one turn of the loop, at most
LEAST = 4  # connections in one turn: each takes about as long as an answer, and an answer takes several turns
LEFT = 4  # connections in one turn whose clients have left already: each takes some hundredths of a millisecond
LEFT_BETWEEN = 32  # and in the turns that are BETWEEN apart
BETWEEN = 0.005  # seconds from one turn with new connections to the next, while the loop answers requests itself
SOON = (
    0.002  # seconds until the next try, where another process is to take the next connections, or some were just closed
)
SHORT = 0.02  # seconds until the next try, where there is no room for more connections
GRACE = 0.1  # seconds in which connections that clients have begun to open are still completed, at the end
LAST = 3.0  # seconds after that in which room is made for those that wait


class ConnectionLimit(Protocol):
    """The limit on connections."""

    def has_room(self, opening: int) -> bool:
        """Whether another connection fits next to the open ones and those being opened."""

    def make_room(self) -> bool:
        """Close some connections; whether there were any to close."""


class Quota(Protocol):
    """This process's share of the connections, where other processes accept from the same socket."""

    def behind(self, room: bool) -> Sequence[int]:
        """Those that are to accept a waiting one in its place; none if it may do so itself."""

    def leaves_to(self, behind: Sequence[int]) -> bool:
        """Whether one that waits now is left to any of them; asked at each look."""

    def accepted(self) -> None:
        """Note that it has accepted one."""

    def stop(self) -> bool:
        """Accept no more; whether others still do."""


class Acceptor:
    """Accepts the connections of one listening socket while it is open and there is room for more.

    uvicorn accepts one connection in each turn of its loop. A busy loop turns a few hundred times a second, so two
    thousand clients that connect at once would wait for seconds before their requests are read. All of them at once
    would keep the loop for a third of a second, and a request needs several turns. So in a turn it accepts a few, and as many
    more as requests were answered since the last one, if so many are under way: clients that only connect take no more of
    a turn than those that ask. A request needs several turns, so while the loop answers any, only one turn in ``BETWEEN``
    seconds has new connections.

    A client that has closed its connection before it is accepted costs a tenth of one that is opened, and none of these few: its
    connection is closed, and its request not answered. The first byte of the reply, sent at once,
    shows whether the client has left, or has sent everything and still reads.

    Args:
        listening: the socket.
        make: makes the protocol of a connection.
        limit: the limit on connections; None for no limit.
        requests: how many have been answered, and how many are under way.
        answering: whether the loop answers any of them itself; then it has other turns to come.
        quota: this process's share, where others accept from the same socket; asked before each connection.
        keeps: whether what a client has sent is to be done although it has left: a change.

    Attributes:
        left: connections that were not opened, since their clients had left.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], asyncio.BaseProtocol],
        limit: ConnectionLimit | None = None,
        requests: Callable[[], tuple[int, int]] = lambda: (0, 0),
        answering: Callable[[], bool] = lambda: False,
        quota: Quota | None = None,
        keeps: Callable[[bytes], bool] = lambda content: True,
    ) -> None:
        self._listening = listening
        self._make = make
        self._keeps = keeps
        self.left = 0
        self._limit = limit
        self._requests = requests
        self._answering = answering
        self._answered = 0
        self._next = 0.0  # by time.perf_counter, when connections are accepted again while requests are answered
        self._quota = quota
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._ending: asyncio.Future[None] | None = None  # done when the socket is closed
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def _accept(self) -> None:
        answering = self._answering()
        if answering and time.perf_counter() < self._next:
            return
        self._accept_up_to(min(AT_ONCE, LEAST + self._busy()), LEFT_BETWEEN if answering else LEFT)
        self._next = time.perf_counter() + BETWEEN

    def _busy(self) -> int:
        """Requests that were answered since the last call, or those under way if they are fewer."""
        answered, under_way = self._requests()
        new, self._answered = answered - self._answered, answered
        return min(new, under_way)

    def _accept_up_to(self, most: int, most_left: int) -> None:
        opened, left = 0, 0
        while opened < most and left < most_left:
            if not self._may_accept():
                return
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # the client has hung up already
                left += 1
                continue
            except OSError:  # too many open files in the whole system, or no memory: others may close some
                self._retry_in(SHORT)
                return
            if self._quota is not None:
                self._quota.accepted()
            connection.setblocking(False)
            sent = sent_before_opening(connection, self._keeps)
            if sent is None:
                connection.close()
                left += 1
                self.left += 1
                continue
            opened += 1
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._open(connection, sent))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _may_accept(self) -> bool:
        """Whether to accept one more now; else it tries again later, if one waits.

        A worker without room leaves it to those that have some, and closes connections only where none of them takes it.
        """
        room = self._limit is None or self._limit.has_room(len(self._opening))
        behind = () if self._quota is None else self._quota.behind(room)
        if room and not behind:
            return True
        if not someone_waits(self._listening):
            return False
        if self._quota is not None and self._quota.leaves_to(behind):
            self._retry_in(SOON)
            return False
        if self._limit is not None and not room:
            self._retry_in(SOON if self._limit.make_room() else SHORT)
        return room

    @property
    def opening(self) -> int:
        """Connections that were accepted and are not open yet."""
        return len(self._opening)

    def _retry_in(self, seconds: float) -> None:
        if self._retry is not None:  # of before the end
            self._retry.cancel()
        self._loop.remove_reader(self._listening)
        self._retry = self._loop.call_later(seconds, self._loop.add_reader, self._listening, self._accept)

    async def _open(self, connection: socket.socket, sent: int) -> None:
        def make() -> asyncio.BaseProtocol:
            made: Any = self._make()
            if sent:
                made.sent_ahead(sent)
            return made  # type: ignore[no-any-return]

        try:
            await self._loop.connect_accepted_socket(make, connection)
        except OSError:
            connection.close()

    def close(self, leave: bool = False) -> None:
        """Accept those that wait by now, and no more; then close the socket in this process.

        If no other process accepts from it, nobody can connect from now on, and those who have are accepted.

        Args:
            leave: accept none, and leave them to other processes that accept from the same socket.
        """
        if self._ending is not None:
            return
        self._ending = self._loop.create_future()
        others = self._quota is not None and self._quota.stop()
        self._quota = None
        if not leave:
            wait = not others and complete_no_more(self._listening)
            self._accept_up_to(BACKLOG, BACKLOG)
            if wait:
                self._loop.call_later(GRACE, self._end_within, LAST)
                return
        self._end(leave)

    def _end_within(self, seconds: float) -> None:
        """End once all that wait are accepted, or after so many seconds: there may be no room for them now."""
        self._accept_up_to(BACKLOG, BACKLOG)
        if seconds > 0 and someone_waits(self._listening):
            self._loop.call_later(SOON, self._end_within, seconds - SOON)
        else:
            self._end()

    def _end(self, leave: bool = False) -> None:
        assert self._ending is not None
        if not leave:
            self._accept_up_to(BACKLOG, BACKLOG)
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        self._ending.set_result(None)

    async def wait_closed(self) -> None:
        """Return when the socket is closed and every accepted connection is open."""
        if self._ending is not None:
            await self._ending
        if self._opening:
            await asyncio.wait(self._opening)
