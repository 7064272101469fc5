"""Reading from a socket: little at a time, so that a turn of the event loop is short however much has arrived."""

from __future__ import annotations

import asyncio

from shortlist.serve.protocol import Connection

__all__ = ["Buffered"]

SIZE = 16_384  # bytes; uvloop reads 256,000 at a time for protocols without a buffer


class Buffered(asyncio.BufferedProtocol):
    """The protocol of a connection, with one buffer for all connections: what was read is copied out at once.

    A connection that must wait is paused after one reading.

    Args:
        connection: gets what was read.
    """

    _buffer = memoryview(bytearray(SIZE))

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.connection_made = connection.connection_made  # type: ignore[method-assign]
        self.connection_lost = connection.connection_lost  # type: ignore[method-assign]
        self.eof_received = connection.eof_received  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]

    def sent_ahead(self, count: int) -> None:
        """Note that so many bytes of the first reply were sent before the connection was opened."""
        self.connection.sent_ahead(count)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass the first bytes of the buffer on."""
        self.connection.data_received(bytes(self._buffer[:nbytes]))
