"""Conditions on rows in SQL: text to an expression that says of each row whether it meets the condition.

The text is parsed here first, so that Polars only gets expressions that read one row at a time: comparisons,
and/or/not, in, between, like, is null, arithmetic, and the functions of ``FUNCTIONS``. Comparisons of dates and times with
numbers are refused: Polars would compare days or microseconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
import polars.selectors as cs

from shortlist.data.ids import free_name
from shortlist.errors import DataError, did_you_mean

__all__ = ["FUNCTIONS", "Condition", "check_text", "columns_named", "condition", "literal", "quoted"]

FUNCTIONS = frozenset({"abs", "array_contains", "coalesce", "ends_with", "length", "lower", "starts_with", "upper"})
_LITERALS = frozenset({"date", "timestamp"})  # before a text: date '2020-01-31'
_WORDS = frozenset({"and", "or", "not", "in", "between", "like", "ilike", "is", "null", "true", "false"})
_REFUSED = {
    "select": "no queries within the condition",
    "exists": "no queries within the condition",
    "case": "write it with and/or",
    "cast": "compare with a value of the column's own type",
    "distinct": "is null and is not null are there",
    "interval": "compare with date '2020-01-31'",
    "over": "a condition looks at one row at a time",
}
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<word>[^\W\d]\w*)
      | (?P<sign><=|>=|<>|!=|==|[-+*/%<>=(),](?<!-(?=-))(?<!/(?=\*)))
    )""",
    re.VERBOSE,
)
_WEIGHTS = {"and": 1, "or": 1, "not": 1, "is": 1, "between": 2, "in": 3, "like": 6, "ilike": 20}
_CALL = 10  # a function of texts or lists
_LONGEST = 1 << 20  # characters of a condition
_OPERATORS = 200  # operators in it; Polars takes much longer for many
_BETWEEN = "expected a comparison, and, or; a name of several words needs double quotes"
_EXAMPLE = "for example: country = 'KR' and stock > 0"


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
                f"{self._option}={_shown(self.where)} cannot be computed: {_first_line(error)}", hint=self._hint
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
    tokens = _tokens(where, option, of)
    _check_words(tokens, option)
    columns = _checked_columns(tokens, schema, of)
    hint = _types(columns, schema)
    moved = {
        name: free_name(f"column_{number}", schema) for number, name in enumerate(columns) if _unreadable(schema, name)
    }
    try:
        expression = pl.sql_expr(_renamed(where, tokens, moved))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{option}={_shown(where)} is not a condition: {_first_line(error)}", hint=_EXAMPLE) from None
    for name in expression.meta.root_names():
        if name not in schema and name not in moved.values():  # a word of SQL where a column is expected
            raise DataError(
                f"{option}={_shown(where)} is not a condition: {name!r} is in the wrong place.", hint=_EXAMPLE
            )
    helpers = tuple(_readable(schema, name).alias(other) for name, other in moved.items())
    found = Condition(where, columns, _weight(tokens), expression, helpers, option, hint)
    empty = pl.DataFrame(schema=schema)
    _check_texts(expression, empty.lazy().with_columns(*helpers), option, where)
    kind = found._selected(empty.lazy()).dtype
    if kind not in (pl.Null, pl.Boolean):
        raise DataError(
            f"{option}={_shown(where)} gives {kind} for each of the {of}; true or false was expected.", hint=_EXAMPLE
        )
    zones = {other: schema[name] for name, other in moved.items()}
    _check_times(expression, empty.lazy().with_columns(*helpers), zones, f"{option}={_shown(where)}", hint)
    return found


def columns_named(where: str) -> tuple[str, ...]:
    """The columns that a condition names, even if it has other errors; none if the text is not a condition."""
    try:
        tokens = _tokens(where, "where", "rows")
    except (DataError, TypeError):
        return ()
    names = [_column(token, after) for token, after in _neighbours(tokens)]
    return tuple(dict.fromkeys(name for name in names if name is not None))


def check_text(where: object, option: str) -> None:
    """DataError for a condition that is not text."""
    if not isinstance(where, str):
        raise DataError(f"{option} is a {type(where).__name__}; SQL in a string was expected.", hint=_EXAMPLE)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """The word in small letters; empty for other tokens."""
        return self.text.lower() if self.kind == "word" else ""


# --- columns ---------------------------------------------------------------------------------------------------------


def _unreadable(schema: pl.Schema, name: str) -> bool:
    """Whether SQL cannot read a column as it is: its name is a pattern to Polars, or its times have a zone."""
    return name == "*" or (name.startswith("^") and name.endswith("$")) or _zone(schema[name]) is not None


def _readable(schema: pl.Schema, name: str) -> pl.Expr:
    column = cs.by_name(name).as_expr()
    return column.dt.replace_time_zone(None) if _zone(schema[name]) is not None else column


def _zone(kind: pl.DataType | None) -> str | None:
    return kind.time_zone if isinstance(kind, pl.Datetime) else None


def _renamed(where: str, tokens: list[_Token], moved: dict[str, str]) -> str:
    """The text with other names for some columns."""
    parts, at = [], 0
    for token, after in _neighbours(tokens):
        name = _column(token, after)
        if name in moved:
            parts += [where[at : token.at], f'"{moved[name]}"']
            at = token.at + len(token.text)
    return "".join([*parts, where[at:]])


def _column(token: _Token, after: _Token) -> str | None:
    """The column that a token names, if it names one."""
    if token.kind == "quoted":
        return token.text[1:-1].replace('""', '"')
    if token.kind != "word" or token.word in _WORDS:
        return None
    literal = after.kind == "text" and token.word in _LITERALS
    return None if literal or after.text == "(" else token.text


# --- cost ------------------------------------------------------------------------------------------------------------


def _weight(tokens: list[_Token]) -> int:
    """The cost of a condition for each row: 1 for a comparison of numbers, more for one of texts and lists."""
    weight = 1
    for token, after in _neighbours(tokens):
        if token.kind == "sign":
            weight += token.text not in "(),"
        elif token.word in FUNCTIONS and after.text == "(":
            weight += _CALL
        else:
            weight += _WEIGHTS.get(token.word, 0)
    return weight


def _check_texts(expression: pl.Expr, table: pl.LazyFrame, option: str, where: str) -> None:
    """DataError where texts are put together: each row would get longer ones than the table has."""
    if "+" not in where:
        return
    for node in _nodes(expression):
        if str(node).startswith("[") and len(node.meta.pop()) == 2 and _kind(node, table) == pl.String:
            raise DataError(
                f"{option}={_shown(where)} adds texts; + is for numbers.", hint="compare each column with its own text"
            )


# --- times -----------------------------------------------------------------------------------------------------------


def _check_times(
    expression: pl.Expr, table: pl.LazyFrame, zones: dict[str, pl.DataType], said: str, hint: str | None
) -> None:
    """DataError where dates, times or durations are compared with anything else: Polars would compare numbers."""
    schema = table.collect_schema()
    if not any(map(_class, schema.values())) and not any(word in said.lower() for word in _LITERALS):
        return
    for node in _nodes(expression):
        inputs = [(part, _kind(part, table)) for part in node.meta.pop()]
        inputs = [(part, kind) for part, kind in inputs if kind != pl.Null]
        if len(inputs) < 2 or _kind(node, table) != pl.Boolean:
            continue
        (first, one), (second, other) = inputs[:2]
        if _class(one) != _class(other):
            raise DataError(f"{said} cannot be computed: {one} is compared with {other}.", hint=hint)
        own = [{zones.get(name, schema[name]) for name in part.meta.root_names()} for part in (first, second)]
        if _class(one) == "moment" and all(own) and len({_zone(kind) for kind in own[0] | own[1]}) > 1:
            raise DataError(f"{said} compares times of two zones.", hint="convert both columns to one zone first")


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


# --- text ------------------------------------------------------------------------------------------------------------


def _tokens(where: str, option: str, of: str) -> list[_Token]:
    """The condition's tokens; DataError for the first that a condition cannot have."""
    if len(where) > _LONGEST:
        raise DataError(
            f"{option} has {len(where):,} characters; at most {_LONGEST:,} were expected.",
            hint="for a list of ids use allow=, or a column to filter by",
        )
    tokens, at, end = [], 0, len(where.rstrip())
    while at < end:
        match = _TOKEN.match(where, at)
        if match is None or match.lastgroup is None:
            at += len(where[at:]) - len(where[at:].lstrip())
            raise DataError(f"{option} has {_shown(where[at : at + 10])} at character {at + 1}.", hint=_odd(where[at]))
        tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    if not tokens:
        raise DataError(f"{option} is empty; a condition on the columns of the {of} was expected.", hint=_EXAMPLE)
    return tokens


def _odd(character: str) -> str:
    if character in "'\"":
        return "a quote is not closed; inside a text write a quote twice: 'it''s'"
    if character == "`":
        return 'put names with other characters in "double quotes"'
    return "a condition has columns, numbers, 'texts', comparisons, and, or, not, in, between, like, is null, + - * / %"


def _check_words(tokens: list[_Token], option: str) -> None:
    """DataError for functions and words of SQL that conditions do not have."""
    count = sum(
        token.word in ("and", "or", "not") or (token.kind == "sign" and token.text not in "(),") for token in tokens
    )
    if count > _OPERATORS:
        raise DataError(
            f"{option} has {count} operators; at most {_OPERATORS} were expected.",
            hint="column in (…) takes many values",
        )
    for token, after in _neighbours(tokens):
        word = token.word
        if word in _REFUSED:
            raise DataError(f"{option} has {token.text!r}, which conditions do not support.", hint=_REFUSED[word])
        if word == "is" and after.word not in ("null", "not"):
            raise DataError(f"{option} has 'is {after.text}'.", hint="use is null, is not null, or =")
        if word in _WORDS or not word:
            continue
        if after.text == "(" and word not in FUNCTIONS:
            raise DataError(
                f"{option} calls {token.text!r}, which conditions do not have.", hint=did_you_mean(word, FUNCTIONS)
            )
    for token, after in _neighbours(tokens):
        called = token.word in FUNCTIONS and after.text == "("
        literal = token.word in _LITERALS and after.kind == "text"
        ends = token.text == ")" or (token.kind != "sign" and token.word not in _WORDS)
        if ends and not called and not literal and _begins(after):
            between = f"between {token.text} and {after.text}"
            raise DataError(f"{option} has nothing {_shown(between)}.", hint=_BETWEEN)


def _begins(token: _Token) -> bool:
    """Whether a value or a bracket begins here."""
    return token.text == "(" if token.kind == "sign" else token.kind != "end" and token.word not in _WORDS


def _neighbours(tokens: list[_Token]) -> Iterator[tuple[_Token, _Token]]:
    """Each token and the one after it."""
    return zip(tokens, [*tokens[1:], _Token("end", "", 0)], strict=True)


def _checked_columns(tokens: list[_Token], schema: pl.Schema, of: str) -> tuple[str, ...]:
    """The columns of a condition; DataError for the first that the table lacks."""
    names = []
    for token, after in _neighbours(tokens):
        name = _column(token, after)
        if name is None:
            continue
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


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


def quoted(name: str) -> str:
    """A column as a condition names it."""
    return name if re.fullmatch(r"[^\W\d]\w*", name) else '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """Text as a condition writes it."""
    return "'{}'".format(text.replace("'", "''"))
