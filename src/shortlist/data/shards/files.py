"""The manifest of a folder of shards, and files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import msgspec
import numpy as np
import polars as pl
import polars.selectors as cs
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
    "TablePart",
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


class TablePart(_Record, frozen=True, kw_only=True):
    """Neighbouring rows of a table: a file that one growth of the shards wrote."""

    generation: int
    rows: int


class Tables(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """The files of both tables, of the counts of their rows and of an empty table of interactions; what to say of them.

    Attributes:
        generation: how often the shards have grown.
        form: how times that are text are written.
        parts: of each table that is in several files, those that together are it, in order; others are in one file.
    """

    files: dict[str, Entry]
    notes: list[str]
    warnings: list[str] = []
    generation: int = 0
    form: str = ""
    parts: dict[str, list[TablePart]] = {}

    def read(self, folder: Path, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """A table, or these columns of it."""
        generations = [part.generation for part in self.parts.get(name, ())] or [self.generation]
        paths = [folder / named(name, generation) for generation in generations]
        found = pl.scan_parquet(paths, glob=False, hive_partitioning=False)
        if columns is not None:
            found = found.select(cs.by_name(*columns))
        return found.collect()

    def schema(self, folder: Path, name: str) -> pl.Schema:
        """Names and types of the columns of a table."""
        first = self.parts[name][0].generation if name in self.parts else self.generation
        return pl.Schema(pl.read_parquet_schema(folder / named(name, first)))

    def array(self, folder: Path, name: str) -> NDArray[Any]:
        """An array of counts."""
        counts: NDArray[Any] = np.load(folder / named(name, self.generation), allow_pickle=False)
        return counts

    def kept_parts(self, name: str, same: int, rows: int) -> list[TablePart]:
        """The first parts of a table that stay when it grows; what follows them is written as one part.

        Parts that have no more rows than what follows them are written again with it, so that a table has a part for each
        doubling of its rows, not for each growth.

        Args:
            name: of the table.
            same: its first rows that are as they were: all of those before, or none.
            rows: that it has now.
        """
        if not same:
            return []
        kept = list(self.parts.get(name, ())) or [TablePart(generation=self.generation, rows=same)]
        while kept and same < rows and kept[-1].rows <= rows - same:
            same -= kept.pop().rows
        return kept


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
