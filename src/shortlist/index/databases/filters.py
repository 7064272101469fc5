"""Filters that a database applies itself: a tree of comparisons, and its text in dialects like SQL.

A comparison is met only by rows that have a value there, as in SQL: ``year != 1999`` leaves out rows without a year.
Negations are part of the comparisons, so that no database has to negate what it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from shortlist.index.values import Ints

__all__ = ["Among", "Compare", "Either", "Every", "Filter", "Missing", "text_of"]


@dataclass(frozen=True)
class Every:
    """Met where every part is."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Either:
    """Met where at least one part is."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Compare:
    """A column compared with a value."""

    column: str
    sign: Literal["=", "!=", "<", "<=", ">", ">="]
    value: str | int | float | bool


@dataclass(frozen=True, eq=False)
class Among:
    """A column whose value is one of some, or with ``negated`` none of them."""

    column: str
    values: Sequence[str | int | float | bool] | Ints
    negated: bool = False

    @property
    def plain(self) -> list[Any]:
        """The values as Python's own."""
        return self.values.tolist() if isinstance(self.values, np.ndarray) else list(self.values)


@dataclass(frozen=True)
class Missing:
    """A column without a value, or with ``negated`` with one."""

    column: str
    negated: bool = False


Filter: TypeAlias = "Every | Either | Compare | Among | Missing"


def text_of(
    where: Filter,
    column: Callable[[str], str],
    value: Callable[[Any], str],
    among: Callable[[str, list[Any], bool], str] | None = None,
    equal: str = "=",
) -> str:
    """The filter as a database's text.

    Args:
        column: a column as the text names it.
        value: a value as the text writes it.
        among: whether a column, as the text names it, has one of some values, or with True none of them; by default with ``in``
            and round brackets.
        equal: the sign for equality.
    """

    def listed(name: str, values: list[Any], negated: bool) -> str:
        some = f"({', '.join(map(value, values))})"
        return f"({name} is not null and {name} not in {some})" if negated else f"{name} in {some}"

    def text(part: Filter) -> str:
        if isinstance(part, (Every, Either)):
            word = " and " if isinstance(part, Every) else " or "
            return f"({word.join(map(text, part.parts))})"
        name = column(part.column)
        if isinstance(part, Missing):
            return f"{name} is {'not ' if part.negated else ''}null"
        if isinstance(part, Among):
            return (among or listed)(name, part.plain, part.negated)
        return f"{name} {equal if part.sign == '=' else part.sign} {value(part.value)}"

    return text(where)
