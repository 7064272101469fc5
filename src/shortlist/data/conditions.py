"""Conditions on rows in SQL: text to an expression that says of each row whether it meets the condition.

The text is parsed first (``condition_text``), so that Polars only gets expressions that read one row at a time: comparisons,
and/or/not, in, between, like, is null, arithmetic, and the functions of ``FUNCTIONS``. Comparisons of dates and times with
numbers are refused: Polars would compare days or microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import polars.selectors as cs

from shortlist.data.condition_text import (
    EXAMPLE,
    LITERALS,
    Token,
    check_text,
    check_words,
    cost,
    named_columns,
    renamed,
    shown,
    tokens_of,
)
from shortlist.data.ids import free_name
from shortlist.errors import DataError, did_you_mean

__all__ = ["Condition", "condition"]


@dataclass(frozen=True)
class Condition:
    """A condition that was checked against the columns of a table.

    A condition that is neither true nor false of a row, because the row has null there, is not met: ``country != 'KR'``
    leaves out rows without a country; ``country != 'KR' or country is null`` keeps them. NaN is above every number. A time
    with a zone is compared as the clock of its zone shows it.

    Attributes:
        where: the text.
        columns: the table's columns that it reads.
        weight: what it costs for each row, in comparisons of numbers (some nanoseconds each).
    """

    where: str
    columns: tuple[str, ...]
    weight: int
    _expression: pl.Expr
    _helpers: tuple[pl.Expr, ...]  # columns under names and types that the expression can read
    _option: str
    _hint: str | None

    def mask(self, frame: pl.DataFrame) -> pl.Series:
        """Whether each row meets it → Boolean ``[rows]``, never null. DataError for values that cannot be compared."""
        found = self._selected(frame.lazy())
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

    def _selected(self, table: pl.LazyFrame) -> pl.Series:
        try:
            met = table.with_columns(*self._helpers).with_columns(self._expression.alias("met"))
            return met.select("met").collect().to_series()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise DataError(
                f"{self._option}={shown(self.where)} cannot be computed: {_first_line(error)}", hint=self._hint
            ) from None


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
    check_text(where, option)
    tokens = tokens_of(where, option, of)
    check_words(tokens, option)
    columns = _checked_columns(tokens, schema, of)
    hint = _types(columns, schema)
    moved = {
        name: free_name(f"column_{number}", schema) for number, name in enumerate(columns) if _unreadable(schema, name)
    }
    try:
        expression = pl.sql_expr(renamed(where, tokens, moved))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{option}={shown(where)} is not a condition: {_first_line(error)}", hint=EXAMPLE) from None
    for name in expression.meta.root_names():
        if name not in schema and name not in moved.values():  # a word of SQL where a column is expected
            raise DataError(
                f"{option}={shown(where)} is not a condition: {name!r} is in the wrong place.", hint=EXAMPLE
            )
    helpers = tuple(_readable(schema, name).alias(other) for name, other in moved.items())
    found = Condition(where, columns, cost(tokens), expression, helpers, option, hint)
    empty = pl.DataFrame(schema=schema)
    _check_texts(expression, empty.lazy().with_columns(*helpers), option, where)
    kind = found._selected(empty.lazy()).dtype
    if kind not in (pl.Null, pl.Boolean):
        raise DataError(
            f"{option}={shown(where)} gives {kind} for each of the {of}; true or false was expected.", hint=EXAMPLE
        )
    zones = {other: schema[name] for name, other in moved.items()}
    _check_times(expression, empty.lazy().with_columns(*helpers), zones, f"{option}={shown(where)}", hint)
    return found


def _checked_columns(tokens: list[Token], schema: pl.Schema, of: str) -> tuple[str, ...]:
    """The columns of a condition; DataError for the first that the table lacks."""
    names = []
    for token, name in named_columns(tokens):
        if name not in schema:
            hint = did_you_mean(name, schema)
            if token.kind == "quoted" and not hint.startswith("did"):
                hint = f"texts need single quotes: '{name}'. Columns {hint}"
            raise DataError(f"the {of} have no column {name!r}.", hint=hint)
        names.append(name)
    return tuple(dict.fromkeys(names))


def _types(columns: tuple[str, ...], schema: pl.Schema) -> str | None:
    """The types of a condition's columns, and how values of these types are written."""
    says = [f"{name} is {schema[name]}" for name in columns]
    kinds = {_class(schema[name]) for name in columns}
    if "moment" in kinds:
        says.append("dates are written date '2020-01-31', moments timestamp '2020-01-31 12:00:00'")
    if kinds & {"time of day", "duration"}:
        says.append("for times of day and durations add a column of numbers, such as the hour")
    return "; ".join(says) or None


def _unreadable(schema: pl.Schema, name: str) -> bool:
    """Whether SQL cannot read a column as it is: its name is a pattern to Polars, or its times have a zone."""
    return name == "*" or (name.startswith("^") and name.endswith("$")) or _zone(schema[name]) is not None


def _readable(schema: pl.Schema, name: str) -> pl.Expr:
    column = cs.by_name(name).as_expr()
    return column.dt.replace_time_zone(None) if _zone(schema[name]) is not None else column


def _zone(kind: pl.DataType | None) -> str | None:
    return kind.time_zone if isinstance(kind, pl.Datetime) else None


def _check_texts(expression: pl.Expr, table: pl.LazyFrame, option: str, where: str) -> None:
    """DataError where texts are put together: each row would get longer ones than the table has."""
    if "+" not in where:
        return
    for node in _nodes(expression):
        if str(node).startswith("[") and len(node.meta.pop()) == 2 and _kind(node, table) == pl.String:
            raise DataError(
                f"{option}={shown(where)} adds texts; + is for numbers.", hint="compare each column with its own text"
            )


def _check_times(
    expression: pl.Expr, table: pl.LazyFrame, zones: dict[str, pl.DataType], label: str, hint: str | None
) -> None:
    """DataError where dates, times or durations are compared with anything else: Polars would compare numbers."""
    schema = table.collect_schema()
    if not any(map(_class, schema.values())) and not any(word in label.lower() for word in LITERALS):
        return
    for node in _nodes(expression):
        inputs = [(part, _kind(part, table)) for part in node.meta.pop()]
        inputs = [(part, kind) for part, kind in inputs if kind != pl.Null]
        if len(inputs) < 2 or _kind(node, table) != pl.Boolean:
            continue
        (first, one), (second, other) = inputs[:2]
        if _class(one) != _class(other):
            raise DataError(f"{label} cannot be computed: {one} is compared with {other}.", hint=hint)
        own = [{zones.get(name, schema[name]) for name in part.meta.root_names()} for part in (first, second)]
        if _class(one) == "moment" and all(own) and len({_zone(kind) for kind in own[0] | own[1]}) > 1:
            raise DataError(f"{label} compares times of two zones.", hint="convert both columns to one zone first")


def _nodes(expression: pl.Expr) -> Iterator[pl.Expr]:
    """Every part of an expression, itself first."""
    waiting = [expression]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.meta.pop()


def _kind(expression: pl.Expr, table: pl.LazyFrame) -> pl.DataType:
    """The type of the values; of a list the type of its members."""
    kind = table.select(expression.alias("value")).collect_schema()["value"]
    return _member(kind)


def _member(kind: pl.DataType) -> pl.DataType:
    return kind.inner if isinstance(kind, (pl.List, pl.Array)) else kind  # type: ignore[return-value]


def _class(kind: pl.DataType) -> str:
    """The kinds of time that a type, or its members, can be compared within: moments, times of day, durations; empty if it is not a time."""
    kind = _member(kind)
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        return "moment"
    return "time of day" if kind == pl.Time else "duration" if isinstance(kind, pl.Duration) else ""


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
