"""The state of a connection's socket."""

from __future__ import annotations

import contextlib
import select
import sys
from typing import Any

__all__ = ["closed_by_peer", "unsent_bytes"]


def closed_by_peer(transport: Any) -> bool:
    """Whether the other side neither sends nor reads any more, as far as the system knows."""
    taken = transport.get_extra_info("socket")
    if taken is None or not hasattr(select, "poll"):
        return False
    looked = select.poll()
    looked.register(taken.fileno(), 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in looked.poll(0))


def unsent_bytes(transport: Any) -> int:
    """Bytes of a connection that the kernel keeps until the other side has received them; 0 if it reports none."""
    with contextlib.suppress(ImportError, OSError, AttributeError, ValueError):
        import fcntl
        import termios

        counted = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(counted, sys.byteorder)
    return 0
