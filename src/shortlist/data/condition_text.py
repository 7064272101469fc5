"""The text of a condition: its words, checked before Polars reads them, the columns that it names, and its cost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from shortlist.data.argument_checks import kind_of
from shortlist.errors import DataError, did_you_mean

__all__ = [
    "COMPARISONS",
    "EXAMPLE",
    "FUNCTIONS",
    "LITERALS",
    "Token",
    "check_text",
    "check_words",
    "columns_as_text",
    "columns_named",
    "cost",
    "literal",
    "named_columns",
    "quoted",
    "renamed",
    "shown",
    "tokens_of",
]

FUNCTIONS = frozenset({"abs", "array_contains", "coalesce", "ends_with", "length", "lower", "starts_with", "upper"})
_OF_TEXT = frozenset({"ends_with", "length", "lower", "starts_with", "upper"})
LITERALS = frozenset({"date", "timestamp"})  # before a text: date '2020-01-31'
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
COMPARISONS = frozenset({"=", "==", "!=", "<>", "<", "<=", ">", ">="})
_WEIGHTS = {"and": 1, "or": 1, "not": 1, "is": 1, "between": 2, "in": 3, "like": 6, "ilike": 20}
_CALL = 10  # a function of texts or lists
_LONGEST = 1 << 20  # characters of a condition
_OPERATORS = 200  # operators in it; Polars takes much longer for many
_BETWEEN = "expected a comparison, and, or; a name of several words needs double quotes"
EXAMPLE = "for example: country = 'KR' and stock > 0"


class Token(NamedTuple):
    """A piece of a condition: text, a quoted name, a number, a word or a sign, and its place."""

    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """The word in small letters; empty for other tokens."""
        return self.text.lower() if self.kind == "word" else ""


def check_text(where: object, option: str) -> None:
    """DataError for a condition that is not text."""
    if not isinstance(where, str):
        raise DataError(f"{option} is a {type(where).__name__}; SQL in a string was expected.", hint=EXAMPLE)


def tokens_of(where: str, option: str, of: str) -> list[Token]:
    """The condition's tokens; DataError for the first that a condition cannot have."""
    if not isinstance(where, str):
        raise DataError(
            f"{option} is {kind_of(where)}; a condition in SQL was expected.", hint=f'{option}="price >= 10"'
        )
    if len(where) > _LONGEST:
        raise DataError(
            f"{option} has {len(where):,} characters; at most {_LONGEST:,} were expected.",
            hint="for a list of ids use allow=, or a column to filter by",
            plain=f"the condition has {len(where):,} characters; at most {_LONGEST:,} were expected.",
        )
    tokens, at, end = [], 0, len(where.rstrip())
    while at < end:
        match = _TOKEN.match(where, at)
        if match is None or match.lastgroup is None:
            at += len(where[at:]) - len(where[at:].lstrip())
            raise DataError(
                f"{option} has {shown(where[at : at + 10])} at character {at + 1}.",
                hint=_odd(where[at]),
                plain=f"the condition cannot be read from character {at + 1} on.",
            )
        tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    if not tokens:
        raise DataError(
            f"{option} is empty; a condition on the columns of the {of} was expected.",
            hint=EXAMPLE,
            plain="the condition is empty.",
        )
    return tokens


def check_words(tokens: list[Token], option: str) -> None:
    """DataError for functions and words of SQL that conditions do not have."""
    count = sum(
        token.word in ("and", "or", "not") or (token.kind == "sign" and token.text not in "(),") for token in tokens
    )
    if count > _OPERATORS:
        raise DataError(
            f"{option} has {count} operators; at most {_OPERATORS} were expected.",
            hint="column in (…) takes many values",
            plain=f"the condition has {count} operators; at most {_OPERATORS} were expected.",
        )
    for token, after in _neighbours(tokens):
        word = token.word
        if word in _REFUSED:
            raise DataError(
                f"{option} has {token.text!r}, which conditions do not support.",
                hint=f'{_REFUSED[word]}; a column of that name needs double quotes: "{token.text}"',
                plain=f"the condition has {word}, which conditions do not support.",
            )
        if word == "is" and after.word not in ("null", "not"):
            raise DataError(
                f"{option} has 'is {after.text}'.",
                hint="use is null, is not null, or =",
                plain=f"null or not null was expected after is, at character {token.at + 1} of the condition.",
            )
        if word in _WORDS or not word:
            continue
        if after.text == "(" and word not in FUNCTIONS:
            raise DataError(
                f"{option} calls {token.text!r}, which conditions do not have.",
                hint=did_you_mean(word, FUNCTIONS),
                plain=f"the condition calls a function, at character {token.at + 1}, that conditions do not have.",
            )
    _check_chains(tokens, option)
    for token, after in _neighbours(tokens):
        called = token.word in FUNCTIONS and after.text == "("
        literal = token.word in LITERALS and after.kind == "text"
        ends = token.text == ")" or (token.kind != "sign" and token.word not in _WORDS)
        if ends and not called and not literal and _begins(after):
            between = f"between {token.text} and {after.text}"
            raise DataError(
                f"{option} has nothing {shown(between)}.",
                hint=_BETWEEN,
                plain=f"the condition has nothing before its character {after.at + 1} that joins it to what precedes.",
            )


def _check_chains(tokens: list[Token], option: str) -> None:
    """DataError for ``1990 < year < 2000``, which SQL reads as ``(1990 < year) < 2000``: true of every row."""
    compared = [False]  # whether something was compared since the last and, or; for each bracket that is open
    for token in tokens:
        if token.text == "(":
            compared.append(False)
        elif token.text == ")":
            compared = compared[:-1] or [False]
        elif token.text == "," or token.word in ("and", "or"):
            compared[-1] = False
        elif token.text in COMPARISONS:
            if compared[-1]:
                raise DataError(
                    f"{option} compares a comparison: {token.text!r} at character {token.at + 1}.",
                    hint="join comparisons by and: 1990 < year and year < 2000",
                    plain=f"the condition compares a comparison at character {token.at + 1}.",
                )
            compared[-1] = True


def columns_named(where: str) -> tuple[str, ...]:
    """The columns that a condition names, even if it has other errors; none if the text is not a condition."""
    try:
        tokens = tokens_of(where, "where", "rows")
    except (DataError, TypeError):
        return ()
    return tuple(dict.fromkeys(name for _, name in named_columns(tokens)))


def named_columns(tokens: list[Token]) -> Iterator[tuple[Token, str]]:
    """The tokens that name a column, each with the column."""
    for token, after in _neighbours(tokens):
        name = _column(token, after)
        if name is not None:
            yield token, name


def renamed(where: str, tokens: list[Token], moved: dict[str, str]) -> str:
    """The text with other names for some columns, and all names in quotes, so that SQL reads no word of its own in them."""
    parts, at = [], 0
    for token, name in named_columns(tokens):
        parts += [where[at : token.at], _in_quotes(moved.get(name, name))]
        at = token.at + len(token.text)
    return "".join([*parts, where[at:]])


def columns_as_text(tokens: list[Token]) -> frozenset[str]:
    """The columns that a condition reads as text: before like, and within a function of texts."""
    found, within, before = set(), [False], Token("end", "", 0)
    places = {token.at: name for token, name in named_columns(tokens)}
    for number, token in enumerate(tokens):
        if token.text == "(":
            within.append(within[-1] or before.word in _OF_TEXT)
        elif token.text == ")" and len(within) > 1:
            within.pop()
        elif token.at in places:
            after = [one.word for one in tokens[number + 1 : number + 3]]
            if within[-1] or (after[1:] if after[:1] == ["not"] else after)[:1] in (["like"], ["ilike"]):
                found.add(places[token.at])
        before = token
    return frozenset(found)


def cost(tokens: list[Token]) -> int:
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


def quoted(name: str) -> str:
    """A column as a condition names it."""
    plain = re.fullmatch(r"[^\W\d]\w*", name) and name.lower() not in _WORDS and name.lower() not in _REFUSED
    return name if plain else _in_quotes(name)


def _in_quotes(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """Text as a condition writes it."""
    return "'{}'".format(text.replace("'", "''"))


def shown(text: str) -> str:
    """A condition, or a part of it, in a message."""
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


def _column(token: Token, after: Token) -> str | None:
    """The column that a token names, if it names one."""
    if token.kind == "quoted":
        return token.text[1:-1].replace('""', '"')
    if token.kind != "word" or token.word in _WORDS:
        return None
    literal = after.kind == "text" and token.word in LITERALS
    return None if literal or after.text == "(" else token.text


def _odd(character: str) -> str:
    if character in "'\"":
        return "a quote is not closed; inside a text write a quote twice: 'it''s'"
    if character == "`":
        return 'put names with other characters in "double quotes"'
    return "a condition has columns, numbers, 'texts', comparisons, and, or, not, in, between, like, is null, + - * / %"


def _begins(token: Token) -> bool:
    """Whether a value or a bracket begins here."""
    return token.text == "(" if token.kind == "sign" else token.kind != "end" and token.word not in _WORDS


def _neighbours(tokens: list[Token]) -> Iterator[tuple[Token, Token]]:
    """Each token and the one after it."""
    return zip(tokens, [*tokens[1:], Token("end", "", 0)], strict=True)
