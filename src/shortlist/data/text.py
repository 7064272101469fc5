"""Text files → frames: compression, encoding, quotes, header, types; errors say the line."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from shortlist.data.formats import Format
from shortlist.data.quotes import mended, quotes_of, without_quoting
from shortlist.data.reading import Reading
from shortlist.data.text_content import (
    Content,
    EmptyFileError,
    TextError,
    begin_of,
    buffer_of,
    check_utf8,
    head_of,
    line_of,
    lines_of,
    plain,
)
from shortlist.language import counted

__all__ = ["Text"]

HEADER = 1 << 16  # bytes of a header line, at most
SNIFFED = 10_000  # rows whose values decide the types, if the rest agrees
EMPTY_LIST = re.compile(rb"\s*\[\s*\]\s*")
EXCEL = re.compile(rb'"?sep=([^\w"\r\n])"?\1*\r?(?:\n|\Z)', re.I | re.A)
"""The line that tells Excel what separates the columns; it is before the header."""
BLANK = re.compile(rb"\n[ \t]*\r?\n")


@dataclass(frozen=True)
class Text:
    """A text file as it is on the disk (or its bytes from a store), and how to read it.

    Attributes:
        as_text: columns of delimited text whose values are kept as they are written.
        ids: columns that must not mix types.
    """

    content: Content
    kind: Format
    reading: Reading
    as_text: Sequence[str] = ()
    ids: Sequence[str] = ()

    def load(self, copy: Path | None, columns: Sequence[str] | None, overrides: Mapping[str, Any]) -> pl.LazyFrame:
        """These columns (all of them for None, or where one is missing), in memory or as a Parquet file at ``copy``.

        Args:
            overrides: types to read columns as.

        Raises:
            TextError: with the line, where the text cannot be read.
            EmptyFileError: for an empty file.
        """
        made = None if copy is None else copy.with_suffix(".text")
        rows = None if copy is None else copy.with_suffix(".rows")
        try:
            content = plain(self.content, self.kind, self.reading.encoding, made)
            try:
                if self.kind.family == "json":
                    return _stored(self._json(content, overrides), columns, copy)
                return self._delimited(content, columns, overrides, copy, rows)
            except pl.exceptions.PolarsError as error:
                check_utf8(content)
                raise self._trouble(content, error) from error
        finally:
            for left in (made, rows):
                if left is not None:
                    left.unlink(missing_ok=True)

    def names(self) -> list[str]:
        """The names of the columns of delimited text, from its first line. Errors are those of ``load``."""
        begin = begin_of(self.content, self.kind, self.reading.encoding)
        return self._names(_records(begin, self._separator(begin), '"'))[0]

    def repeated_headers(self, copy: Path | None) -> list[int]:
        """The lines that repeat the header of delimited text, as two files put together have; they hold no row.

        Args:
            copy: where a packed text is unpacked for as long as it is looked at; None for memory.
        """
        try:
            content = plain(self.content, self.kind, self.reading.encoding, copy)
            separator = self._separator(head_of(content))
            header = self._names(_records(content, separator, '"'))[1]
            return lines_of(content, [start for start, _ in repeats_of(content, separator)]) if header else []
        finally:
            if copy is not None:
                copy.unlink(missing_ok=True)

    def line_of_row(self, row: int) -> int | None:
        """The line that ends a row, counted from 0; None if it is not known."""
        content = plain(self.content, self.kind, self.reading.encoding, None)
        if self.kind.family == "json":
            written = (number for number, line in _lines(content) if line.strip())
            return None if head_of(content).lstrip().startswith(b"[") else next(islice(written, row, None), None)
        separator = self._separator(head_of(content))
        content, quote = _settled(content, separator)
        header = self._names(_records(content, separator, quote))[1]
        first = next(_records(content, separator, quote), (1, []))[1]
        rows = (
            line
            for place, (line, fields) in enumerate(_records(content, separator, quote))
            if any(fields) and (place == 0 or not header or fields != first)
        )
        return next(islice(rows, row + header, None), None)

    # --- CSV and TSV ------------------------------------------------------------------------------------------------

    def _delimited(
        self,
        content: Content,
        columns: Sequence[str] | None,
        overrides: Mapping[str, Any],
        copy: Path | None,
        rows: Path | None,
    ) -> pl.LazyFrame:
        head = head_of(content)
        excel = EXCEL.match(head)
        if not head[excel.end() if excel else 0 :].strip(b"\r\n"):
            raise EmptyFileError("empty: it holds nothing")
        separator = self._separator(head)
        content, quote = _settled(content, separator)
        names, header = self._names(_records(content, separator, quote))
        bare: dict[str, Any] = {
            "separator": separator,
            "quote_char": quote,
            "has_header": False,
            "n_rows": 1,
            "skip_lines": int(excel is not None),
            "glob": False,
        }
        own = names if header else pl.scan_csv(content, **bare).collect_schema().names()
        kinds = {**dict.fromkeys(self.as_text, pl.String), **overrides}
        options: dict[str, Any] = {
            "separator": separator,
            "quote_char": quote,
            "has_header": header,
            "decimal_comma": self.reading.decimal == ",",
            "schema_overrides": {own[names.index(name)]: kind for name, kind in kinds.items() if name in names},
            "skip_lines": int(excel is not None),
            "glob": False,
        }
        if header:
            content = _without_repeats(content, repeats_of(content, separator), rows)
        blank = BLANK.search(buffer_of(content).data) is not None

        def scan(sniffed: int | None) -> pl.LazyFrame:
            lazy = pl.scan_csv(content, infer_schema_length=sniffed, **options)
            if not header:
                lazy = lazy.select(cs.by_name(own[place]).alias(name) for place, name in enumerate(names))
            return lazy.filter(~pl.all_horizontal(cs.all().is_null())) if blank else lazy

        try:
            return _stored(scan(SNIFFED), columns, copy)
        except pl.exceptions.ComputeError:  # a value further down fits no type seen above: look at the whole file
            return _stored(scan(None), columns, copy)

    def _separator(self, head: bytes) -> str:
        """The separator of the columns: as Excel's first line or the extension says; if the first line does not contain
        that, a semicolon, a tab or a bar."""
        if self.reading.separator is not None:
            return self.reading.separator
        if (excel := EXCEL.match(head)) is not None:
            return excel[1].decode()
        usual, first = self.kind.separator, head.partition(b"\n")[0].decode("utf-8", "replace")
        return usual if usual in first else next((other for other in ";\t|," if other in first), usual)

    def _names(self, records: Iterator[tuple[int, list[str]]]) -> tuple[list[str], bool]:
        """The columns' names, and whether they are in the first line."""
        line, first = next(records, (1, []))
        given = self.reading.columns
        if given is None or list(given) == first:
            twice = next((name for name in first if name in self.as_text and first.count(name) > 1), None)
            if twice is not None:
                raise TextError(f"two columns are called {twice!r} (line {line})", "rename one of them")
            return _as_polars_names(first), True
        if len(given) != len(first):
            raise TextError(
                f"line {line} has {counted(len(first), 'field')}, and {counted(len(given), 'column')} are named ({', '.join(given)})",
                "give one name for each field, in their order",
            )
        return list(given), False

    # --- JSON -------------------------------------------------------------------------------------------------------

    def _json(self, content: Content, overrides: Mapping[str, Any]) -> pl.LazyFrame:
        head = head_of(content)
        if not head.strip():
            raise EmptyFileError("empty: it holds nothing")
        if head.lstrip().startswith(b"["):
            whole = bytes(buffer_of(content))
            if EMPTY_LIST.fullmatch(whole):
                raise EmptyFileError("empty: a list of nothing")
            listed = pl.read_json(whole, infer_schema_length=None, schema_overrides=overrides)
            for column in self.ids:
                if listed.schema.get(column) == pl.String and _mixed_at(whole, column) is not None:
                    raise _mixed(column, f"row {_mixed_at(whole, column)}")
            return listed.lazy()
        if isinstance(content, Path) and not set("*?[").isdisjoint(str(content)):
            content = bytes(buffer_of(content))  # Polars would take the path for a pattern
        frame = pl.scan_ndjson(content, infer_schema_length=None, schema_overrides=overrides or None)
        schema = frame.collect_schema()
        for column in self.ids:
            if schema.get(column) == pl.String and (line := _number_at(content, column)) is not None:
                raise _mixed(column, f"line {line}")
        return frame

    # --- errors ---------------------------------------------------------------------------------------------

    def _trouble(self, content: Content, error: Exception) -> TextError:
        """The lines that Polars could not read."""
        if self.kind.family == "json":
            line, reason = _bad_json(content)
            return TextError(
                f"line {line} is not a JSON object: {reason}", "write one object a line, or one list of them"
            )
        separator = self._separator(head_of(content))
        width = first = 0
        try:
            for line, fields in _records(content, separator, '"'):
                width, first = (width, first) if width else (len(fields), line)
                if len(fields) > width:
                    return TextError(
                        f"line {line} has {counted(len(fields), 'field')}, and line {first} has {width}",
                        "quote fields that hold the separator, or name it: separator=, --separator",
                    )
        except csv.Error as also:
            return TextError(f"line {line}: {also}", "mend that line")
        return TextError(str(error).strip().partition("\n")[0], "check that the file is complete")


def _stored(lazy: pl.LazyFrame, columns: Sequence[str] | None, copy: Path | None) -> pl.LazyFrame:
    """The frame in memory or in a Parquet file; with these columns alone, where it has them all."""
    if columns and set(columns) <= set(lazy.collect_schema().names()):
        lazy = lazy.select(cs.by_name(*dict.fromkeys(columns)))
    if copy is None:
        return lazy.collect().lazy()
    lazy.sink_parquet(copy)
    return pl.scan_parquet(copy, glob=False, hive_partitioning=False)


def repeats_of(content: Content, separator: str) -> list[tuple[int, int]]:
    """Where lines begin and end that are the same as the header line, which has at least two columns; in bytes."""
    view = buffer_of(content).data
    excel = EXCEL.match(head_of(content))
    start = excel.end() if excel else 0
    line = bytes(view[start : start + HEADER]).partition(b"\n")[0].rstrip(b"\r")
    if separator.encode() not in line or len(line) >= HEADER - 1:
        return []
    pattern = re.compile(rb"\n(?:" + re.escape(line) + rb"\r?(?:\n|\Z))+")
    return [(found.start() + 1, found.end()) for found in pattern.finditer(view, start + len(line))]


def _without_repeats(content: Content, repeats: Sequence[tuple[int, int]], copy: Path | None) -> Content:
    """The text without those parts, at ``copy`` or in memory."""
    if not repeats:
        return content
    view = buffer_of(content)
    edges = [0, *(edge for repeat in repeats for edge in repeat), len(view)]
    parts = (view[low:high] for low, high in zip(edges[::2], edges[1::2], strict=True))
    if copy is None:
        return b"".join(map(bytes, parts))
    with copy.open("wb") as file:
        for part in parts:
            part.tofile(file)
    return copy


def _settled(content: Content, separator: str) -> tuple[Content, str | None]:
    """The text, and its quote; a text with quotes that belong to no field is read without, or mended."""
    view = buffer_of(content)
    quotes = quotes_of(view, separator)
    if quotes.stray is None:
        return content, '"'
    if not quotes.fields or without_quoting(view, separator):
        return content, None
    better = mended(bytes(view), separator)
    left = quotes_of(buffer_of(better), separator).stray
    if left is not None:
        raise TextError(
            f"line {line_of(better, left)} has a quote that closes no field, or one that is never closed",
            'write a quote within a quoted field twice: "6"" pipe"',
        )
    return better, '"'


def _records(content: Content, separator: str, quote: str | None) -> Iterator[tuple[int, list[str]]]:
    """The number of its last line and the fields of every record, as far as the text is UTF-8; without Excel's first line."""
    excel = EXCEL.match(head_of(content)) is not None
    stream = content.open("rb") if isinstance(content, Path) else io.BytesIO(content)
    with stream, io.TextIOWrapper(stream, "utf-8-sig", "replace", newline="") as lines:
        how: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote}
        reader = csv.reader(lines, delimiter=separator, **how)
        for fields in reader:
            if fields and not (excel and reader.line_num == 1):
                yield reader.line_num, fields


def _as_polars_names(names: list[str]) -> list[str]:
    """The names that Polars gives to columns of one name."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        found.append(f"{name}_duplicated_{seen[name] - 1}" if name in seen else name)
        seen[name] = seen.get(name, 0) + 1
    return found


def _number_at(content: Content, column: str) -> int | None:
    """The first line that gives ``column`` as a bare number, which Polars turns into a string among strings."""
    view = buffer_of(content)
    if _suspect(column).search(view.data) is None:
        return None
    for number, line in _lines(content):
        if line.strip() and not isinstance(json.loads(line).get(column), (str, type(None))):
            return number
    return None


def _mixed(column: str, place: str) -> TextError:
    return TextError(
        f"the id column {column!r} mixes numbers and strings: it is a number in {place}",
        "write every id as a string, or every id as a number",
    )


def _mixed_at(content: bytes, column: str) -> int | None:
    """The first object, counted from 1, of a list that gives ``column`` as a bare number."""
    if _suspect(column).search(content) is None:
        return None
    rows = enumerate(json.loads(content), 1)
    return next((number for number, row in rows if not isinstance(row.get(column), (str, type(None)))), None)


def _suspect(column: str) -> re.Pattern[bytes]:
    return re.compile(rb"%s\s*:\s*[-0-9tf]" % re.escape(json.dumps(column, ensure_ascii=False).encode()))


def _bad_json(content: Content) -> tuple[int, str]:
    for number, line in _lines(content):
        try:
            if line.strip() and not isinstance(json.loads(line, parse_constant=_no_constant), dict):
                return number, "something else"
        except ValueError as error:
            return number, str(error)
    return 1, "unknown"


def _no_constant(name: str) -> None:
    raise TextError(f"{name} is not a JSON value; null is", "write null where a value is missing")


def _lines(content: Content) -> Iterator[tuple[int, bytes]]:
    stream = content.open("rb") if isinstance(content, Path) else io.BytesIO(content)
    with stream:
        yield from enumerate(stream, 1)
