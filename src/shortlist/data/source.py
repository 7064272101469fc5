"""The one reader of files: their stamps, their common schema, and slices of them.

Datasets and shards are read through ``Source``, from Python and from the command line; so they read the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from shortlist.data.column_types import common_schema, partition_type
from shortlist.data.formats import format_of
from shortlist.data.listing import SourceFile, listed
from shortlist.data.opened_files import UNREADABLE, OpenedFiles
from shortlist.data.reading import Reading
from shortlist.errors import ConfigError, DataError
from shortlist.language import counted

__all__ = ["VALUE", "Source", "SourceFile", "counted_files", "counted_stamps", "find"]

AT_ONCE = 1 << 25
VALUE = re.compile(r"-?\d+(\.\d+)?(_duplicated_\d+)?$")  # a value, not the name of a column


@dataclass(frozen=True)
class Source(OpenedFiles):
    """The files of a table as one table: its schema, and slices of its rows.

    Attributes:
        found: notes of the listing.
    """

    found: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """The files that were left out, in words."""
        looked = self.kind.family in ("delimited", "json")
        empty = [file.name for file in self.files if file.bytes == 0 or (looked and self._opened(file) is None)]
        empty = [] if self.lake is not None else empty
        repeats = [
            self._repeats(file) for file in self.files if self.untyped and self.lake is None and file.name not in empty
        ]
        left_out = [f"{counted_files(empty)} left out, empty (such as {empty[0]!r})"] if empty else []
        return [*self.found, *left_out, *filter(None, repeats)]

    def _repeats(self, file: SourceFile) -> str:
        """A note on the lines of a file that repeat its header; empty without any."""
        copy = None if self.copies is None else self.copies / "looked-at.text"
        with self._naming(file):
            lines = self._text(file).repeated_headers(copy)
        some = f"{len(lines):,} lines repeat" if len(lines) > 1 else "1 line repeats"
        return f"{file.name!r}: {some} the header (the first is line {lines[0]}); left out" if lines else ""

    def as_listed(self, stamps: Mapping[str, str], copies: Path) -> Source:
        """The same with the files of an earlier listing alone; a lake at its version then.

        Args:
            copies: for copies of text.
        """
        files = [replace(file, stamp=stamps[file.name]) for file in self.files if file.name in stamps]
        return replace(self, files=tuple(files), copies=copies, _held={})

    def changed(self) -> dict[str, str]:
        """The stamps of its files now; those of a lake never change."""
        return self.stamps if self.lake is not None else find(self.where, table=self.table).stamps

    # --- what is in it ----------------------------------------------------------------------------------------------

    def schema(self) -> pl.Schema:
        """Names and types of the columns that have one type in all files. DataError where files cannot be read."""
        return self._settled()[0]

    def names(self) -> list[str]:
        """The names of the columns; of delimited text from the first line of its first file, without reading more."""
        if self.untyped and "settled" not in self._held:
            for file in self.files:
                if file.bytes:
                    with self._naming(file):
                        return self._text(file).names()
        return self.schema().names()

    @property
    def conflicts(self) -> dict[str, str]:
        """Columns without a common type, with two of their types and where these occur."""
        return self._settled()[1]

    def require(self, columns: Sequence[str]) -> None:
        """DataError for a column whose types have nothing in common, and for an id that some files lack."""
        for column in columns:
            if column in self.ids:
                self._refuse_without(column)
            if (types := self.conflicts.get(column)) is not None:
                raise DataError(
                    f"the column {column!r} of the {self.table} table {types}; one type in all files was expected.",
                    hint="write it with one type, or select files of one type with a pattern",
                )

    def _refuse_without(self, column: str) -> None:
        """DataError where some files have this column and another one has others alone."""
        lacking, there = None, False
        for file in self.files if self.lake is None else ():
            types = self._types(file)
            there |= column in types or column in file.partitions
            if len(types) and column not in types and column not in file.partitions:
                lacking = lacking or file
        if there and lacking is not None:
            names = list(self._types(lacking))
            headless = self.untyped and any(VALUE.match(name) for name in names)
            raise DataError(
                f"the {self.table} table {self.where!r}: {lacking.name!r} has no column {column!r}, which other files have; it has "
                f"{', '.join(map(repr, names))}.",
                hint="it seems to have no header line: add one, or leave it out with a pattern"
                if headless
                else "leave that file out with a pattern, or write it with the same columns",
            )

    def rows(self, file: SourceFile) -> int:
        """How many rows a file has, from its footer. DataError where it cannot be read."""
        lazy = self._opened(file)
        with self._naming(file):
            return 0 if lazy is None else int(lazy.select(pl.len()).collect().item())

    # --- reading ----------------------------------------------------------------------------------------------------

    def scan(self, file: SourceFile, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns of one file in their common types; a column that it lacks is null."""
        lazy, there, types = self._opened(file), self._types(file), self.schema()
        if lazy is None:
            return pl.DataFrame(schema={column: types[column] for column in columns}).lazy()
        cast = [cs.by_name(c).cast(types[c]) for c in columns if c in there and there[c] != types[c]]
        added = [_partition(file, c, types[c]) for c in columns if c not in there]
        return lazy.with_columns(*cast, *added).select(cs.by_name(*columns))

    def scans(self, columns: Sequence[str], at_once: int = AT_ONCE) -> Iterator[tuple[str, pl.LazyFrame]]:
        """Everything, in parts of at most ``at_once`` rows (a file each from a store that Polars does not know), by name.

        Polars' streaming groups hold 12 bytes a row until a query ends, so that one over everything would grow with rows.
        """
        together: list[SourceFile] = []
        left = at_once
        for file in self.files:
            rows = self.rows(file)
            if together and (rows > left or self.store is not None):
                yield self._name(together), self._joined(together, columns)
                together, left = [], at_once
            if rows > at_once and self.store is None:
                for start in range(0, rows, at_once):
                    yield file.name, self.scan(file, columns).slice(start, at_once)
                continue
            together.append(file)
            left -= rows
        if together:
            yield self._name(together), self._joined(together, columns)

    def counts(
        self, columns: Sequence[str], check: Callable[[pl.DataFrame], None] = lambda found: None
    ) -> tuple[pl.DataFrame, pl.Series]:
        """Each distinct row of these columns, and how often it occurs, in no order.

        Args:
            check: called after each part that was read, with the distinct rows so far, in columns named "0", "1", …

        Raises:
            DataError: where the source cannot be read.
        """
        self.require(columns)
        numbers = [str(place) for place in range(len(columns))]
        found = None
        for name, scan in self.scans(columns):
            numbered = scan.select(cs.by_name(c).alias(number) for c, number in zip(columns, numbers, strict=True))
            with self._naming(name):
                part = numbered.group_by(numbers).agg(pl.len().alias("count")).collect(engine="streaming")
            found = part if found is None else pl.concat([found, part]).group_by(numbers).agg(pl.col("count").sum())
            check(found.select(numbers))
        assert found is not None
        distinct = found.select(pl.col(n).alias(c) for n, c in zip(numbers, columns, strict=True))
        return distinct, found["count"]

    def read(self, file: SourceFile, start: int, rows: int, columns: Sequence[str]) -> pl.DataFrame:
        """Rows of a file. DataError where they cannot be read or a column is missing."""
        self.require(columns)
        with self._naming(file):
            return self.scan(file, columns).slice(start, rows).collect()

    def frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Everything in memory: those of these columns that exist, or all. DataError where it cannot be read."""
        schema = self.schema()
        columns = list(schema) if columns is None else [column for column in dict.fromkeys(columns) if column in schema]
        try:
            return self._joined(self.files, columns).collect()
        except UNREADABLE as error:
            for file in self.files:  # to name the file
                with self._naming(file):
                    self.scan(file, columns).collect()
            with self._naming(self.where):
                raise error

    def place(self, file: SourceFile, row: int) -> str:
        """Where a row of a file is, for a message: its line where the file is text; rows are counted from 0 here, from 1
        in the message."""
        if self.lake is None and (format_of(file.name) or self.kind).family in ("delimited", "json"):
            line = self._text(file).line_of_row(row)
            if line is not None:
                return f"line {line} of {file.name!r}"
        return f"row {row + 1} of {file.name!r}"

    # --- within -----------------------------------------------------------------------------------------------------

    def _joined(self, files: Sequence[SourceFile], columns: Sequence[str]) -> pl.LazyFrame:
        """These files one after another; neighbours of one schema in one scan, which Polars reads faster."""
        parts: list[pl.LazyFrame] = []
        for run in self._runs(files):
            if len(run) == 1:
                parts.append(self.scan(run[0], columns))
            else:
                lazy = pl.scan_parquet([file.path for file in run], glob=False, hive_partitioning=False)
                types = self.schema()
                parts.append(lazy.select(cs.by_name(column).cast(types[column]) for column in columns))
        return pl.concat(parts) if len(parts) > 1 else parts[0]

    def _runs(self, files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
        run: list[SourceFile] = []
        plain = self.kind.family == "parquet" and self.store is None and self.lake is None
        for file in files:
            alike = run and self._types(run[0]) == self._types(file) and self._opened(file) is not None
            if run and not (plain and alike and not self._partition_keys()):
                yield run
                run = []
            run.append(file)
        if run:
            yield run

    def _name(self, files: Sequence[SourceFile]) -> str:
        return files[0].name if len(files) == 1 else f"{files[0].name} … {files[-1].name}"

    def _settled(self) -> tuple[pl.Schema, dict[str, str]]:
        if "settled" not in self._held:
            self._held["settled"] = self._unified()
        held: tuple[pl.Schema, dict[str, str]] = self._held["settled"]
        return held

    def _unified(self) -> tuple[pl.Schema, dict[str, str]]:
        """The common schema, and the columns without one; text is read again as text where its columns disagree."""
        self._look()
        schema, conflicts = self._union()
        if self.untyped and conflicts:
            self._held["overrides"] = dict.fromkeys(conflicts, pl.String)
            for file in self.files:
                types = self._types(file)
                if any(column in types and types[column] != pl.String for column in conflicts):
                    self._held.pop(("open", file.name), None)
                    self._held.pop(("types", file.name), None)
            schema, conflicts = self._union()
        for key in self._partition_keys():
            if key not in schema and key not in conflicts:
                schema[key] = partition_type([file.partitions.get(key) for file in self.files])
        return schema, conflicts

    def _union(self) -> tuple[pl.Schema, dict[str, str]]:
        return common_schema({file.name: self._types(file) for file in self.files}, self.ids)

    def _look(self) -> None:
        """Open all files, several at a time where only their heads are read; DataError where all of them are empty."""
        if self.kind.family == "parquet" and len(self.files) > 1 and self.store is None:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(self._types, self.files))
        if all(self._opened(file) is None for file in self.files):
            what = "is empty" if len(self.files) == 1 else f"holds {counted_files(self.files)}, all of them empty"
            raise DataError(
                f"the {self.table} table {self.where!r} could not be read as {self.kind.extension[1:]}: it {what}.",
                hint="check how it was made",
            )

    def _partition_keys(self) -> list[str]:
        return list(dict.fromkeys(key for file in self.files for key in file.partitions))


def find(
    source: str | Path,
    *,
    table: str = "interactions",
    reading: Reading | None = None,
    ids: Sequence[str] = (),
    times: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    copies: Path | None = None,
) -> Source:
    """The files of a file, a pattern, a folder (with those below it), a Delta or Iceberg table, or a URL (s3://bucket/log/).

    Local files and what Polars knows (s3, gs, az, http, hf) are read in slices; from other stores that fsspec knows, a
    file at a time. Credentials come from the environment, as both read them.

    Args:
        ids: columns of ids, which text files keep as they are written.
        times: columns of times, which text files keep as they are written.
        columns: those that will be read, or None for any.
        copies: a folder for plain copies of text files, which are held in memory without.

    Raises:
        DataError: where there is none.
        ConfigError: for options that do not fit.
        MissingExtraError: where a package is missing.
    """
    reading = reading or Reading()
    try:
        found = listed(source, table)
    except OSError as error:
        if isinstance(error, DataError):
            raise
        shown = str(source) if len(str(source)) <= 200 else f"{str(source)[:200]}…"
        raise DataError(
            f"the {table} table {shown!r} cannot be opened: {error.strerror or error}.", hint="check the path"
        ) from error
    if reading.columns is not None and (found.kind.family != "delimited" or found.lake is not None):
        raise ConfigError(
            f"columns gives names to a CSV without a header line, but {str(source)!r} is not a CSV.",
            hint="leave columns= (--columns) out",
        )
    return Source(
        str(source),
        table,
        found.kind,
        found.files if found.lake is None else (_lake_file(str(source), found.lake, table),),
        store=None if found.native else found.store,
        lake=found.lake,
        found=found.notes,
        reading=reading,
        ids=tuple(ids),
        as_text=tuple(dict.fromkeys([*ids, *times])),
        columns=None if columns is None else tuple(columns),
        copies=copies,
    )


def counted_files(files: Sequence[object]) -> str:
    """As in "1 file" and "12 files"."""
    return counted(len(files), "file")


def counted_stamps(stamps: Mapping[str, str]) -> int | None:
    """How many files of such stamps hold rows; None for a Delta or Iceberg table."""
    if any(stamp.startswith(("version ", "snapshot ")) for stamp in stamps.values()):
        return None
    return sum(not stamp.startswith("0 bytes") for stamp in stamps.values())


def _lake_file(where: str, lake: str, table: str) -> SourceFile:
    from shortlist.data.lakes import lake_version

    return SourceFile(where, where, 0, lake_version(lake, where, table))


def _partition(file: SourceFile, column: str, kind: pl.DataType) -> pl.Expr:
    """The value that a file's path gives to a column, which is null where it gives none."""
    value: Any = file.partitions.get(column)
    if value is not None and kind in (pl.Int64, pl.Date):
        value = int(value) if kind == pl.Int64 else date.fromisoformat(value)
    return pl.lit(value, dtype=kind).alias(column)
