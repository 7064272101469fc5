"""What a folder of shards says of itself, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from shortlist.disk import digest, in_one_step
from shortlist.errors import DataError

__all__ = [
    "FileEntry",
    "Header",
    "Manifest",
    "Piece",
    "Tables",
    "alone",
    "check_entry",
    "read_record",
    "write_array",
    "write_file",
    "write_record",
]

FORMAT = 1
HEADER = "source.json"
TABLES = "tables.json"
MANIFEST = "manifest.json"
AGAIN = "encode the source again with overwrite=True"


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class FileEntry(_Record, frozen=True, kw_only=True):
    """Size and sha256 of a file."""

    bytes: int
    sha256: str


class Header(_Record, frozen=True, kw_only=True):
    """What is encoded, and how: a folder with another one is not the same work."""

    kind: Literal["shortlist shards"] = "shortlist shards"
    format: int = FORMAT
    query: str
    candidate: str
    timestamp: str | None
    weight: str | None
    block_rows: int
    piece_rows: int
    source: dict[str, str]
    tables: dict[str, str]
    context: list[str] = []
    seen: str | None = None
    events: str = ""
    reading: dict[str, str] = {}


class Tables(_Record, frozen=True, kw_only=True):
    """The files of both tables, of the counts of their rows and of an empty table of interactions; what to say of them."""

    files: dict[str, FileEntry]
    notes: list[str]
    warnings: list[str] = []


class Piece(_Record, frozen=True, kw_only=True):
    """A run of rows of one source file: as many numbers in each of its arrays, by column."""

    number: int
    file: str
    start: int
    rows: int
    files: dict[str, FileEntry]


class Manifest(_Record, frozen=True, kw_only=True):
    """Written last: a folder without it is not finished."""

    header: Header
    tables: Tables
    pieces: list[Piece]
    rows: int
    fingerprint: str


R = TypeVar("R", bound=_Record)


def write_file(path: Path, fill: Callable[[IO[bytes]], Any]) -> FileEntry:
    """Write a file next to it, sync it, rename it into place. OSError where the disk refuses; then nothing is left."""
    with in_one_step(path) as beside:
        with beside.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        return FileEntry(bytes=beside.stat().st_size, sha256=digest(beside))


def write_array(path: Path, values: NDArray[Any]) -> FileEntry:
    """An array as ``.npy``."""
    return write_file(path, lambda file: np.lib.format.write_array(file, values, allow_pickle=False))


def write_record(path: Path, record: _Record) -> None:
    """A record as JSON, its own sha256 in the first line."""
    body = msgspec.json.format(msgspec.json.encode(record))
    content = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    write_file(path, lambda file: file.write(content))


def read_record(path: Path, kind: type[R]) -> R:
    """A record as it was written. DataError where it was altered, FileNotFoundError where it is missing."""
    seal, _, body = path.read_bytes().partition(b"\n")
    try:
        if hashlib.sha256(body).hexdigest().encode() != seal:
            raise ValueError("its checksum differs")
        return msgspec.json.decode(body, type=kind)
    except ValueError as error:  # msgspec's are ValueErrors
        raise DataError(f"{str(path)!r} was altered or has another version: {error}.", hint=AGAIN) from error


def check_entry(path: Path, entry: FileEntry, thorough: bool = True) -> None:
    """DataError where a file is missing, has another size, or (``thorough``) another sha256."""
    if not path.is_file():
        raise DataError(f"{str(path)!r} is missing.", hint=AGAIN)
    size = path.stat().st_size
    if size != entry.bytes:
        raise DataError(f"{str(path)!r} has {size:,} bytes; {entry.bytes:,} were written.", hint=AGAIN)
    if thorough and digest(path) != entry.sha256:
        raise DataError(f"{str(path)!r} was altered: its sha256 differs.", hint=AGAIN)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Refuse a folder that another process is encoding; the lock goes with the process, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"another process is encoding into {str(folder)!r}.", hint="wait for it, or choose another folder"
            ) from error
        except (ImportError, OSError):  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)
