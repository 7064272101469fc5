"""Connections over transports that are no sockets, and requests to send on them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from shortlist.serve.protocol import Connection

GET, POST = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n", b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


class Wire:
    """A transport that keeps what is written to it, and of what nobody reads tells its protocol."""

    def __init__(self, read: bool = True) -> None:
        self.written, self.closed, self.reading, self.read = b"", False, True, read
        self.unread = self.writes = 0
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1
        self.unread += 0 if self.read else len(data)
        if self.unread > self.high:
            self.protocol.pause_writing()

    def take(self) -> None:
        """The other side reads."""
        self.unread = 0
        self.protocol.resume_writing()

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return None

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def connected(client: Any, wire: Wire) -> Connection:
    """A connection of the client's server over ``wire``; to be made in the loop."""
    config = uvicorn.Config(client.app, log_config=None, proxy_headers=False, timeout_keep_alive=75)
    config.load()
    connection = wire.protocol = Connection(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(wire)  # type: ignore[arg-type]
    return connection


async def settled(connection: Connection) -> None:
    """All that was asked is answered, or waits for its reader."""
    while connection.tasks:
        await asyncio.gather(*connection.tasks)


def asked(**body: Any) -> bytes:
    content = json.dumps({"queries": [{"id": "bob"}], **body}).encode()
    return b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content)


def chunked(content: bytes) -> bytes:
    return CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)


BODY = b'{"queries":[{"id":"ann"}],"k":1}'
ASKED = POST + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


class Late:
    """A request whose body arrives behind its head."""

    def __init__(self, client: Any) -> None:
        self.wire = Wire()
        self.connection = connected(client, self.wire)
        self.connection.data_received(ASKED[:-1])

    def end(self) -> None:
        self.connection.data_received(ASKED[-1:])
