"""Where the server listens: a port, or a Unix socket."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shortlist.errors import ConfigError

__all__ = ["BACKLOG", "Place", "listening"]

BACKLOG = 2048


@dataclass(frozen=True)
class Place:
    """A host and a port, 0 for any free one; or the path of a Unix socket."""

    host: str
    port: int
    unix: Path | None = None

    def address(self, port: int | None) -> str:
        """The address for clients, once it listens at ``port``."""
        if self.unix is not None:
            return f"unix:{self.unix}"
        shown = "127.0.0.1" if self.host in ("0.0.0.0", "::") else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{port}/"


@contextlib.contextmanager
def listening(place: Place) -> Iterator[socket.socket]:
    """A socket that listens there; a Unix socket's file is removed at the end.

    Raises:
        ConfigError: when the port is not free, or the path is taken or cannot be written.
    """
    try:
        made = _at_port(place.host, place.port) if place.unix is None else _at_path(place.unix)
    except OSError as error:
        where = f"{place.host}:{place.port}" if place.unix is None else str(place.unix)
        hint = (
            "choose another --port" if place.unix is None else "choose another path, in a folder that can be written to"
        )
        raise ConfigError(f"cannot listen on {where}: {error.strerror or error}.", hint=hint) from None
    with contextlib.closing(made):
        mine = None if place.unix is None else os.stat(place.unix).st_ino
        try:
            yield made
        finally:
            with contextlib.suppress(OSError):
                if place.unix is not None and os.stat(place.unix).st_ino == mine:  # else another server's by now
                    place.unix.unlink()


def _at_port(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _at_path(path: Path) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("this system has no Unix sockets.", hint="use --host and --port")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        made.bind(str(path))
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _clear(path: Path) -> None:
    """Remove a socket that a killed server has left.

    Raises:
        ConfigError: for anything else at the path.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ConfigError(f"{str(path)!r} exists and is not a socket.", hint="choose another --unix path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise ConfigError(
                f"another server listens on {str(path)!r}.", hint="stop it, or choose another --unix path"
            )
