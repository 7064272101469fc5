"""The files of a table, each opened once: its rows, the types of its columns, its text."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from shortlist.data.formats import Format, format_of
from shortlist.data.lakes import open_lake
from shortlist.data.listing import SourceFile, first_line
from shortlist.data.reading import Reading
from shortlist.data.text import Text
from shortlist.data.text_content import EmptyFileError, TextError
from shortlist.errors import DataError

__all__ = ["UNREADABLE", "OpenedFiles"]

FULL = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS") if hasattr(errno, name))
UNREADABLE = (pl.exceptions.PolarsError, OSError, ValueError, TypeError, OverflowError)


@dataclass(frozen=True)
class OpenedFiles:
    """The files of a table, in the order of their names, each opened at its first use.

    Attributes:
        where: the place as it was named.
        table: what the table is called in messages.
        store: the fsspec file system of files that Polars cannot open.
        ids: columns of ids.
        as_text: columns that are kept as text where they are text (ids and times).
        columns: those that will be read, if that is known.
        copies: a folder for plain copies of text files; without, they are held in memory.
    """

    where: str
    table: str
    kind: Format
    files: tuple[SourceFile, ...]
    store: Any = None
    lake: str | None = None
    reading: Reading = field(default_factory=Reading)
    ids: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    copies: Path | None = None
    _held: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def stamps(self) -> dict[str, str]:
        """The stamp of every file, by name."""
        return {file.name: file.stamp for file in self.files}

    @property
    def file_count(self) -> int | None:
        """How many files hold rows; None for a Delta or Iceberg table, of which the files are not listed."""
        return None if self.lake is not None else sum(file.bytes > 0 for file in self.files)

    @property
    def untyped(self) -> bool:
        """Whether ids were read from text, where 1 and "1" look alike."""
        return self.kind.family == "delimited"

    def _types(self, file: SourceFile) -> pl.Schema:
        """The file's own columns; in text among several files, empty columns have no type."""
        key = ("types", file.name)
        if key not in self._held:
            lazy = self._opened(file)
            with self._naming(file):
                types = pl.Schema() if lazy is None else lazy.collect_schema()
                if lazy is not None and self.untyped and len(self.files) > 1:
                    nulls = lazy.select(cs.all().null_count() == pl.len()).collect()
                    types = pl.Schema(
                        {c: pl.Null() if t == pl.String and nulls[c].item() else t for c, t in types.items()}
                    )
            self._held[key] = types
        held: pl.Schema = self._held[key]
        return held

    def _opened(self, file: SourceFile) -> pl.LazyFrame | None:
        """The file as it is; None for an empty one."""
        if file.bytes == 0 and self.lake is None:
            return None
        if self.store is not None and self.kind.family == "parquet":
            if self._held.get("bytes of") != file.path:
                with self._naming(file):
                    self._held["bytes"], self._held["bytes of"] = self.store.cat_file(file.path), file.path
            return pl.scan_parquet(io.BytesIO(self._held["bytes"]))
        key = ("open", file.name)
        if key not in self._held:
            with self._naming(file):
                self._held[key] = self._open(file)
        opened: pl.LazyFrame | None = self._held[key]
        return opened

    def _open(self, file: SourceFile) -> pl.LazyFrame | None:
        if self.lake is not None:
            return open_lake(file.path, file.stamp)
        if self.kind.family == "parquet":
            lazy = pl.scan_parquet(file.path, glob=False, hive_partitioning=False)
            lazy.collect_schema()
            return lazy
        copy = None if self.copies is None else self.copies / f"{self.files.index(file):05}.parquet"
        if self.kind.family == "arrow":
            return _open_arrow(self._content(file), copy)
        try:
            return self._text(file).load(copy, self.columns, self._held.get("overrides", {}))
        except EmptyFileError:
            return None

    def _content(self, file: SourceFile) -> Path | bytes:
        return Path(file.path) if self.store is None else bytes(self.store.cat_file(file.path))

    def _text(self, file: SourceFile) -> Text:
        kind = format_of(file.name) or self.kind
        return Text(self._content(file), kind, self.reading, self.as_text, self.ids)

    @contextmanager
    def _naming(self, file: SourceFile | str) -> Iterator[None]:
        """Turns errors of Polars or a store into a DataError that names the file."""
        try:
            yield
        except DataError:
            raise
        except UNREADABLE as error:
            name = file if isinstance(file, str) else file.name
            single = len(self.files) == 1 or name == self.where
            place = repr(self.where) if single else f"{self.where!r}: {name!r}"
            if self.copies is not None and (refused := _full_disk(error)) is not None:
                raise DataError(
                    f"the {self.table} table {place} could not be copied to {str(self.copies)!r}: {refused}.",
                    hint="free some space there, or choose a folder that can be written to",
                ) from error
            hint = getattr(error, "hint", "check that the file is complete and its extension says what it holds")
            what = f"{self.lake} table" if self.lake else self.kind.extension[1:]
            reason = str(error) if isinstance(error, TextError) else first_line(error)
            raise DataError(
                f"the {self.table} table {place} could not be read as {what}: {reason}.", hint=hint
            ) from error


def _full_disk(error: BaseException | None) -> str | None:
    """The words of a disk that took no more, from an error or one that led to it; readers of Polars give it no number."""
    while error is not None:
        for number in FULL:
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                return os.strerror(number)
        error = error.__cause__ or error.__context__
    return None


def _open_arrow(content: Path | bytes, copy: Path | None) -> pl.LazyFrame:
    head = content[:6] if isinstance(content, bytes) else _first(content, 6)
    if head == b"ARROW1" and isinstance(content, Path):
        return pl.scan_ipc(content, glob=False, hive_partitioning=False)
    # a path alone is enough for files, but Feather written as a stream needs the other reader
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    frame = pl.read_ipc(stream) if head == b"ARROW1" else pl.read_ipc_stream(stream)
    if copy is None:
        return frame.lazy()
    frame.write_parquet(copy)
    return pl.scan_parquet(copy, glob=False, hive_partitioning=False)


def _first(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)
