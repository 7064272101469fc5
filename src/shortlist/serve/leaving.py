"""Finds clients that have left: one byte of the next reply, sent ahead of it, shows whether anybody reads."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from shortlist.serve.http import FIRST
from shortlist.serve.sockets import Peer, closed_by_peer, peer_of, send_now

__all__ = ["Leaving", "sent_before_opening"]

LOOKED_AT = 4096  # bytes of a connection that are looked at, to see whether they hold a request
PROBE = 0.1  # seconds after which a client that has closed its side is asked whether it reads; then twice as many, and so on
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"  # which every client of HTTP/1.1 reads over


def sent_before_opening(connection: socket.socket, keeps: Callable[[bytes], bool]) -> int | None:
    """How many bytes of the reply were sent to find out whether the client is there; None if it has left.

    Args:
        connection: accepted, and not open yet.
        keeps: whether what a client has sent is to be done although it has left.
    """
    peer = peer_of(connection)
    if peer is Peer.OPEN:
        return 0
    try:
        content = connection.recv(LOOKED_AT, socket.MSG_PEEK)
        if not content:
            return None
        if keeps(content):
            return 0
        if peer is Peer.GONE:
            return None
        if b"\r\n\r\n" not in content:
            return 0
        sent = connection.send(FIRST[:1])
    except OSError:
        return None
    return None if peer_of(connection) is Peer.GONE else sent


class Leaving:
    """Whether the client of one open connection has left.

    Args:
        is_change: whether what begins with these bytes changes the catalogue or records events; it is done for clients
            that have left, too.

    Attributes:
        ahead: bytes of the next reply that were sent already.
    """

    def __init__(self, is_change: Callable[[bytes], bool]) -> None:
        self._is_change = is_change
        self._transport: Any = None
        self._replied = False
        self.ahead = 0

    def attach(self, transport: Any) -> None:
        """Note the connection's transport."""
        self._transport = transport

    def replied(self) -> None:
        """Note that a reply was sent: what the client sent behind its request is nothing to doubt it for."""
        self._replied = True

    def rest_of(self, reply: bytes) -> bytes:
        """The rest of a reply, without what was sent ahead."""
        sent, self.ahead = self.ahead, 0
        return reply[sent:] if sent else reply

    def has_left(self, cycle: Any, unparsed: bool) -> bool:
        """Whether the client of a request has closed its connection, which the loop has not seen.

        The loop does not look while reading is paused, and the end of a connection stays behind bytes that were not read. A
        change is made nevertheless.

        Args:
            cycle: the request, as uvicorn has it.
            unparsed: whether bytes behind it were read and not parsed.
        """
        if cycle.scope["method"] == "POST" and self._is_change(b"POST " + cycle.scope["raw_path"]):
            return False
        taken = self._transport.get_extra_info("socket")
        peer = peer_of(taken)
        doubtful = peer is Peer.SENDS_NO_MORE or (peer is Peer.OPEN and unparsed and not self._replied)
        if doubtful and not (self.ahead or cycle.waiting_for_100_continue or taken is None):
            self._send_ahead()
            peer = peer_of(taken)
        return peer is Peer.GONE

    def watch(self, connection: Any, waited: float | None = None) -> None:
        """Ask a client that has closed its side, now and then until its reply begins, whether it is there at all.

        Args:
            connection: with its ``cycle``, ``flow``, ``scope`` and ``loop``.
            waited: seconds since the last time; None for a client that has just closed its side.
        """
        if waited is not None:
            cycle = connection.cycle
            if cycle is None or cycle.response_complete or self._transport.is_closing():
                return
            if closed_by_peer(self._transport):
                self._transport.abort()
                return
            if cycle.response_started or connection.flow.write_paused:
                pass
            elif self.ahead:
                self._send_ahead()
            elif connection.scope["http_version"] == "1.1":
                self._transport.write(INTERIM)
        pause = PROBE if waited is None else 2 * waited
        loop: asyncio.AbstractEventLoop = connection.loop
        loop.call_later(pause, self.watch, connection, pause)

    def _send_ahead(self) -> None:
        """Send one more byte of what every reply begins with: only what is sent to a client tells whether it is there."""
        self.ahead += send_now(self._transport, FIRST[self.ahead : self.ahead + 1])
