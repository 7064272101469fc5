"""Messages between two processes of one server, over a stream socket; file descriptors may be sent with them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from shortlist.serve.processes.messages import Message

__all__ = ["Channel", "pair"]

HEAD = struct.Struct("<IB")  # bytes of the message, descriptors that are sent with it
READ = 1 << 18
MOST = 4  # descriptors of one message

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Message)


class Channel:
    """One end of a stream of messages. It never blocks: what cannot be sent at once is sent when the socket takes more.

    Used by one thread, or under a lock of the caller's.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self._out: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._received = bytearray()
        self._fds: deque[int] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writing = False
        self.closed = False

    @staticmethod
    def encoded(message: Any) -> bytes:
        """A message as bytes, to send to several."""
        return _ENCODER.encode(message)

    # Sending.

    def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Send a message, now or later.

        Args:
            message: one of ``messages``.
            fds: descriptors to hand over; this process keeps its own.
        """
        self.send_encoded(_ENCODER.encode(message), fds)

    def send_encoded(self, content: bytes, fds: Sequence[int] = ()) -> None:
        """Send bytes that ``encoded`` made."""
        if self.closed:
            return
        held = [os.dup(one) for one in fds]  # the caller may close its own before they are sent
        self._out.append((memoryview(HEAD.pack(len(content), len(fds)) + content), held))
        self.flush()

    @property
    def pending(self) -> bool:
        """Whether something could not be sent yet."""
        return bool(self._out)

    def flush(self) -> None:
        """Send as much as the socket takes."""
        try:
            while self._out:
                content, fds = self._out[0]
                sent = socket.send_fds(self.socket, [content], list(fds)) if fds else self.socket.send(content)
                for one in fds:
                    os.close(one)
                self._out.popleft()
                if sent < len(content):
                    self._out.appendleft((content[sent:], ()))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:  # the other end is closed: the reader will see it
            self._drop()
        self._follow_up()

    def _drop(self) -> None:
        for _, fds in self._out:
            for one in fds:
                os.close(one)
        self._out.clear()

    # Receiving.

    def read(self) -> list[tuple[Any, list[int]]]:
        """The messages that have arrived by now, with their descriptors.

        Raises:
            EOFError: when the other end is closed, or a descriptor was lost, as it is where this process has no room for
                it.
        """
        closed = False
        try:
            while not closed:
                content, fds, _, _ = socket.recv_fds(self.socket, READ, MOST)
                self._fds.extend(fds)
                self._received += content
                closed = not content
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            closed = True
        found = self._messages()
        if closed and not found:
            raise EOFError
        return found

    def _messages(self) -> list[tuple[Any, list[int]]]:
        found, at, received = [], 0, self._received
        while len(received) - at >= HEAD.size:
            length, count = HEAD.unpack_from(received, at)
            if len(received) - at < HEAD.size + length:
                break
            if count > len(self._fds):
                raise EOFError
            with memoryview(received) as view:
                message = _DECODER.decode(view[at + HEAD.size : at + HEAD.size + length])
            found.append((message, [self._fds.popleft() for _ in range(count)]))
            at += HEAD.size + length
        if at:
            del received[:at]
        return found

    def wait(self, seconds: float | None = None) -> list[tuple[Any, list[int]]]:
        """The next messages, at least one, or none after so many seconds.

        Raises:
            EOFError: when the other end is closed.
        """
        while True:
            ready, _, _ = select.select([self.socket], [self.socket] if self._out else [], [], seconds)
            self.flush()
            if not ready and seconds is not None:
                return []
            if found := self.read():
                return found

    # In an event loop.

    def attach(self, take: Callable[[Any, list[int]], None], closed: Callable[[], None]) -> None:
        """Call ``take`` with each message in the running loop, and ``closed`` when the other end is closed."""
        self._loop = asyncio.get_running_loop()

        def readable() -> None:
            try:
                messages = self.read()
            except EOFError:
                self.close()
                closed()
                return
            for message, fds in messages:
                take(message, fds)

        self._loop.add_reader(self.socket, readable)
        self._follow_up()

    def _follow_up(self) -> None:
        if self._loop is None or self.closed or bool(self._out) == self._writing:
            return
        self._writing = bool(self._out)
        if self._writing:
            self._loop.add_writer(self.socket, self.flush)
        else:
            self._loop.remove_writer(self.socket)

    def close(self) -> None:
        """Close this end."""
        if self.closed:
            return
        self.closed = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError, ValueError):  # the loop is closed
                self._loop.remove_reader(self.socket)
                self._loop.remove_writer(self.socket)
        self._drop()
        for one in self._fds:
            os.close(one)
        self._fds.clear()
        self.socket.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a stream between processes of this server."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
