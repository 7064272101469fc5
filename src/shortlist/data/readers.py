"""Anything that holds a table → a Polars frame.

Ids are the reason this is more than a call to Polars: text formats have no types, so the id columns of a CSV file are read
as they are written, and only become integers when every value reads back exactly ("007" is not 7).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from shortlist._forks import refuse_after_fork
from shortlist.data.formats import EXTENSIONS
from shortlist.data.listing import first_line
from shortlist.data.opened_files import UNREADABLE
from shortlist.data.places import NOWHERE, Places
from shortlist.data.reading import Reading
from shortlist.data.source import Source, find
from shortlist.display import Tabular
from shortlist.errors import DataError, ShortlistWarning

__all__ = ["Table", "is_frame", "read_table"]

Keep: TypeAlias = "Sequence[str] | None"
ACCEPTED = (
    "a path, a Polars or pandas DataFrame, an Arrow table, a dict of columns or a list of dicts "
    f"(files: {' '.join(EXTENSIONS)}, text also with .gz or .zst, or a folder of files of one format)"
)


@dataclass(frozen=True)
class Table:
    """A frame, what to call it in messages, and whether its ids came from text, where 1 and "1" look alike.

    Attributes:
        notes: what was left out when it was read.
        source: the files that it was read from.
        places: where its values are.
    """

    frame: pl.DataFrame
    name: str
    untyped: bool = False
    notes: tuple[str, ...] = ()
    source: Source | None = None
    places: Places = NOWHERE


def read_table(
    source: object,
    name: str,
    ids: Sequence[str] = (),
    *,
    times: Sequence[str] = (),
    others: Sequence[str] = (),
    reading: Reading | None = None,
    keep: Keep = None,
) -> Table:
    """The frame held by ``source``; columns named in ``ids`` and ``times`` keep the exact text of a CSV file.

    Args:
        others: more columns that are named.
        keep: other columns to read, or None for all there are. A column that has no one type in all files is left out
            with a ShortlistWarning, and refused where it is named.

    Raises:
        DataError: for a file that is missing, unreadable or of an unknown extension, and for an object that is not a
            table.
    """
    if isinstance(source, Table):
        return source
    refuse_after_fork(f"reading the {name} table")
    if isinstance(source, (str, Path)):
        return _read_path(source, name, ids, times, others, reading, keep)
    try:
        frame = source if isinstance(source, pl.DataFrame) else _from_object(source, name, ids)
    except UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"the {name} table, a {_type_name(source)}, could not be read: {first_line(error)}",
            hint="give every column one type and one length",
        ) from error
    if keep is not None:
        frame = frame.select(
            frame[column] for column in dict.fromkeys([*ids, *times, *others, *keep]) if column in frame.columns
        )
    return Table(frame, name, places=Places(frame=frame))


def is_frame(value: object) -> bool:
    """Whether ``value`` is a table with named columns: a frame of Polars, pandas or Arrow, not a dict nor a column."""
    if isinstance(value, (str, bytes, Mapping, Sequence, pl.Series)):
        return False
    return isinstance(value, pl.LazyFrame) or hasattr(value, "columns") or hasattr(value, "read_next_batch")


# --- objects in memory ---------------------------------------------------------------------------------------------


def _from_object(source: object, name: str, ids: Sequence[str]) -> pl.DataFrame:
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if isinstance(source, Tabular):
        return source.to_frame()
    if isinstance(source, Mapping):
        for column in ids:
            _refuse_mixed(source.get(column, ()), column, name)
        for column, values in source.items():
            _refuse_mixed_zones(values, str(column), name)
        return pl.DataFrame({column: _values(values, column, name) for column, values in source.items()}, strict=True)
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


def _values(values: Any, column: object, name: str) -> Any:
    """A column of a dict as Polars takes it: a list becomes a Series, in which integers among floats are floats too."""
    if not isinstance(values, (list, tuple)):
        return values
    try:
        if isinstance(next((one for one in values if one is not None), None), (list, tuple)):
            kinds = {
                _kind(one) for many in values if isinstance(many, (list, tuple)) for one in many if one is not None
            }
            if "int" in kinds and all(kind == "int" or kind.startswith("float") for kind in kinds):
                # by the first alone, [[1], [2.5]] would lose the half
                rows = [{"values": one} for one in values]
                return pl.DataFrame(rows, infer_schema_length=None, strict=True).to_series()
        return pl.Series(values, strict=True)
    except UNREADABLE as error:
        kinds = {_kind(one) for one in values if one is not None}
        if kinds == {"int"}:
            return pl.Series(values, dtype=pl.Int128, strict=True)
        if all(isinstance(one, (Real, type(None))) and not isinstance(one, bool) for one in values):
            return pl.Series([None if one is None else float(one) for one in values], dtype=pl.Float64)
        raise DataError(
            f"the column {str(column)!r} of the {name} table could not be read: {first_line(error)}",
            hint="give all its values one type",
        ) from error


def _from_dicts(rows: Sequence[Any], name: str, ids: Sequence[str]) -> pl.DataFrame:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                f"row {number} of the {name} table is a {_type_name(row)}; expected a dict of column names to values.",
                hint=f"the table may be {ACCEPTED}",
            )
    for column in ids:
        _refuse_mixed((row.get(column) for row in rows), column, name)
    for column in dict.fromkeys(column for row in rows for column in row):
        _refuse_mixed_zones([row.get(column) for row in rows], str(column), name)
    return pl.DataFrame(list(rows), infer_schema_length=None, strict=True)


def _from_pandas(source: Any, name: str) -> pl.DataFrame:
    if not hasattr(source, "columns"):
        raise DataError(
            f"the {name} table is a pandas {type(source).__name__}; expected a DataFrame.",
            hint="call .to_frame()",
        )
    if (twice := source.columns[source.columns.duplicated()]).size:
        raise DataError(
            f"the {name} table has several columns of the name {str(twice[0])!r}; expected one of each name.",
            hint="frame.loc[:, ~frame.columns.duplicated()] keeps the first",
        )
    sparse = [at for at, kind in enumerate(source.dtypes) if type(kind).__name__ == "SparseDtype"]
    shifted = [at for at, kind in enumerate(source.dtypes) if _is_part_of_an_hour(getattr(kind, "tz", None))]
    if sparse or shifted:
        source = source.copy(deep=False)
        for at in sparse:
            source.isetitem(at, source.iloc[:, at].sparse.to_dense())
        for at in shifted:
            source.isetitem(at, source.iloc[:, at].dt.tz_convert("UTC"))
    try:
        return pl.from_pandas(source)
    except (*UNREADABLE, NotImplementedError) as error:
        raise _unread_column(source, name, error) from error
    except ImportError as error:
        raise DataError(
            f"the {name} table is a pandas DataFrame, and reading one needs the package 'pyarrow', "
            "which is not installed.",
            hint="pip install pyarrow, or pass a dict of columns: frame.to_dict('list')",
        ) from error


def _is_part_of_an_hour(zone: tzinfo | None) -> bool:
    """Whether a time zone is a fixed offset such as +05:30, for which Polars has no name."""
    offset = None if zone is None else zone.utcoffset(None)
    return offset is not None and offset % timedelta(hours=1) != timedelta(0)


def _unread_column(source: Any, name: str, error: Exception) -> DataError:
    """The error for a pandas DataFrame that Polars does not read, with the first column that it does not read."""
    for at, column in enumerate(source.columns):
        try:
            pl.from_pandas(source.iloc[:, [at]])
        except (*UNREADABLE, NotImplementedError) as own:
            return DataError(
                f"the column {str(column)!r} of the {name} table, of type {source.dtypes.iloc[at]}, could not be read: "
                f"{first_line(own)}",
                hint="give all its values one type, such as text: frame.astype({…: str}); or leave the column out",
            )
    return DataError(
        f"the {name} table, a pandas.DataFrame, could not be read: {first_line(error)}",
        hint="give each column one name and its values one type",
    )


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


def _refuse_mixed_zones(values: Any, column: str, name: str) -> None:
    """Polars would drop the zones of some times among others without; refuse them instead."""
    if isinstance(values, (list, tuple)) and isinstance(
        next((one for one in values if one is not None), None), datetime
    ):
        zoned = {one.tzinfo is not None for one in values if isinstance(one, datetime)}
        if len(zoned) > 1:
            raise DataError(
                f"the {name} table's column {column!r} has times with a zone and times without.",
                hint="give all of them a zone, or none",
            )


def _kind(value: object) -> str:
    """The name of a value's type, the same for Python's and numpy's integers and strings."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Integral):
        return "int"
    return "str" if isinstance(value, str) else type(value).__name__


# --- files ---------------------------------------------------------------------------------------------------------


def _read_path(
    path: str | Path,
    name: str,
    ids: Sequence[str],
    times: Sequence[str],
    others: Sequence[str],
    reading: Reading | None,
    keep: Keep,
) -> Table:
    named = [*ids, *times, *others]
    columns = None if keep is None else [*named, *keep]
    source = find(path, table=name, reading=reading, ids=ids, times=times, columns=columns)
    schema = source.schema()
    source.require([*named, *(keep or ())])
    notes = source.notes
    if keep is None:
        for column, types in source.conflicts.items():
            note = f"the column {column!r} of the {name} table {types}; left out"
            notes.append(note)
            warnings.warn(f"{note}.", ShortlistWarning, stacklevel=4)
    frame = source.frame(columns if all(column in schema for column in named) else None)
    return Table(frame, name, source.untyped, tuple(notes), source, Places(source))


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
