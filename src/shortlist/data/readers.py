"""Anything that holds a table → a Polars frame.

Ids are the reason this is more than a call to Polars: text formats have no types, so the id columns of a CSV file are read
as they are written, and only become integers when every value reads back exactly ("007" is not 7).
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import polars as pl

from shortlist.errors import DataError

__all__ = ["Table", "is_frame", "read_table"]

PARQUET = (".parquet", ".pq")
DELIMITED = {".csv": ",", ".tsv": "\t"}
ARROW = (".arrow", ".feather", ".ipc")
JSON_LINES = (".jsonl", ".ndjson")
EXTENSIONS = (*PARQUET, *DELIMITED, *ARROW, *JSON_LINES)
ACCEPTED = (
    "a path, a Polars or pandas DataFrame, an Arrow table, a dict of columns or a list of dicts "
    f"(files: {' '.join(EXTENSIONS)}, or a folder of Parquet files)"
)
GLOB = re.compile(r"[*?\[]")
UNREADABLE = (pl.exceptions.PolarsError, OSError, ValueError, TypeError, OverflowError)


@dataclass(frozen=True)
class Table:
    """A frame, what to call it in messages, and whether its ids came from text, where 1 and "1" look alike."""

    frame: pl.DataFrame
    name: str
    untyped: bool = False


def read_table(source: object, name: str, ids: Sequence[str] = ()) -> Table:
    """The frame held by ``source``; columns named in ``ids`` keep the exact text of a CSV file.

    Raises DataError for a file that is missing, unreadable or of an unknown extension, and for an object that is no table.
    """
    if isinstance(source, pl.DataFrame):
        return Table(source, name)
    if isinstance(source, (str, Path)):
        return _read_path(Path(source), name, ids)
    try:
        return Table(_from_object(source, name, ids), name)
    except UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"the {name} table, a {_type_name(source)}, could not be read: {_first_line(error)}",
            hint="give every column one type and one length",
        ) from error


def is_frame(value: object) -> bool:
    """Whether ``value`` is a table with named columns: a frame of Polars, pandas or Arrow, not a dict nor a column."""
    if isinstance(value, (str, bytes, Mapping, Sequence, pl.Series)):
        return False
    return isinstance(value, pl.LazyFrame) or hasattr(value, "columns") or hasattr(value, "read_next_batch")


# --- objects in memory ---------------------------------------------------------------------------------------------


def _from_object(source: object, name: str, ids: Sequence[str]) -> pl.DataFrame:
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if isinstance(source, Mapping):
        for column in ids:
            _refuse_mixed(source.get(column, ()), column, name)
        return pl.DataFrame(dict(source), strict=True)
    if isinstance(source, Sequence) and not isinstance(source, (bytes, bytearray)):
        return _from_dicts(source, name, ids)
    if type(source).__module__.partition(".")[0] == "pandas":
        return _from_pandas(source, name)
    if hasattr(source, "__arrow_c_stream__"):
        return pl.DataFrame(source)
    raise DataError(
        f"the {name} table is a {_type_name(source)}; expected {ACCEPTED}.",
        hint="convert it to one of these first",
    )


def _from_dicts(rows: Sequence[Any], name: str, ids: Sequence[str]) -> pl.DataFrame:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                f"row {number} of the {name} table is a {_type_name(row)}; expected a dict of column names to values.",
                hint=f"the table may be {ACCEPTED}",
            )
    for column in ids:
        _refuse_mixed((row.get(column) for row in rows), column, name)
    return pl.DataFrame(list(rows), infer_schema_length=None, strict=True)


def _from_pandas(source: Any, name: str) -> pl.DataFrame:
    if not hasattr(source, "columns"):
        raise DataError(
            f"the {name} table is a pandas {type(source).__name__}; expected a DataFrame.",
            hint="call .to_frame()",
        )
    try:
        return pl.from_pandas(source)
    except ImportError as error:
        raise DataError(
            f"the {name} table is a pandas DataFrame, and reading one needs the package 'pyarrow', "
            "which is not installed.",
            hint="pip install pyarrow, or pass a dict of columns: frame.to_dict('list')",
        ) from error


def _refuse_mixed(values: Iterable[Any], column: str, name: str) -> None:
    """Polars would turn [1, "1"] and [1, True] into one id; refuse them instead."""
    if not isinstance(values, pl.Series) and not hasattr(values, "dtype"):
        kinds = sorted({_kind(value) for value in values if value is not None})
        if len(kinds) > 1:
            raise DataError(
                f"the {name} table's id column {column!r} mixes values of types {' and '.join(kinds)}; "
                "expected one type, strings or integers.",
                hint="convert every id to str, or every id to int",
            )


def _kind(value: object) -> str:
    """The name of a value's type, the same for Python's and numpy's integers and strings."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Integral):
        return "int"
    return "str" if isinstance(value, str) else type(value).__name__


# --- files ---------------------------------------------------------------------------------------------------------


def _read_path(path: Path, name: str, ids: Sequence[str]) -> Table:
    path = path.expanduser()
    pattern = not path.exists() and GLOB.search(str(path)) is not None
    if not path.exists() and not pattern:
        raise DataError(f"the {name} table {str(path)!r} does not exist.", hint="check the path")
    if path.is_dir():
        path, pattern = path / "**" / "*.parquet", True
    if pattern and not any(path.parent.parent.glob("**/*.parquet") if path.parent.name == "**" else _matches(path)):
        raise DataError(
            f"the {name} table: no file matches {str(path)!r}.",
            hint="name a file, a pattern that matches some, or a folder of .parquet files",
        )
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        raise DataError(
            f"the {name} table {str(path)!r} has the extension {extension!r}; expected one of {' '.join(EXTENSIONS)}.",
            hint="convert it, or read it yourself and pass the DataFrame",
        )
    try:
        return Table(_read_file(path, pattern, ids), name, untyped=extension in DELIMITED)
    except UNREADABLE as error:
        raise DataError(
            f"the {name} table {str(path)!r} could not be read as {extension[1:]}: {_first_line(error)}",
            hint="save it as UTF-8"
            if "utf-8" in str(error).lower()
            else "check that the file is complete and its extension says what it holds",
        ) from error


def _matches(path: Path) -> list[Path]:
    fixed = Path(path.anchor)
    parts = path.parts[1:] if path.anchor else path.parts
    return list(fixed.glob(str(Path(*parts))))


def _read_file(path: Path, pattern: bool, ids: Sequence[str]) -> pl.DataFrame:
    extension = path.suffix.lower()
    if extension in PARQUET:
        return pl.scan_parquet(path, glob=pattern).collect()
    if extension in ARROW:
        # a path alone is enough for files, but Feather written as a stream needs the other reader
        return pl.read_ipc(path) if pattern or _is_ipc_file(path) else pl.read_ipc_stream(path)
    if extension in JSON_LINES:
        return _read_json_lines(path, ids)
    return _read_delimited(path, pattern, ids)


def _is_ipc_file(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == b"ARROW1"


def _read_delimited(path: Path, pattern: bool, ids: Sequence[str]) -> pl.DataFrame:
    as_written = dict.fromkeys(ids, pl.String)
    separator = _separator(_matches(path)[0] if pattern else path)
    try:
        return pl.scan_csv(
            path, separator=separator, schema_overrides=as_written, infer_schema_length=10_000, glob=pattern
        ).collect()
    except pl.exceptions.ComputeError:  # a value further down fits no type seen above: look at the whole file
        return pl.scan_csv(
            path, separator=separator, schema_overrides=as_written, infer_schema_length=None, glob=pattern
        ).collect()


def _separator(path: Path) -> str:
    """What parts the columns: what the extension says or, where the first line has none of it, ; or a tab or |."""
    usual = DELIMITED[path.suffix.lower()]
    with path.open("rb") as file:
        head = file.readline(1 << 16).decode("utf-8", "replace")
    return usual if usual in head else next((other for other in ";\t|," if other in head), usual)


def _read_json_lines(path: Path, ids: Sequence[str]) -> pl.DataFrame:
    frame = pl.scan_ndjson(path, infer_schema_length=None).collect()
    for column in ids:
        if frame.schema.get(column) == pl.String and path.exists() and _has_number(path, column):
            raise ValueError(f"the id column {column!r} mixes numbers and strings")
    return frame


def _has_number(path: Path, column: str) -> bool:
    """Whether some line gives ``column`` as a bare number, which Polars turns into a string beside strings."""
    suspect = re.compile(rb"%s\s*:\s*[-0-9tf]" % re.escape(json.dumps(column, ensure_ascii=False).encode()))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if suspect.search(text) is None:
            return False
        return any(
            not isinstance(json.loads(line).get(column), (str, type(None)))
            for line in iter(text.readline, b"")
            if line.strip()
        )


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
