"""Conditions as filters that a database applies itself: the part of them that compares columns with values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, cast

from shortlist.data.condition_text import Token, check_text, shown, tokens_of
from shortlist.errors import ConfigError
from shortlist.index.databases.filters import Among, Compare, Either, Every, Filter, Missing

__all__ = ["pushed"]

_END = Token("end", "", 0)
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "!=", "!=": "="}
_SIGNS = {"==": "=", "<>": "!="}


def pushed(where: str, columns: Mapping[str, str] | None = None) -> Filter:
    """The condition as a filter: comparisons of a column with a value, in, between, is null, and, or, not.

    Args:
        where: SQL, for example ``"country = 'KR' and stock > 0"``.
        columns: what the database calls a column, where that is not its name.

    Raises:
        DataError: for text that is not a condition.
        ConfigError: for a condition that databases do not answer, such as one with arithmetic, functions or like.
    """
    check_text(where, "where")
    return _Reader(where, tokens_of(where, "where", "candidates"), columns or {}).whole()


class _Reader:
    """Reads tokens from left to right. ``negated`` says whether a not is around the part that is read."""

    def __init__(self, where: str, tokens: list[Token], columns: Mapping[str, str]) -> None:
        self._where, self._tokens, self._columns, self._at = where, tokens, columns, 0

    def whole(self) -> Filter:
        found = self._either(False)
        if self._next is not _END:
            self._refuse(self._next.text)
        return found

    @property
    def _next(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _take(self, *expected: str) -> bool:
        """Steps over these words or signs if they come next."""
        coming = self._tokens[self._at : self._at + len(expected)]
        fits = [one.word or one.text for one in coming if one.kind in ("word", "sign")] == list(expected)
        self._at += len(expected) * fits
        return fits

    def _refuse(self, what: str) -> NoReturn:
        raise ConfigError(
            f"where={shown(self._where)} has {what or 'an end'!r} where a database expects a column compared with a value.",
            hint="databases answer =, !=, <, <=, >, >=, in, between, is null, and, or, not; recommend(where=…) answers every condition",
        )

    def _either(self, negated: bool) -> Filter:
        parts = [self._every(negated)]
        while self._take("or"):
            parts.append(self._every(negated))
        return parts[0] if len(parts) == 1 else (Every if negated else Either)(tuple(parts))

    def _every(self, negated: bool) -> Filter:
        parts = [self._one(negated)]
        while self._take("and"):
            parts.append(self._one(negated))
        return parts[0] if len(parts) == 1 else (Either if negated else Every)(tuple(parts))

    def _one(self, negated: bool) -> Filter:
        if self._take("not"):
            return self._one(not negated)
        if self._take("("):
            found = self._either(negated)
            if not self._take(")"):
                self._refuse(self._next.text)
            return found
        if self._is_column():
            return self._predicate(self._column(), negated)
        value = self._value()
        sign = self._sign()
        if sign is None or not self._is_column():
            self._refuse(self._next.text)
        return self._compared(self._column(), _FLIPPED[sign], value, negated)

    def _predicate(self, column: str, negated: bool) -> Filter:
        sign = self._sign()
        if sign is not None:
            return self._compared(column, sign, self._value(), negated)
        if self._take("is"):
            return Missing(column, self._negation(negated))
        if self._take("not", "in") or self._take("in"):
            without = (self._tokens[self._at - 2].word == "not") != negated
            return Among(column, self._values(), without)
        if self._take("not", "between") or self._take("between"):
            outside = (self._tokens[self._at - 2].word == "not") != negated
            low = self._value()
            if not self._take("and"):
                self._refuse(self._next.text)
            high = self._value()
            if outside:
                return Either((Compare(column, "<", low), Compare(column, ">", high)))
            return Every((Compare(column, ">=", low), Compare(column, "<=", high)))
        return Compare(column, "=", not negated)  # a column of true and false, alone

    def _negation(self, negated: bool) -> bool:
        without = self._take("not")
        if not self._take("null"):
            self._refuse(self._next.text)
        return without != negated

    def _is_column(self) -> bool:
        token = self._next
        words = ("and", "or", "not", "in", "between", "like", "ilike", "is", "null", "true", "false")
        after = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else _END
        if token.kind == "word" and token.word not in words:
            return after.text != "(" and after.kind != "text"
        return token.kind == "quoted"

    def _column(self) -> str:
        token = self._next
        self._at += 1
        name = token.text[1:-1].replace('""', '"') if token.kind == "quoted" else token.text
        return self._columns.get(name, name)

    def _sign(self) -> str | None:
        sign = _SIGNS.get(self._next.text, self._next.text)
        if self._next.kind != "sign" or sign not in _OPPOSITE:
            return None
        self._at += 1
        return sign

    def _value(self) -> Any:
        minus = self._take("-")
        token = self._next
        self._at += 1
        if token.kind == "number":
            number: float = float(token.text) if set(token.text) & set(".eE") else int(token.text)
            return -number if minus else number
        if token.kind == "text" and not minus:
            return token.text[1:-1].replace("''", "'")
        if token.word in ("true", "false") and not minus:
            return token.word == "true"
        return self._refuse(token.text)

    def _values(self) -> tuple[Any, ...]:
        if not self._take("("):
            self._refuse(self._next.text)
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        if not self._take(")"):
            self._refuse(self._next.text)
        return tuple(values)

    def _compared(self, column: str, sign: str, value: Any, negated: bool) -> Filter:
        if self._next.kind == "sign" and self._next.text not in (")",):
            self._refuse(self._next.text)  # arithmetic
        return Compare(column, cast(Any, _OPPOSITE[sign] if negated else sign), value)
