"""Accept connections: all that wait, rather than one in each turn of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Protocol

__all__ = ["Acceptor"]

AT_ONCE = 256  # connections in one turn of the loop
SOON = 0.002  # seconds until the next try, where another process is to take the next connections
SHORT = 0.02  # seconds until the next try, where there is no room for more connections


class Room(Protocol):
    """The limit on connections."""

    def make(self, coming: int) -> bool:
        """Whether another connection fits next to the open ones and those being opened; idle ones are closed if needed."""


class Acceptor:
    """Accepts the connections of one listening socket while it is open and there is room for more.

    uvicorn accepts one connection in each turn of its loop. A busy loop turns a few hundred times a second, so two
    thousand clients that connect at once would wait for seconds before their requests are read.

    Args:
        listening: the socket.
        make: makes the protocol of a connection.
        room: the limit on connections; None for no limit.
        share: how many to accept at most when some wait, where other processes accept from the same socket.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
        room: Room | None = None,
        share: Callable[[], int] | None = None,
    ) -> None:
        self._listening = listening
        self._make = make
        self._room = room
        self._share = share
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[object]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._closed = False
        listening.setblocking(False)
        self._loop.add_reader(listening, self._take)

    def _take(self) -> None:
        share = AT_ONCE if self._share is None else self._share()
        if not share:
            self._later(SOON)
        for _ in range(share):
            if self._room is not None and not self._room.make(len(self._coming)):
                self._later(SHORT)
                return
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # the client has hung up already
                continue
            except OSError:  # too many open files in the whole system, or no memory: others may close some
                self._later(SHORT)
                return
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._open(connection))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    @property
    def coming(self) -> int:
        """Connections that were accepted and are not open yet."""
        return len(self._coming)

    def _later(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._again = self._loop.call_later(seconds, self._loop.add_reader, self._listening, self._take)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:
            connection.close()

    def close(self, leave: bool = False) -> None:
        """Accept those that wait by now, and no more.

        Args:
            leave: accept none, and leave them to other processes that accept from the same socket.
        """
        if self._closed:
            return
        self._closed, self._share = True, None
        if self._again is not None:
            self._again.cancel()
        if not leave:
            self._take()
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Return when every accepted connection is open."""
        if self._coming:
            await asyncio.wait(self._coming)
