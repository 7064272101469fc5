"""Ids: their types, and how the ids of several tables get one type."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import polars as pl

from shortlist.data.readers import Table
from shortlist.data.source import VALUE
from shortlist.errors import DataError, did_you_mean
from shortlist.language import counted

__all__ = [
    "counted",
    "few",
    "frame_of",
    "free_name",
    "integer_id",
    "require_column",
    "settle_ids",
    "unpatterned",
]

WIDE = ("Int128", "UInt128")  # types of integers that other libraries and files lack
EXACT = 2**53  # from here on not every integer is a float of 64 bits
LONGEST = 40  # digits of an integer id in text; 64 bits have at most 20
NO_HEADER = "a file without a header line needs names: Reading(columns=[…]), --columns a,b,c"


def require_column(table: Table, column: str, role: str) -> None:
    """Check that ``table`` has a column of that name.

    Raises:
        DataError: where it has none.
    """
    if not table.frame.columns:
        raise DataError(f"the {table.name} table is empty; expected at least one row.", hint="check how it was made")
    if column not in table.frame.columns:
        raise DataError(
            f"the {table.name} table has no column {column!r}, which was given as the {role}; "
            f"it has {', '.join(map(repr, table.frame.columns))}.",
            hint=_hint_for(column, table),
        )


def _hint_for(column: str, table: Table) -> str:
    """A hint for a column that a table lacks."""
    names = table.frame.columns
    if table.untyped and len(names) == 1 and (mark := re.search(r"[^\w\s.\"'-]|\t", names[0])) is not None:
        shown = "\\t" if mark[0] == "\t" else mark[0]
        return f"its columns seem to be separated by {shown!r}: Reading(separator={mark[0]!r}), --separator '{shown}'"
    if table.untyped and any(VALUE.match(name) for name in names):
        return NO_HEADER
    return did_you_mean(column, names)


def settle_ids(tables: Sequence[Table], column: str, role: str) -> list[pl.DataFrame]:
    """The frames of ``tables``, where ``column`` has one type throughout: the first table's.

    1. Categories become strings. No other type is converted, except by 2 and 3.
    2. Ids read from text become integers when in every such table all of them read back exactly ("007" does not),
       and no other table holds strings.
    3. Integers of another width take the first table's type, when all of them fit.

    Raises:
        DataError: for a missing column, nulls, ids that are neither strings nor integers, and ids of two types.
    """
    columns = [_checked(table, column, role) for table in tables]
    texts = [values for values, table in zip(columns, tables, strict=True) if table.untyped]
    typed = [values for values, table in zip(columns, tables, strict=True) if not table.untyped]
    if texts and all(values.dtype.is_integer() for values in typed):
        target = next((t for t in (pl.Int64(), pl.UInt64()) if all(_reads_back(v, t) for v in texts)), None)
        if target is not None:
            columns = [v.cast(target) if t.untyped else v for v, t in zip(columns, tables, strict=True)]
    first = columns[0]
    aligned = [first] + [
        _aligned(values, first.dtype, table, tables[0]) for values, table in zip(columns[1:], tables[1:], strict=True)
    ]
    return [table.frame.with_columns(values) for table, values in zip(tables, aligned, strict=True)]


def integer_id(text: str) -> int | None:
    """The integer that ``text`` is written as, or None for any other text: only "-5" is -5, not "-05", "−5" or "5_0".

    Example:
        >>> [integer_id(text) for text in ("5863", "-1", "5_863", "+5863", "٥", " 5", "05", "-0", "")]
        [5863, -1, None, None, None, None, None, None, None]
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= LONGEST):
        return None
    number = int(text)
    return number if str(number) == text else None


def _checked(table: Table, column: str, role: str) -> pl.Series:
    require_column(table, column, role)
    values = table.frame[column]
    if len(values) == 0:
        raise DataError(f"the {table.name} table is empty; expected at least one row.", hint="check how it was made")
    if values.null_count():
        raise DataError(
            f"the {table.name} table has {counted(values.null_count(), 'null')} in {column!r} ({role})"
            f"{table.places.first(column, pl.Series.is_null)}; every row must have an id.",
            hint=f"drop those rows: frame.drop_nulls({column!r}), Events(drop_null_ids=True), or --drop-null-ids",
        )
    if isinstance(values.dtype, (pl.Categorical, pl.Enum)):
        return pl.Series(values.cast(pl.String))
    if str(values.dtype) in WIDE:  # Polars infers Int128 for Python integers on both sides of 2**63
        narrow = (values.cast(kind, strict=False) for kind in (pl.Int64(), pl.UInt64()))
        found = next((one for one in narrow if not one.null_count()), None)
        if found is None:
            raise _too_wide(values, table, role)
        return pl.Series(found)
    if values.dtype == pl.String or values.dtype.is_integer():
        return values
    raise _not_an_id(values, table, role)


def _too_wide(values: pl.Series, table: Table, role: str) -> DataError:
    """The error for integers of which no type of 64 bits holds all."""
    return DataError(
        f"the {table.name} table's {values.name!r} ({role}) is of type {values.dtype}, with ids from {values.min()!r} to "
        f"{values.max()!r}; ids are strings or integers of 64 bits.",
        hint=_to_text(values),
    )


def _not_an_id(values: pl.Series, table: Table, role: str) -> DataError:
    if values.dtype.is_float():
        nans = int(values.is_nan().sum())
        first = table.places.first(values.name, pl.Series.is_nan) if nans else ""
        missing = f" ({nans:,} of them NaN{first}; a missing id turns a column of integers into that)" if nans else ""
        hint = f"frame.with_columns(pl.col({values.name!r}).cast(pl.Int64)), Events(strip_ids=True), or --strip-ids"
        numbers = values.filter(values.is_not_nan())
        if ((numbers != numbers.round()) | (numbers.abs() >= EXACT)).any():  # as integers some would be one id
            hint = f"{_to_text(values)}; or name another column as the {role}"
        if nans:
            hint = f"drop the missing ids (Events(drop_null_ids=True), --drop-null-ids), then {hint}"
    else:
        missing, hint = "", f"{_to_text(values)}; or name another column as the {role}"
    return DataError(
        f"the {table.name} table's {values.name!r} ({role}) is of type {values.dtype}{missing}; "
        "ids are strings or integers.",
        hint=hint,
    )


def _to_text(values: pl.Series) -> str:
    """How a column becomes one of ids, as code."""
    name, column = values.name, f"pl.col({values.name!r})"
    if isinstance(values.dtype, (pl.List, pl.Array)):
        return f"make one row for each id: frame.explode({name!r})"
    if isinstance(values.dtype, pl.Struct):
        return f"write the ids as text: frame.with_columns({column}.struct.json_encode())"
    if values.dtype == pl.Object:
        return f"write the ids as text: frame.with_columns(pl.Series({name!r}, [str(one) for one in frame[{name!r}]]))"
    if values.dtype == pl.Binary:
        return f"write the ids as text: frame.with_columns({column}.bin.encode('hex'))"
    if isinstance(values.dtype, pl.Duration):
        return f"write the ids as text: frame.with_columns({column}.dt.to_string())"
    return f"write the ids as text: frame.with_columns({column}.cast(pl.String))"


def _reads_back(text: pl.Series, dtype: pl.DataType) -> bool:
    back = text.cast(dtype, strict=False)
    return back.null_count() == 0 and bool((back.cast(pl.String) == text).all())


def _aligned(values: pl.Series, dtype: pl.DataType, table: Table, first: Table) -> pl.Series:
    if values.dtype == dtype:
        return values
    if values.dtype.is_integer() and dtype.is_integer():
        cast = values.cast(dtype, strict=False)
        if cast.null_count() == 0:
            return pl.Series(cast)
    raise DataError(
        f"{values.name!r} is {dtype} in the {first.name} table and {values.dtype} in the {table.name} table; "
        "expected one type in both.",
        hint=f"cast one of them, for example frame.with_columns(pl.col({values.name!r}).cast(pl.{dtype}))",
    )


def unpatterned(values: pl.Series) -> pl.Series:
    """The same values, renamed if Polars would read their name as a pattern ("^a$", "*") in methods of a Series."""
    name = values.name
    return values.alias(f"column {name}") if name == "*" or (name.startswith("^") and name.endswith("$")) else values


def free_name(name: str, taken: Collection[str]) -> str:
    """``name``, with underscores behind it until nothing in ``taken`` is called so: for a column of ours among a user's.

    Example:
        >>> free_name("rank", ["rank", "rank_", "item"]), free_name("rank", ["item"])
        ('rank__', 'rank')
    """
    while name in taken:
        name += "_"
    return name


def frame_of(columns: Sequence[pl.Series]) -> pl.DataFrame:
    """Columns as a table under their own names; from a list Polars would name an unnamed one ``column_0``."""
    return pl.DataFrame({column.name: column for column in columns})


def few(values: pl.Series) -> str:
    """The first three distinct values, for a message."""
    distinct = values.unique().sort()
    shown = ", ".join(_short(value) for value in distinct.head(3))
    return shown if len(distinct) <= 3 else f"{shown}, …"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
