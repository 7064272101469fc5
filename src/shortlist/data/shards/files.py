"""The manifest of a folder of shards, and files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import DataError
from shortlist.store import (
    DamageError,
    Entry,
    check,
    in_one_step,
    open_first_line,
    read_file,
    seal_first_line,
    write_file,
)

__all__ = [
    "Header",
    "Manifest",
    "Piece",
    "Tables",
    "check_files",
    "named",
    "read_record",
    "write",
    "write_array",
    "write_record",
]

FORMAT = 1
HEADER = "source.json"
TABLES = "tables.json"
MANIFEST = "manifest.json"
MARK = "interactions.parquet"  # whose lock says that the shards are in use: it stays as it is while they grow
LIMIT = 1 << 30  # bytes of a record
AGAIN = "encode the source again with overwrite=True"


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Header(_Record, frozen=True, kw_only=True):
    """A description of what is encoded, and how: a folder with another description is not the same work."""

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
    negatives: str | None = None
    seen: str | None = None
    events: str = ""
    reading: dict[str, str] = {}


class Tables(_Record, frozen=True, kw_only=True):
    """The files of both tables, of the counts of their rows and of an empty table of interactions; what to say of them.

    Attributes:
        generation: how often the shards have grown.
        form: how times that are text are written.
    """

    files: dict[str, Entry]
    notes: list[str]
    warnings: list[str] = []
    generation: int = 0
    form: str = ""

    def name(self, name: str) -> str:
        """The file of a table or of counts: each growth of the shards writes its own."""
        return named(name, self.generation)

    def read(self, folder: Path, name: str) -> pl.DataFrame:
        """A table."""
        return pl.read_parquet(folder / self.name(name), glob=False, hive_partitioning=False)

    def array(self, folder: Path, name: str) -> NDArray[Any]:
        """An array of counts."""
        counts: NDArray[Any] = np.load(folder / self.name(name), allow_pickle=False)
        return counts


class Piece(_Record, frozen=True, kw_only=True):
    """A run of rows of one source file: as many numbers in each of its arrays, by column.

    Attributes:
        negatives: how many ids of negatives neither table had, and how many there were.
    """

    number: int
    file: str
    start: int
    rows: int
    files: dict[str, Entry]
    negatives: tuple[int, int] = (0, 0)


class Manifest(_Record, frozen=True, kw_only=True):
    """Written last: a folder without it is not finished."""

    header: Header
    tables: Tables
    pieces: list[Piece]
    rows: int
    fingerprint: str
    numbers: int = 0  # pieces have had smaller numbers than this; 0 in manifests of earlier versions

    @property
    def next_number(self) -> int:
        """A number that no piece has had."""
        return max([self.numbers, *(piece.number + 1 for piece in self.pieces)])


def named(name: str, generation: int) -> str:
    """The file's name in a generation of the tables; the empty table of interactions stays as it is."""
    stem, _, suffix = name.rpartition(".")
    return name if generation == 0 or name == MARK else f"{stem}-{generation}.{suffix}"


R = TypeVar("R", bound=_Record)


def write(path: Path, fill: Callable[[IO[bytes]], Any]) -> Entry:
    """A file that ``fill`` writes, whole or not at all. OSError where the disk refuses."""
    with in_one_step(path) as new:
        with new.open("wb") as file:
            try:
                fill(file)
            except pl.exceptions.PolarsError as error:  # a disk that refuses
                raise OSError(str(error)) from error
        return Entry.of(new)


def write_array(path: Path, values: NDArray[Any]) -> Entry:
    """An array as ``.npy``."""
    return write(path, lambda file: np.lib.format.write_array(file, values, allow_pickle=False))


def write_record(path: Path, record: _Record) -> None:
    """A record as JSON, its own sha256 in the first line."""
    write_file(path, seal_first_line(msgspec.json.format(msgspec.json.encode(record))))


def read_record(path: Path, kind: type[R]) -> R:
    """A record as it was written. DataError where it was altered, FileNotFoundError where it is missing."""
    try:
        return msgspec.json.decode(open_first_line(read_file(path, LIMIT), path), type=kind)
    except DamageError as damage:
        raise DataError(str(damage), hint=AGAIN) from damage
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise DataError(f"{str(path)!r} was altered or has another version: {error}.", hint=AGAIN) from error


def check_files(folder: Path, entries: Mapping[str, Entry], thorough: bool = True) -> None:
    """DataError where a file is missing, has another size, or (``thorough``) another sha256."""
    try:
        check(folder, entries, lambda name: thorough)
    except DamageError as damage:
        raise DataError(str(damage), hint=AGAIN) from damage
