"""What is read from a socket arrives at the connection in small pieces, and is its own."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvloop

from shortlist.serve.buffered import SIZE, Buffered


class Sink:
    """A connection that keeps what it is given, and pauses after each piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(error)

    def pause_writing(self) -> None:
        pass

    resume_writing = pause_writing


def test_two_connections_share_a_buffer_and_no_bytes() -> None:
    """100,000 bytes each: no piece is longer than the buffer, and none changes when the other connection is read."""

    async def talk() -> None:
        loop, sinks, others = asyncio.get_running_loop(), [], []
        for letter in (b"a", b"b"):
            ours, other = socket.socketpair()
            ours.setblocking(False)
            other.setblocking(False)
            sinks.append(sink := Sink())
            await loop.connect_accepted_socket(lambda sink=sink: Buffered(sink), ours)  # type: ignore[misc]
            others.append((other, letter))
        for other, letter in others:
            await loop.sock_sendall(other, letter * 100_000)
            other.close()
        for sink, letter in zip(sinks, (b"a", b"b"), strict=True):
            assert await sink.lost is None
            assert b"".join(sink.pieces) == letter * 100_000
            assert max(map(len, sink.pieces)) <= SIZE

    uvloop.new_event_loop().run_until_complete(talk())
