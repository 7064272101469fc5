"""One file: its size and digest, and how it is read, written and replaced in one step."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

__all__ = [
    "DamageError",
    "Entry",
    "NamedEntry",
    "digest",
    "digests",
    "in_one_step",
    "is_plain",
    "is_scratch",
    "is_written_in_place",
    "make_folder",
    "read_file",
    "sync",
    "write_file",
    "write_result",
]

CHUNK = 1 << 24  # bytes from which files are read by several threads
BUFFER = 1 << 20
LIMIT = 16 << 20  # bytes of a file that describes others


class DamageError(ValueError):
    """A file that is missing, cut off, altered, or not a plain file. Rooms turn it into an error of their own, with a hint."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A manifest's entry for a file: its size and its sha256. The names of fields are stored."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Entry:
        """The entry of a file as it is now."""
        return cls(bytes=path.stat().st_size, sha256=digest(path))


class NamedEntry(Entry, frozen=True, kw_only=True):
    """An entry with the name of its file."""

    name: str

    def to_dict(self) -> dict[str, str | int]:
        """Name, bytes and sha256, in this order."""
        return {"name": self.name, "bytes": self.bytes, "sha256": self.sha256}


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        buffer = memoryview(bytearray(min(BUFFER, path.stat().st_size + 1)))
        while count := file.readinto(buffer):
            found.update(buffer[:count])
    return found.hexdigest()


def digests(paths: Sequence[Path]) -> list[str]:
    """The sha256 of each file; several are read at a time, the longest first."""
    order = sorted(range(len(paths)), key=lambda number: -paths[number].stat().st_size)
    found = [""] * len(paths)
    if len(paths) < 2 or paths[order[0]].stat().st_size < CHUNK:
        return [digest(path) for path in paths]
    with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1)) as pool:
        for number, one in zip(order, pool.map(lambda number: digest(paths[number]), order), strict=True):
            found[number] = one
    return found


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are missing. Afterwards their names are on the disk."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for one in missing:
        with contextlib.suppress(PermissionError):  # one may write to its folder, and not read it
            sync(one.parent)


@contextlib.contextmanager
def in_one_step(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """Yield a free name; the file or link that the block makes there replaces ``path`` when the block ends.

    An error leaves ``path`` as it was and no scratch file; the next call removes the scratch file of a killed process. After
    the block the file and its name are on the disk. One writer at a time.

    Args:
        scratch: the free name, in the same file system; by default next to ``path``.
    """
    scratch = scratch or path.with_name(f".{path.name}.writing")
    scratch.unlink(missing_ok=True)
    try:
        yield scratch
        if not scratch.is_symlink():
            sync(scratch)
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    sync(path.parent)


def is_scratch(path: Path) -> bool:
    """Whether ``path`` is being written by ``in_one_step``, or was left by a process that was killed in it."""
    return path.name.startswith(".") and path.name.endswith(".writing")


def write_file(path: Path, content: bytes, scratch: Path | None = None) -> None:
    """Write a file in one step (see ``in_one_step``)."""
    with in_one_step(path, scratch) as new:
        new.write_bytes(content)


def write_result(path: Path, content: bytes) -> None:
    """Write a file that a user named, whole or not at all; a link stays, and the file that it leads to is replaced by one
    with the same rights.

    A device or a pipe is written to as it is (see ``is_written_in_place``).
    """
    if (number := _own_descriptor(path)) is not None:
        with os.fdopen(os.dup(number), "wb") as file:  # behind what was written to it, and before what follows
            file.write(content)
    elif is_written_in_place(path):
        path.write_bytes(content)
    else:
        place = Path(os.path.realpath(path))
        with in_one_step(place) as new:
            new.write_bytes(content)
            with contextlib.suppress(FileNotFoundError):
                os.chmod(new, stat.S_IMODE(os.stat(place).st_mode))


def is_written_in_place(path: Path) -> bool:
    """Whether there is something at ``path`` that must not be replaced: a device, a pipe, an open file by its number
    (``/dev/stdout``), or a file that may be written to, in a folder that may not.
    """
    path = path.parent.resolve() / path.name
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    if not stat.S_ISREG(mode):
        return not stat.S_ISDIR(mode)
    if _own_descriptor(path) is not None or path.is_relative_to("/proc"):
        return True
    place = os.path.realpath(path)
    return os.access(place, os.W_OK) and not os.access(os.path.dirname(place), os.W_OK)


def _own_descriptor(path: Path) -> int | None:
    """The number of the open file of this process that ``path`` stands for, as ``/dev/stdout`` does for 1."""
    path = path.parent.resolve() / path.name
    if path.is_symlink() and (target := os.readlink(path)).startswith("/proc/"):
        path = Path(target).parent.resolve() / Path(target).name
    return int(path.name) if str(path.parent) == f"/proc/{os.getpid()}/fd" and path.name.isdigit() else None


def is_plain(path: Path) -> bool:
    """Whether ``path`` exists and is a file, not a link, a pipe or a device."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def read_file(path: Path, limit: int = LIMIT) -> bytes:
    """The content of a file that describes others.

    Raises:
        FileNotFoundError: where it does not exist.
        DamageError: for a link, a special file, or one of more than ``limit`` bytes.
    """
    size = os.lstat(path).st_size
    if not is_plain(path):
        raise DamageError(f"{str(path)!r} is a link or a special file; a plain file was expected.")
    if size > limit:
        raise DamageError(f"{str(path)!r} has {size:,} bytes; at most {limit:,} are read.")
    return path.read_bytes()
