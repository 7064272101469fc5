"""The state of a connection's socket."""

from __future__ import annotations

import contextlib
import enum
import os
import select
import sys
from typing import Any

__all__ = ["Peer", "closed_by_peer", "peer_of", "send_now", "unsent_bytes"]

SENDS_NO_MORE = getattr(select, "POLLRDHUP", 0)  # of Linux; elsewhere such a client looks like any other


class Peer(enum.Enum):
    """State of the other side of a connection, as far as the system knows it.

    A client that has closed its connection looks like one that has sent everything and still reads, until something is
    sent to it: then its system says that nobody is there.
    """

    OPEN = enum.auto()
    SENDS_NO_MORE = enum.auto()
    GONE = enum.auto()


def peer_of(taken: Any) -> Peer:
    """The other side of a socket, or of what an event loop gives for one; of None it is taken for open."""
    if taken is None or not hasattr(select, "poll") or taken.fileno() < 0:
        return Peer.OPEN
    looked = select.poll()
    looked.register(taken.fileno(), SENDS_NO_MORE)
    found = sum(events for _, events in looked.poll(0))
    if found & (select.POLLHUP | select.POLLERR):
        return Peer.GONE
    return Peer.SENDS_NO_MORE if found & SENDS_NO_MORE else Peer.OPEN


def send_now(transport: Any, content: bytes) -> int:
    """How many bytes were sent, without waiting for the event loop; 0 where others wait to be sent before them."""
    taken = transport.get_extra_info("socket")
    if taken is None or transport.get_write_buffer_size():
        return 0
    with contextlib.suppress(OSError):
        return os.write(taken.fileno(), content)
    return 0


def closed_by_peer(transport: Any) -> bool:
    """Whether the other side neither sends nor reads any more, as far as the system knows."""
    return peer_of(transport.get_extra_info("socket")) is Peer.GONE


def unsent_bytes(transport: Any) -> int:
    """Bytes of a connection that the kernel keeps until the other side has received them; 0 if it reports none."""
    with contextlib.suppress(ImportError, OSError, AttributeError, ValueError):
        import fcntl
        import termios

        counted = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(counted, sys.byteorder)
    return 0
