"""Where the server listens: a port, or a Unix socket."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shortlist.errors import ConfigError

__all__ = ["BACKLOG", "Place", "complete_no_more", "listening", "someone_waits"]

BACKLOG = 2048
SO_ATTACH_FILTER = 26  # of Linux
NO_SYN = (  # drops what opens a connection (byte 13 of TCP's head says so), and takes everything else
    (0x30, 0, 0, 13),  # load byte 13
    (0x45, 0, 1, 0x02),  # if it has SYN
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)


class _AtPath(socket.socket):
    """A Unix socket that listens.

    Attributes:
        path: that of its file, while it has one.
        kept: a descriptor of the file, so that no other file gets its inode; None where the system has none such.
    """

    path: Path | None = None
    kept: int | None = None
    _inode: tuple[int, int] | None = None

    def listen_at(self, path: Path) -> None:
        """Make the file, and listen."""
        self.bind(str(path))
        self.path, self._inode = path, _inode_of(path)
        if hasattr(os, "O_PATH"):
            self.kept = os.open(path, os.O_PATH | os.O_CLOEXEC)
        self.listen(BACKLOG)

    def remove_file(self) -> None:
        """Remove its file, unless that is another server's by now."""
        path, self.path = self.path, None
        with contextlib.suppress(OSError):
            if path is not None and _inode_of(path) == self._inode:
                path.unlink()

    def forget_file(self) -> None:
        """Give its descriptor back."""
        kept, self.kept = self.kept, None
        if kept is not None:
            os.close(kept)


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
        try:
            yield made
        finally:
            if isinstance(made, _AtPath):
                made.remove_file()
                made.forget_file()


def someone_waits(listening: socket.socket) -> bool:
    """Whether a connection can be accepted now; True where the system does not say."""
    if not hasattr(select, "poll"):
        return True
    looked = select.poll()
    looked.register(listening, select.POLLIN)
    return bool(looked.poll(0))


def complete_no_more(listening: socket.socket) -> bool:
    """Have the system complete no further connection, in no process; those that wait can still be accepted.

    A socket that is closed while connections wait at it resets them, although their clients have connected. So nobody may
    connect between the last connection that is accepted and the close. A Unix socket loses its file, and a TCP socket of
    Linux gets a filter for the packets that open a connection: their clients send them again after a second, and are refused
    or reach the next server.

    Returns:
        Whether the system can do that.
    """
    if isinstance(listening, _AtPath):
        listening.remove_file()
        return True
    if not sys.platform.startswith("linux"):
        return False
    import ctypes
    import struct

    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in NO_SYN))
    try:
        filtered = struct.pack("HL", len(NO_SYN), ctypes.addressof(program))
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filtered)
    except OSError:  # a system call that a sandbox does not have
        return False
    return True


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


def _at_path(path: Path) -> _AtPath:
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("this system has no Unix sockets.", hint="use --host and --port")
    made = _AtPath(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_at(path):
            _clear(path)
            made.listen_at(path)
    except BaseException:
        made.remove_file()
        made.forget_file()
        made.close()
        raise
    return made


@contextlib.contextmanager
def _alone_at(path: Path) -> Iterator[None]:
    """Keep other servers from a path meanwhile: of two that find the socket of a killed one, the second would remove the first one's.

    Raises:
        ConfigError: where another server does so.
    """
    import fcntl

    lock_path = path.with_name(f"{path.name}.lock")
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(path) from None
        except OSError:  # a file system without locks
            pass
        try:
            removed = not os.path.samestat(os.fstat(lock), os.lstat(lock_path))
        except FileNotFoundError:
            removed = True
        if removed:  # by another server, which listens by now
            raise _taken(path)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                lock_path.unlink()
    finally:
        os.close(lock)


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
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:  # its server has ended meanwhile
            return
        except BlockingIOError:  # it accepts none of those that wait
            pass
        raise _taken(path)


def _taken(path: Path) -> ConfigError:
    return ConfigError(f"another server listens on {str(path)!r}.", hint="stop it, or choose another --unix path")


def _inode_of(path: Path) -> tuple[int, int]:
    """Which file it is, as long as the file is there or kept open."""
    found = os.lstat(path)
    return found.st_dev, found.st_ino
