"""The columns that have a role, checked: the ids of each side and its table, times, weights.

A ``Dataset`` checks whole tables with these functions, the encoding of shards one piece after another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import polars as pl

from shortlist.data.clean_ids import CleanIds, remarks
from shortlist.data.condition_text import quoted
from shortlist.data.ids import few, require_column, settle_ids, unpatterned
from shortlist.data.places import NOWHERE, Places
from shortlist.data.readers import Table, read_table
from shortlist.data.reading import Reading
from shortlist.data.suspicious_rows import crawler
from shortlist.data.times import TimeForm, read_times
from shortlist.errors import DataError
from shortlist.language import counted

__all__ = ["PLURAL", "Side", "TableLike", "check_weight", "checked_timestamp", "id_doubts", "side_table"]

PLURAL = {"query": "queries", "candidate": "candidates"}

TableLike: TypeAlias = (
    "str | Path | pl.DataFrame | pl.LazyFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any"
)


class Side(NamedTuple):
    """One side of the interactions.

    Attributes:
        main: the interactions with settled ids.
        table: a row for each id.
        notes: what was merged or added.
        warned: those of the notes that are warnings.
        counts: ``id`` and ``rows`` of every id in the interactions.
    """

    main: Table
    table: pl.DataFrame
    notes: list[str]
    warned: list[str]
    counts: pl.DataFrame


def side_table(
    main: Table,
    source: TableLike | None,
    column: str,
    role: str,
    name: str,
    reading: Reading | None = None,
    clean: CleanIds | None = None,
) -> Side:
    """The interactions with settled ids, the table of one side, and notes and warnings about it."""
    if source is None:
        (frame,) = settle_ids([main], column, role)
        counts = _counts(frame[column])
        return Side(replace(main, frame=frame), counts["id"].sort().alias(column).to_frame(), [], [], counts)
    table = read_table(source, name, ids=(column,), reading=reading)
    notes = [f"{name}: {note}" for note in table.notes]
    warned: list[str] = []
    if clean:
        require_column(table, column, role)
        cleaned, cleaned_notes = clean.applied(table.frame, column)
        notes += [f"{note} from the {name} table" for note in cleaned_notes]
        table = replace(table, frame=cleaned)
    frame, given = settle_ids([main, table], column, role)
    distinct = given.filter(given[column].alias("id").is_first_distinct())
    if merged := given.height - distinct.height:
        notes.append(
            f"{counted(merged, f'{role} row')} had the {column} of an earlier row and merged into it "
            f"({counted(given.height, 'row')}, {counted(distinct.height, role)})"
        )
    counts = _counts(frame[column])
    interacted = counts["id"]
    lacking = interacted.filter(~interacted.is_in(distinct[column].alias("id").implode())).sort()
    if len(lacking):
        lacked = counted(len(lacking), "interacted id")
        strange = (
            f"; none of its own ids (such as {distinct[column][0]!r}) occurs there: are they written in another way"
        )
        warned.append(
            f"the {name} table lacked {lacked} ({few(lacking)}); added with null features"
            f"{strange if len(lacking) == len(interacted) else ''}"
        )
        distinct = pl.concat([distinct, lacking.alias(column).to_frame()], how="diagonal")
    return Side(replace(main, frame=frame), distinct, [*notes, *warned], warned, counts)


def _counts(ids: pl.Series) -> pl.DataFrame:
    """How many ``rows`` each ``id`` has; Polars would read a name such as "^u.*$" as a pattern."""
    return ids.alias("id").to_frame().group_by("id").agg(pl.len().alias("rows"))


def id_doubts(counts: pl.DataFrame, ids: pl.Series, column: str, *, crawlers: bool) -> Iterator[str]:
    """Doubts about the ids of one side, and about one query's share of the rows.

    Args:
        counts: ``id`` and ``rows`` of every id in the interactions.
        ids: all ids of the table.
    """
    if ids.dtype == pl.String:  # of which alone there are remarks
        yield from remarks(ids.alias("id").to_frame().join(counts, on="id", how="left"), column)
    if crawlers:
        yield from crawler(counts, column)


def checked_timestamp(values: pl.Series, form: TimeForm | None = None, places: Places = NOWHERE) -> pl.Series:
    """Timestamps; those that are text are read by ``form``. DataError for another type, and where one is missing."""

    def read(raw: pl.Series) -> pl.Series:
        return read_times(raw, form) if raw.dtype == pl.String and form is not None else raw

    def bad(raw: pl.Series) -> pl.Series:
        times = unpatterned(read(raw))
        if times.dtype.is_float():
            return times.is_null() | ~times.is_finite()
        missing = times.is_null()
        return missing | ~times.dt.year().is_between(1, 9999) if _is_beyond(times) else missing

    column, values = values.name, read(values)
    dtype = values.dtype
    if not (dtype.is_integer() or dtype.is_float() or dtype == pl.Date or isinstance(dtype, pl.Datetime)):
        raise DataError(
            f"the timestamp column {column!r} is of type {dtype}; expected numbers, dates or datetimes.",
            hint="cast it, or name another column as the timestamp",
        )
    if number := int(bad(values).fill_null(True).sum()):
        raise DataError(
            f"the timestamp column {column!r} has {counted(number, 'bad value')} (null, NaN, infinite, or in no year from 1 "
            f"to 9999){places.first(column, bad)}; every interaction needs a time.",
            hint=f"leave those rows out: {_where(column, values, '-1e300 and 1e300')}; or leave timestamp out",
        )
    return values


def _where(column: str, values: pl.Series, between: str) -> str:
    """A condition that only good values meet, as options; of floats also NaN and infinity fail it."""
    condition = f"{quoted(column)} between {between}" if values.dtype.is_numeric() else f"{quoted(column)} is not null"
    return (
        f'Events(where="{condition}"), --where "{condition}"'
        if '"' not in condition
        else f"Events(where='{condition}'), --where '{condition}'"
    )


def _is_beyond(times: pl.Series) -> bool:
    """Whether some date is in a year that Python has no date for."""
    try:
        times.min(), times.max()
    except (ValueError, OverflowError):
        return True
    return False


def check_weight(values: pl.Series, *, whole: bool = True, places: Places = NOWHERE) -> None:
    """DataError for invalid weights; with ``whole`` also where all of them are zero."""
    column = values.name
    if values.dtype == pl.String:
        raise _text_as_weight(values, places)
    if not (values.dtype.is_integer() or values.dtype.is_float() or values.dtype.is_decimal()):
        raise DataError(
            f"the weight column {column!r} is of type {values.dtype}; expected numbers.",
            hint="cast it, or name another column as the weight",
        )

    def bad(weights: pl.Series) -> pl.Series:
        numbers = unpatterned(weights).cast(pl.Float32)
        good: pl.Series = (numbers.is_finite() & (numbers >= 0)).fill_null(False)
        return ~good

    if number := int(bad(values).sum()):
        raise DataError(
            f"the weight column {column!r} has {counted(number, 'bad value')} (null, negative, or not finite in "
            f"float32){places.first(column, bad)}; expected finite numbers ≥ 0.",
            hint=f"fill those values, or leave the rows out: {_where(column, values, '0 and 3e38')}",
        )
    if whole and not bool((unpatterned(values).cast(pl.Float32) > 0).any()):
        tiny = bool((unpatterned(values) > 0).any())
        raise DataError(
            f"the weight column {column!r} is zero in every row; expected some weight above 0."
            if not tiny
            else f"the weight column {column!r} has no weight that is above 0 in float32, whose least number above 0 is 1.4e-45.",
            hint="multiply all weights by one number" if tiny else "leave weight out to count every interaction once",
        )


def _text_as_weight(values: pl.Series, places: Places) -> DataError:
    """The error for weights that are text, for example "1,5" or "n/a" among numbers."""

    def bad(weights: pl.Series) -> pl.Series:
        numbers: pl.Series = unpatterned(weights).str.strip_chars().cast(pl.Float64, strict=False)
        return weights.is_not_null() & numbers.is_null()

    first = values.filter(bad(values)).head(1).to_list()
    place = places.first(values.name, bad)
    such = f", such as {first[0]!r}{place}" if first else place.replace("the first", "the first that is not a number")
    decimal = bool(first) and re.fullmatch(r"-?\d*,\d+", first[0].strip()) is not None
    return DataError(
        f"the weight column {values.name!r} is text{such}; expected numbers.",
        hint='a decimal comma: Reading(decimal=","), --decimal ,'
        if decimal
        else "mend those values, or name another column as the weight"
        if such
        else f"frame.with_columns(pl.col({values.name!r}).cast(pl.Float64))",
    )
