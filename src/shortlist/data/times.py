"""Timestamps given as text → datetimes: the whole column decides the form, which is never guessed.

A column has one form: the one of those below that reads every value. If day and month can be read both ways, the values
are refused with both readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from shortlist.data.condition_text import literal
from shortlist.data.places import NOWHERE, Places
from shortlist.data.reading import Reading
from shortlist.errors import DataError
from shortlist.language import counted

__all__ = ["TimeForm", "dated", "form_in_words", "kind_in_words", "read_times", "refuse_format", "settled_form"]

ZONE = r"\s*(?:Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})"
CLOCKS = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
NUMERIC = {  # how a day is written, with / for every mark
    "year first": ("%Y/%m/%d",),
    "day first": ("%d/%m/%Y",),
    "month first": ("%m/%d/%Y",),
    "with the month's name": ("%d/%b/%Y", "%d/%B/%Y", "%b/%d/%Y", "%B/%d/%Y", "%Y/%b/%d"),
}
PATTERNS = {
    "year first": r"^\d{4}/\d{1,2}/\d{1,2}(?:[ ]|$)",
    "day first": r"^\d{1,2}/\d{1,2}/\d{4}(?:[ ]|$)",
    "month first": r"^\d{1,2}/\d{1,2}/\d{4}(?:[ ]|$)",
    "with the month's name": r"^(?:\d{1,4}/[A-Za-z]{3,9}|[A-Za-z]{3,9}/\d{1,2})/\d{1,4}(?:[ ]|$)",
}
USUAL = {
    False: ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d"),
    True: ("%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%dT%H:%M:%S%.f%#z"),
}
PACKED = ("%d%m%Y", "%m%d%Y")  # days of eight digits, which look like whole numbers
FEW = 1000
AMBIGUOUS = ("day first", "month first")
ORDER = {"day-first": "day first", "month-first": "month first"}


@dataclass(frozen=True)
class TimeForm:
    """How the times of a column are written: one of the forms by name, or a format.

    Attributes:
        zoned: whether each has a time zone.
    """

    name: str
    zoned: bool = False

    def read(self, values: pl.Series) -> pl.Series:
        """The times of text, null where a value is not written so: Datetime("us"), in UTC where zoned; or numbers."""
        if self.name == "whole numbers":
            return pl.Series(values.str.strip_chars().cast(pl.Int64, strict=False))
        if self.name == "numbers":
            return pl.Series(values.str.strip_chars().cast(pl.Float64, strict=False))
        if self.name == "YYYYMMDD":
            text = values.str.strip_chars()
            return _where(text, r"^(?:19|20)\d{6}$").str.to_datetime("%Y%m%d", time_unit="us", strict=False)
        if "%" in self.name:
            return _read(values.str.strip_chars(), self.name.replace(".%f", "%.f"))  # Polars' word for a fraction
        quick = self._quickly(values)
        if quick is not None:
            return quick
        text = _even(values)
        text = _where(text, ZONE + "$") if self.zoned else text
        ending = "%z" if self.zoned else ""
        text = _where(text, PATTERNS[self.name])
        found: pl.Series | None = None
        for day in NUMERIC[self.name]:
            for clock in ("", *(f" {clock}" for clock in CLOCKS)):
                if found is not None and not (found.is_null() & text.is_not_null()).any():
                    return found
                if ending and not clock:
                    continue
                read = _read(text, f"{day}{clock}{ending}")
                found = read if found is None else _either(found, read)
        assert found is not None
        return found

    def _quickly(self, values: pl.Series) -> pl.Series | None:
        """The times where all are written in the same, most usual way, which Polars reads many times faster."""
        if self.name != "year first":
            return None
        for pattern in USUAL[self.zoned]:
            found = _read(values, pattern)
            if found.null_count() == values.null_count():
                return found.dt.replace_time_zone("UTC") if self.zoned and found.dtype == pl.Datetime("us") else found
        return None

    def __str__(self) -> str:
        return f"as {self.name}" if "%" in self.name or self.name == "YYYYMMDD" else self.name


FORMS = (
    TimeForm("YYYYMMDD"),
    TimeForm("whole numbers"),
    TimeForm("numbers"),
    *(TimeForm(name, zoned) for name in NUMERIC for zoned in (False, True)),
)


def settled_form(parts: Iterable[pl.Series], column: str, reading: Reading, places: Places = NOWHERE) -> TimeForm:
    """The form of a column of text, given in parts. DataError where no form or more than one reads all of it."""
    forms: Sequence[TimeForm] = FORMS if reading.time_format is None else (TimeForm(reading.time_format),)
    if reading.dates is not None:
        forms = [form for form in forms if form.name not in AMBIGUOUS or form.name == ORDER[reading.dates]]
    differ: Any = None
    packed = [TimeForm(one) for one in PACKED] if reading.time_format is None else []
    for part in parts:
        given = part.drop_nulls()
        for eight in (given.head(FEW), _where(given, r"^\d{8}$")):
            packed = [form for form in packed if not form.read(eight).null_count()]
        some = [form for form in forms if not form.read(given.head(FEW)).null_count()]
        read = {form: form.read(given) for form in some or forms}
        forms = list(read)
        left = [form for form in forms if not read[form].null_count()]
        if not left:
            raise _unreadable(column, given, forms, read, reading, places)
        both = [form for form in left if form.name in AMBIGUOUS]
        if differ is None and len(both) == 2:
            apart = (read[both[0]] != read[both[1]]).arg_true()
            differ = given[int(apart[0])] if len(apart) else None
        forms = left
    if sum(form.name in AMBIGUOUS for form in forms) == 2 and differ is not None:
        raise _both_ways(column, differ, forms, places)
    if packed and forms[0].name == "whole numbers":
        raise _packed(column)
    return forms[0]


def refuse_format(column: str, kind: pl.DataType, reading: Reading) -> None:
    """DataError where a format is given for times that are numbers."""
    if reading.time_format is not None and kind.is_numeric():
        raise DataError(
            f"time_format={reading.time_format!r} is for times that are text; the timestamp column {column!r} is of type {kind}.",
            hint="leave it out (--time-format) if these numbers rise with time; else write the column as text",
        )


def read_times(values: pl.Series, form: TimeForm) -> pl.Series:
    """Text of a settled form as times. DataError where a value is not written so."""
    found = form.read(values).rename(values.name)
    if found.null_count() > values.null_count():
        bad = values.filter(found.is_null() & values.is_not_null())
        raise _not_so(values.name, form, bad)
    return found


def dated(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """Text as dates or datetimes of that type. DataError where it cannot be read, and where it can be read both ways."""
    found = read_times(values, settled_form([values], values.name, Reading()))
    zone, own = getattr(kind, "time_zone", None), getattr(found.dtype, "time_zone", None)
    if not found.dtype.is_temporal() or (zone is None) != (own is None):
        raise DataError(
            f"{values.name!r} is text such as {_shown(values.drop_nulls(), 1)}; {kind} was expected.",
            hint="write times as 2024-05-01T08:26:00, with a zone where the column has one",
        )
    moved = found if zone is None else found.dt.convert_time_zone(zone)
    cast: pl.Series = moved.cast(kind)
    return cast


def kind_in_words(dtype: pl.DataType) -> str:
    """The words for the type of a column of times.

    Example:
        >>> kind_in_words(pl.Datetime("us", "Asia/Seoul")), kind_in_words(pl.Int64())
        ('dates and times in Asia/Seoul', 'numbers')
    """
    if isinstance(dtype, pl.Datetime):
        return "dates and times" if dtype.time_zone is None else f"dates and times in {dtype.time_zone}"
    return "dates" if dtype == pl.Date else "text" if dtype == pl.String else "numbers"


def form_in_words(values: pl.Series, form: TimeForm) -> list[str]:
    """How times were read, in words, if that is not obvious."""
    if form.name in ("year first", "whole numbers", "numbers") or "%" in form.name:
        return []
    return [f"{values.name!r} was read {form} (such as {_shown(values.drop_nulls(), 1)})"]


def _even(values: pl.Series) -> pl.Series:
    """Values with one mark (/) between the parts of a day, one space before the clock, and zones as +00:00."""
    frame = values.alias("t").to_frame()
    text = pl.col("t").str.strip_chars()
    text = text.str.replace(r"^([A-Za-z]{3,9}),\s+(\d)", "$2")  # Wed, 01 May 2024
    text = text.str.replace(r"^(\d{1,2})/([A-Za-z]{3})/(\d{4}):(\d{2}:)", "$1/$2/$3 $4")  # a web server's log
    text = text.str.replace(r"^(\w+)[-/. ]+(\w+)[-/., ]+(\w+)", "$1/$2/$3")
    text = text.str.replace(r"^(\w+/\w+/\w+?)[T ]+(\d)", "$1 $2").str.replace(r"^(\d+/\d+/\d+)T(\d)", "$1 $2")
    text = text.str.replace(r"\s*(?:Z|z|UTC|GMT)$", "+0000")
    text = text.str.replace(r"(:\d{2}(?:\.\d+)?)\s*([+-]\d{2})$", "${1}${2}00")
    text = text.str.replace(r"(:\d{2}(?:\.\d+)?)\s*([+-]\d{2}):?(\d{2})$", "$1$2$3")
    text = text.str.replace(r"(:\d{2}(?:\.\d{1,9})?)\s*([AaPp])\.?[Mm]\.?$", "$1 ${2}M").str.replace(r",(\d+)$", ".$1")
    return frame.select(text)["t"]


def _where(text: pl.Series, pattern: str) -> pl.Series:
    """The values of that pattern; the others null."""
    frame = text.alias("t").to_frame()
    return frame.select(pl.when(pl.col("t").str.contains(pattern)).then(pl.col("t")))["t"]


def _read(text: pl.Series, pattern: str) -> pl.Series:
    try:
        return _utc(text.str.to_datetime(pattern, time_unit="us", strict=False))
    except pl.exceptions.PolarsError:  # a format that no value has
        return pl.Series(values=[None] * len(text), dtype=pl.Datetime("us", "UTC" if "%z" in pattern else None))


def _utc(times: pl.Series) -> pl.Series:
    zone = getattr(times.dtype, "time_zone", None)
    return times.dt.convert_time_zone("UTC") if zone not in (None, "UTC") else times


def _either(one: pl.Series, other: pl.Series) -> pl.Series:
    return pl.DataFrame({"a": one, "b": other}).select(pl.coalesce("a", "b"))["a"]


def _shown(values: pl.Series, count: int = 3) -> str:
    return ", ".join(repr(value) for value in values.unique(maintain_order=True).head(count).to_list())


OPTION = "say how they are written: Reading(time_format=…), --time-format, such as '%d/%m/%Y %H:%M'"


def _unreadable(
    column: str,
    given: pl.Series,
    forms: Sequence[TimeForm],
    read: dict[TimeForm, pl.Series],
    reading: Reading,
    places: Places,
) -> DataError:
    best = min(forms, key=lambda form: read[form].null_count())
    bad = given.filter(read[best].is_null())
    place = _place(column, bad[0], places)
    if reading.time_format is not None:
        return _not_so(column, best, bad, place)
    zones = [form for form in forms if form.zoned != best.zoned and form.name == best.name]
    if zones and not (read[best].is_null() & read[zones[0]].is_null()).any():
        return DataError(
            f"the timestamp column {column!r} has times with a zone and times without, such as {_shown(bad, 1)}{place}.",
            hint="write all of them with a zone, or all without",
        )
    some = f"; {counted(len(given) - len(bad), 'value')} read {best.name}, but not {_shown(bad)}"
    return DataError(
        f"the timestamp column {column!r} is text that could not be read as dates and times, such as {_shown(bad)}{place}"
        f"{some if len(bad) < len(given) else ''}.",
        hint=OPTION if len(bad) == len(given) else f"{_leave_out(column, bad)}; or {OPTION}",
    )


def _leave_out(column: str, bad: pl.Series) -> str:
    """How to leave out the rows of these values, if they are few."""
    values = bad.unique(maintain_order=True).to_list()
    if len(values) > 5:
        return "mend or drop those rows"
    texts = ", ".join(map(literal, values))
    name = column if re.fullmatch(r"[^\W\d]\w*", column) else f'\\"{column}\\"'
    return f'leave those rows out: --where "{name} not in ({texts})", Events(where=…)'


def _packed(column: str) -> DataError:
    return DataError(
        f"the timestamp column {column!r} has eight digits in every row, which can be whole numbers or days written as "
        f"{' or '.join(PACKED)}.",
        hint="for days: Reading(time_format='%d%m%Y'), --time-format %d%m%Y; if they are numbers, write them in a "
        "Parquet file",
    )


def _place(column: str, value: str, places: Places) -> str:
    return places.first(column, lambda values: values == value)


def _not_so(column: str, form: TimeForm, bad: pl.Series, place: str = "") -> DataError:
    return DataError(
        f"the timestamp column {column!r} has values that are not written as {form.name!r}: {_shown(bad)}{place}.",
        hint="mend or drop those rows, or give another time_format= (--time-format)",
    )


def _both_ways(column: str, value: str, forms: Sequence[TimeForm], places: Places) -> DataError:
    one = pl.Series([value])
    read = [
        f"{moment.day} {moment.strftime('%B %Y')} ({form.name})"
        for form in forms
        if form.name in AMBIGUOUS and (moment := form.read(one).item()) is not None
    ]
    return DataError(
        f"the timestamp column {column!r} can be read both ways: {value!r} is {' or '.join(read)}"
        f"{_place(column, value, places)}.",
        hint='say which: Reading(dates="day-first"), --dates day-first; "month-first"; or time_format= (--time-format)',
    )
