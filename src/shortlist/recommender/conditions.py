"""Conditions on candidates: SQL over the columns of the candidates' table, to the rows that meet it.

The text is taken apart here first, so that only what looks at one row at a time ever reaches Polars: comparisons,
and/or/not, in, between, like, is null, arithmetic, and the functions of ``FUNCTIONS``.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import DataError, did_you_mean

__all__ = ["FUNCTIONS", "Conditions"]

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
    "over": "a condition looks at one candidate at a time",
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
_LONGEST = 1 << 20  # characters of a condition
_OPERATORS = 200  # operators in it; Polars takes much longer for many
_KEPT = 64  # conditions remembered
_BYTES = 1 << 27  # bytes of row numbers remembered, beside those of the last condition
_BETWEEN = "a comparison, and, or were expected there; a name of several words stands in double quotes"
_EXAMPLE = "for example: country = 'KR' and stock > 0"


class Conditions:
    """Which rows of a table meet a condition; the last conditions are remembered.

    A condition that is neither true nor false of a row, because the row has null there, is not met: ``country != 'KR'``
    leaves out rows without a country; ``country != 'KR' or country is null`` keeps them. NaN is above every number.

        >>> Conditions(pl.DataFrame({"stock": [0, 4, None]})).rows("stock > 0").tolist()
        [1]
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table
        self._known: OrderedDict[str, NDArray[np.int64]] = OrderedDict()
        self._bytes = 0
        self._changing = threading.Lock()

    def rows(self, where: str) -> NDArray[np.int64]:
        """Rows that meet the condition, rising; not to be written to.

        Raises DataError for what is no condition, columns that the table lacks, and values that do not fit a column.
        """
        if not isinstance(where, str):
            raise DataError(f"where is a {type(where).__name__}; SQL in a string was expected.", hint=_EXAMPLE)
        with self._changing:
            found = self._known.get(where)
            if found is not None:
                self._known.move_to_end(where)
                return found
        rows: NDArray[np.int64] = _evaluated(
            self._table, where
        ).copy()  # its own memory: an index remembers what cannot change
        rows.setflags(write=False)
        with self._changing:
            if where not in self._known:
                self._known[where] = rows
                self._bytes += rows.nbytes
            while len(self._known) > 1 and (len(self._known) > _KEPT or self._bytes > _BYTES):
                self._bytes -= self._known.popitem(last=False)[1].nbytes
            return self._known.get(where, rows)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """The word in small letters; empty for other tokens."""
        return self.text.lower() if self.kind == "word" else ""


def _evaluated(table: pl.DataFrame, where: str) -> NDArray[np.int64]:
    tokens = _tokens(where)
    _check_words(tokens, where)
    _check_columns(tokens, table)
    try:
        expression = pl.sql_expr(where)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"where={_shown(where)} is no condition: {_first_line(error)}", hint=_EXAMPLE) from None
    for name in expression.meta.root_names():
        if name not in table.columns:  # a word of SQL where a column should stand
            raise DataError(
                f"where={_shown(where)} is no condition: {name!r} stands in the wrong place.", hint=_EXAMPLE
            )
    try:
        met = table.lazy().with_columns(expression.alias("condition")).select("condition").collect().to_series()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(
            f"where={_shown(where)} cannot be computed: {_first_line(error)}", hint=_types(tokens, table)
        ) from None
    if met.dtype == pl.Null:
        return np.zeros(0, np.int64)
    if met.dtype != pl.Boolean:
        raise DataError(
            f"where={_shown(where)} gives {met.dtype} for each candidate; true or false was expected.", hint=_EXAMPLE
        )
    return np.flatnonzero(met.fill_null(False).to_numpy()).astype(np.int64, copy=False)


def _tokens(where: str) -> list[_Token]:
    """The condition in pieces; DataError at the first that no condition has."""
    if len(where) > _LONGEST:
        raise DataError(
            f"where has {len(where):,} characters; at most {_LONGEST:,} were expected.",
            hint="for a list of candidates use allow=",
        )
    tokens, at, end = [], 0, len(where.rstrip())
    while at < end:
        match = _TOKEN.match(where, at)
        if match is None or match.lastgroup is None:
            at += len(where[at:]) - len(where[at:].lstrip())
            raise DataError(f"where has {_shown(where[at : at + 10])} at character {at + 1}.", hint=_odd(where[at]))
        tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    if not tokens:
        raise DataError("where is empty; a condition on the candidates' columns was expected.", hint=_EXAMPLE)
    return tokens


def _odd(character: str) -> str:
    if character in "'\"":
        return "a quote is open; within a text a quote is written twice: 'it''s'"
    if character == "`":
        return 'put names that are no plain words in "double quotes"'
    return "a condition has columns, numbers, 'texts', comparisons, and, or, not, in, between, like, is null, + - * / %"


def _check_words(tokens: list[_Token], where: str) -> None:
    """DataError for functions and words of SQL that conditions do not have."""
    count = sum(
        token.word in ("and", "or", "not") or (token.kind == "sign" and token.text not in "(),") for token in tokens
    )
    if count > _OPERATORS:
        raise DataError(
            f"where has {count} operators; at most {_OPERATORS} were expected.", hint="column in (…) takes many values"
        )
    for token, after in _neighbours(tokens):
        word = token.word
        if word in _REFUSED:
            raise DataError(f"where has {token.text!r}, which no condition has.", hint=_REFUSED[word])
        if word == "is" and after.word not in ("null", "not"):
            raise DataError(f"where has 'is {after.text}'.", hint="is null and is not null are there; else use =")
        if word in _WORDS or not word:
            continue
        if after.text == "(" and word not in FUNCTIONS:
            raise DataError(
                f"where calls {token.text!r}, which conditions do not have.", hint=did_you_mean(word, FUNCTIONS)
            )
    for token, after in _neighbours(tokens):
        called = token.word in FUNCTIONS and after.text == "("
        literal = token.word in _LITERALS and after.kind == "text"
        ends = token.text == ")" or (token.kind != "sign" and token.word not in _WORDS)
        if ends and not called and not literal and _begins(after):
            between = f"between {token.text} and {after.text}"
            raise DataError(f"where has nothing {_shown(between)}.", hint=_BETWEEN)


def _begins(token: _Token) -> bool:
    """Whether a value or a bracket begins here."""
    return token.text == "(" if token.kind == "sign" else token.kind != "end" and token.word not in _WORDS


def _neighbours(tokens: list[_Token]) -> Iterator[tuple[_Token, _Token]]:
    """Each token and the one after it."""
    return zip(tokens, [*tokens[1:], _Token("end", "", 0)], strict=True)


def _check_columns(tokens: list[_Token], table: pl.DataFrame) -> None:
    """DataError for the first column that the table lacks."""
    for token, after in _neighbours(tokens):
        if token.kind == "quoted":
            name = token.text[1:-1].replace('""', '"')
        elif token.kind == "word" and token.word not in _WORDS:
            name = token.text
            if after.text == "(" or (after.kind == "text" and token.word in _LITERALS):
                continue
        else:
            continue
        if name not in table.columns:
            hint = did_you_mean(name, table.columns)
            if token.kind == "quoted" and not hint.startswith("did"):
                hint = f"texts stand in single quotes: '{name}'. Columns {hint}"
            raise DataError(f"the candidates have no column {name!r}.", hint=hint)


def _types(tokens: list[_Token], table: pl.DataFrame) -> str | None:
    """What the columns of a condition hold."""
    names = [token.text.strip('"') for token in tokens if token.kind in ("quoted", "word")]
    types = [f"{name} is {table.schema[name]}" for name in dict.fromkeys(names) if name in table.schema]
    dated = any(table.schema[name].is_temporal() for name in names if name in table.schema)
    return "; ".join([*types, *(["dates are written date '2020-01-31'"] if dated else [])]) or None


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:79]}…")
