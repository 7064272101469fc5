"""Conditions on rows in SQL: text to an expression that says of each row whether it meets the condition.

The text is parsed first (``condition_text``), so that Polars only gets expressions that read one row at a time: comparisons,
and/or/not, in, between, like, is null, arithmetic, and the functions of ``FUNCTIONS``. Comparisons of dates and times with
numbers are refused: Polars would compare days or microseconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl
import polars.selectors as cs

from shortlist.data.condition_parts import Part, balanced, overhead, parts_of
from shortlist.data.condition_text import (
    COMPARISONS,
    EXAMPLE,
    LITERALS,
    Token,
    check_text,
    check_words,
    columns_as_text,
    cost,
    named_columns,
    renamed,
    shown,
    tokens_of,
)
from shortlist.data.ids import free_name
from shortlist.errors import DataError, did_you_mean

__all__ = ["UNREADABLE", "Condition", "condition", "in_parts"]

UNREADABLE = "the condition is not one that SQL can read."
_AT_ONCE = 64  # words of a text that are looked at in about a millisecond


@dataclass(frozen=True)
class Condition:
    """A condition that was checked against the columns of a table.

    A condition that is neither true nor false of a row, because the row has null there, is not met: ``country != 'KR'``
    leaves out rows without a country; ``country != 'KR' or country is null`` keeps them. NaN in a column is null. A time with a
    zone is compared as the clock of its zone shows it. Categories are text; an Enum is compared in its own order. A column with
    the name of a word that conditions have, such as null or true, is read as that word unless it is in double quotes.

    Attributes:
        where: the text.
        columns: the table's columns that it reads.
        weight: what it costs for each row, in comparisons of numbers (some nanoseconds each).
        overhead: what a call of ``mask`` costs in addition, in these too. It grows with the square of the depth: a sum of
            200 numbers takes Polars 20 ms before the first row.
    """

    where: str
    columns: tuple[str, ...]
    weight: int
    overhead: int
    _expression: pl.Expr
    _helpers: tuple[pl.Expr, ...]  # columns under names and types that the expression can read
    _moved: dict[str, str]  # the names of these columns, by the table's
    _option: str
    _hint: str | None

    def mask(self, frame: pl.DataFrame) -> pl.Series:
        """Whether each row meets it → Boolean ``[rows]``, never null. DataError for values that cannot be compared."""
        found = self._selected(frame)
        return found.fill_null(False) if found.dtype == pl.Boolean else pl.repeat(False, frame.height, eager=True)

    def keep(self, scan: pl.LazyFrame) -> pl.LazyFrame:
        """The rows of ``scan`` that meet it, nothing read yet."""
        names = [helper.meta.output_name() for helper in self._helpers]
        return scan.with_columns(*self._helpers).filter(self._expression.fill_null(False)).drop(names)

    def flag(self, scan: pl.LazyFrame, name: str) -> pl.LazyFrame:
        """All rows of ``scan``, with a Boolean column ``name``: whether each meets it."""
        names = [helper.meta.output_name() for helper in self._helpers]
        met = self._expression.fill_null(False).alias(name)
        return scan.with_columns(*self._helpers).with_columns(met).drop(names)

    def _selected(self, table: pl.DataFrame) -> pl.Series:
        with _computing(f"{self._option}={shown(self.where)}", self._hint, self._moved):
            return table.with_columns(*self._helpers).with_columns(self._expression.alias("met"))["met"]


def condition(where: str, schema: pl.Schema, *, option: str = "where", of: str = "candidates") -> Condition:
    """The condition in the text ``where`` on a table with these columns.

    Args:
        where: SQL, for example ``"country = 'KR' and stock > 0"``.
        schema: the columns of the table.
        option: what to call it in errors.
        of: what the rows are, in errors.

    Raises:
        DataError: for an invalid condition, columns that the table lacks, and values that do not fit a column.

    Example:
        >>> table = pl.DataFrame({"stock": [0, 4, None]})
        >>> condition("stock > 0", table.schema).mask(table).to_list()
        [False, True, False]
    """
    reading = in_parts(where, schema, option=option, of=of)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            found: Condition = end.value
            return found


def in_parts(
    where: str, schema: pl.Schema, *, option: str = "where", of: str = "candidates"
) -> Generator[None, None, Condition]:
    """The condition, read in parts of a millisecond or two: between two of them others may have their turn.

    Arguments, errors and value are those of ``condition``; a short one is read in one part.
    """
    check_text(where, option)
    tokens = tokens_of(where, option, of)
    check_words(tokens, option)
    is_long = len(tokens) > _AT_ONCE
    if is_long:
        yield
    columns = _checked_columns(tokens, schema, of)
    hint = _types(columns, schema)
    texts = columns_as_text(tokens)
    moved = {
        name: free_name(f"column_{number}", schema)
        for number, name in enumerate(columns)
        if _is_pattern(name) or _converted(schema[name], name in texts) is not None
    }
    try:
        expression = pl.sql_expr(renamed(where, tokens, moved))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(
            f"{option}={shown(where)} is not a condition: {_first_line(error, moved)}", hint=EXAMPLE, plain=UNREADABLE
        ) from None
    for name in expression.meta.root_names():
        if name not in schema and name not in moved.values():  # a word of SQL where a column is expected
            raise DataError(
                f"{option}={shown(where)} is not a condition: {name!r} is in the wrong place.",
                hint=EXAMPLE,
                plain=UNREADABLE,
            )
    helpers = tuple(_readable(schema[name], name, name in texts).alias(other) for name, other in moved.items())
    if is_long:
        yield
    expression = balanced(expression)
    found = Condition(where, columns, cost(tokens), overhead(expression), expression, helpers, moved, option, hint)
    empty = pl.DataFrame(schema=schema)
    label = f"{option}={shown(where)}"
    with _computing(label, hint, moved):
        zones = {other: schema[name] for name, other in moved.items()}
        yield from _check_types(expression, empty.lazy().with_columns(*helpers), zones, label, hint)
    if is_long:
        yield
    kind = found._selected(empty).dtype
    if kind not in (pl.Null, pl.Boolean):
        raise _unfit(label, f"gives {kind} for each of the {of}; true or false was expected.", EXAMPLE)
    return found


@contextmanager
def _computing(label: str, hint: str | None, moved: Mapping[str, str]) -> Iterator[None]:
    """Errors of Polars are raised as DataError."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(
            f"{label} cannot be computed: {_first_line(error, moved)}",
            hint=hint,
            plain="the condition computes with, or compares, values of types that do not fit.",
        ) from None


def _unfit(label: str, reason: str, hint: str | None) -> DataError:
    """The error for a condition whose types do not fit; the reason has nothing of the condition's text."""
    return DataError(f"{label} {reason}", hint=hint, plain=f"the condition {reason}")


def _checked_columns(tokens: list[Token], schema: pl.Schema, of: str) -> tuple[str, ...]:
    """The columns of a condition; DataError for the first that the table lacks."""
    names = []
    for token, name in named_columns(tokens):
        if name not in schema:
            hint = did_you_mean(name, schema)
            quoted = token.kind == "quoted" and not hint.startswith("did")
            if _is_compared(token, tokens) and not hint.startswith("did"):
                hint = f"{hint}; write 'a text' in single quotes"
            text = f"; texts need single quotes: '{name}'" if quoted else ""
            plain = f"the {of} have no column of the name at character {token.at + 1} of the condition."
            if quoted:
                plain = f"the {of} have no column of the name at character {token.at + 1} of the condition; texts need single quotes."
            raise DataError(
                f"the {of} have no column {name!r}{text}.",
                hint=hint,
                plain=plain,
            )
        names.append(name)
    return tuple(dict.fromkeys(names))


def _is_compared(token: Token, tokens: list[Token]) -> bool:
    """Whether a word follows a comparison, as in ``genre = Drama``."""
    before = tokens[tokens.index(token) - 1] if token.kind == "word" and token is not tokens[0] else None
    return before is not None and (before.text in COMPARISONS or before.word in ("like", "ilike"))


def _types(columns: tuple[str, ...], schema: pl.Schema) -> str | None:
    """The types of a condition's columns, and how values of these types are written."""
    says = [f"{name} is {schema[name]}" for name in columns]
    if any(_member(schema[name]) != schema[name] for name in columns):
        says.append("lists are asked with array_contains(column, value)")
    kinds = {_class(schema[name]) for name in columns}
    if "moment" in kinds:
        says.append("dates are written date '2020-01-31', moments timestamp '2020-01-31 12:00:00'")
    if kinds & {"time of day", "duration"}:
        says.append("for times of day and durations add a column of numbers, such as the hour")
    return "; ".join(says) or None


def _is_pattern(name: str) -> bool:
    """Whether Polars reads a column's name as a pattern."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def _converted(kind: pl.DataType, as_text: bool) -> Callable[[pl.Expr], pl.Expr] | None:
    """How a column is converted before a condition reads it; None if it is read as it is.

    Times get the clock of their zone, NaN becomes null, categories become text; an Enum keeps its own order unless it is read
    as text.
    """
    if _zone(kind) is not None:
        return lambda column: column.dt.replace_time_zone(None)
    if kind.is_float():
        return lambda column: column.fill_nan(None)
    if isinstance(kind, pl.Categorical) or (as_text and isinstance(kind, pl.Enum)):
        return lambda column: column.cast(pl.String)
    return None


def _readable(kind: pl.DataType, name: str, as_text: bool) -> pl.Expr:
    column, converted = cs.by_name(name).as_expr(), _converted(kind, as_text)
    return column if converted is None else converted(column)


def _zone(kind: pl.DataType | None) -> str | None:
    return kind.time_zone if isinstance(kind, pl.Datetime) else None


def _check_types(
    expression: pl.Expr, table: pl.LazyFrame, zones: dict[str, pl.DataType], label: str, hint: str | None
) -> Generator[None, None, None]:
    """DataError for values that Polars would take as something else.

    These are texts that are put together (each row would get longer ones than the table has), lists that are looked up in a
    list, functions of texts that get other values, ``not`` of what is not true or false, and dates, times or durations that are
    compared with anything else (Polars would compare numbers). Types are asked for once, whatever the length: a chain of sums has
    those of its first.
    """
    schema = table.collect_schema()
    timed = any(map(_class, schema.values())) or any(word in label.lower() for word in LITERALS)
    parts = [part for part in (yield from parts_of(expression)) if part.is_checked(timed)]
    asked = [inner for part in parts for inner in (part.expression, *part.inputs)]
    found = iter(table.select([one.alias(str(number)) for number, one in enumerate(asked)]).collect_schema().values())
    for part in parts:
        result, inputs = next(found), [next(found) for _ in part.inputs]
        _check_arguments(part, result, inputs, label)
        if timed and part.compares:
            _check_times(part, inputs, {**schema, **zones}, label, hint)


def _check_arguments(part: Part, result: pl.DataType, inputs: list[pl.DataType], label: str) -> None:
    """DataError where a part of an expression gets values of a type that it is not for."""
    if part.operation == "+" and _member(result) == pl.String:
        raise _unfit(label, "adds texts; + is for numbers.", "compare each column with its own text")
    if part.operation == "sql_is_in" and _member(inputs[0]) != inputs[0]:
        raise _unfit(label, f"looks for a list, {inputs[0]}, among single values.", "array_contains(column, value)")
    if part.operation in ("starts_with", "ends_with") and inputs[1] not in (
        pl.String,
        pl.Null,
        pl.Categorical,
        pl.Enum,
    ):
        raise _unfit(
            label, f"gives {inputs[1]} to {part.operation}; a text was expected.", "write 'a text' in single quotes"
        )
    if part.operation == "not" and inputs[0] not in (pl.Boolean, pl.Null):
        raise _unfit(label, f"gives {inputs[0]} to not; true or false was expected.", EXAMPLE)


def _check_times(
    part: Part, inputs: list[pl.DataType], types: dict[str, pl.DataType], label: str, hint: str | None
) -> None:
    """DataError where a comparison has dates, times or durations on one side, and anything else on the other.

    Args:
        types: of the columns, as the table has them.
    """
    known = [(one, _member(kind)) for one, kind in zip(part.inputs, inputs, strict=True) if kind != pl.Null]
    if len(known) < 2:
        return
    (first, one), (second, other) = known[:2]
    if _class(one) != _class(other):
        raise _unfit(label, f"cannot be computed: {one} is compared with {other}.", hint)
    own = [{types[name] for name in side.meta.root_names()} for side in (first, second)]
    if _class(one) == "moment" and all(own) and len({_zone(kind) for kind in own[0] | own[1]}) > 1:
        raise _unfit(label, "compares times of two zones.", "convert both columns to one zone first")


def _member(kind: pl.DataType) -> pl.DataType:
    return kind.inner if isinstance(kind, (pl.List, pl.Array)) else kind  # type: ignore[return-value]


def _class(kind: pl.DataType) -> str:
    """The kinds of time that a type, or its members, can be compared within: moments, times of day, durations; empty if it is not a time."""
    kind = _member(kind)
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        return "moment"
    return "time of day" if kind == pl.Time else "duration" if isinstance(kind, pl.Duration) else ""


def _first_line(error: BaseException, moved: Mapping[str, str]) -> str:
    """The first line of an error of Polars, with the table's names of columns."""
    text = str(error).strip().split("\n")[0]
    for name, other in moved.items():
        text = re.sub(rf"\b{other}\b", lambda _, name=name: name, text)  # type: ignore[misc]
    return text
