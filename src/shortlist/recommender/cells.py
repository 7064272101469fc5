"""Values of a column that do not fit: found by column, in halves, so that no tower is asked and an error costs little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import polars as pl

from shortlist.errors import ShortlistError
from shortlist.features import Feature

__all__ = ["Columns", "column_of", "fits", "misfits", "of_one_kind"]

T = TypeVar("T")
_SCALARS = (bool, int, float, str)


class Columns:
    """The features of one tower by column, to check values before they are encoded.

    Args:
        features: of the tower, by name.
    """

    def __init__(self, features: Mapping[str, Feature]) -> None:
        self._of: dict[str, list[Feature]] = {}
        for feature in features.values():
            self._of.setdefault(feature.column, []).append(feature)

    def check(self, values: pl.Series) -> None:
        """Check a column's values against each feature that reads it.

        Raises:
            DataError: where a feature does not take them.
        """
        for feature in self._of.get(values.name, ()):
            feature.encode(values)


def of_one_kind(values: Sequence[Any]) -> Sequence[Any]:
    """Plain values as Polars takes them without converting any: integers become floats where floats are among them.

    Values of other types are left as they are.

    Raises:
        TypeError: where texts, numbers, booleans and lists are mixed.
    """
    kinds = {type(value) for value in values} - {type(None)}
    if list in kinds:
        if len(kinds) > 1:
            raise TypeError("lists are mixed with single values")
        inner = {type(one) for value in values if value is not None for one in value} - {type(None)}
        if _mixed(inner):
            return [None if value is None else [_as_float(one) for one in value] for value in values]
        return values
    return [_as_float(value) for value in values] if _mixed(kinds) else values


def column_of(name: str, values: Sequence[Any]) -> pl.Series:
    """Plain values as a column, none of them converted but by ``of_one_kind``.

    Polars takes the type of integers from the first ones, which may be too small for a later one beyond 2^63 - 1.

    Raises:
        TypeError: where texts, numbers, booleans and lists are mixed.
    """
    given = of_one_kind(values)
    try:
        return pl.Series(name, given)
    except TypeError:
        lists = any(type(one) is list for one in given)
        flat = [one for each in given for one in (each or ())] if lists else given
        kinds = {type(one) for one in flat} - {type(None)}
        if kinds != {int}:
            raise
        wide = pl.Int128() if min(one for one in flat if one is not None) < 0 else pl.UInt64()
        return pl.Series(name, given, pl.List(wide) if lists else wide)


def _mixed(kinds: set[type]) -> bool:
    """Whether integers are among floats; TypeError for other mixtures of plain values."""
    plain = kinds.intersection(_SCALARS)
    if len(plain) > 1 and plain != {int, float}:
        raise TypeError("values of several types are mixed")
    return plain == {int, float} and kinds == plain


def _as_float(value: Any) -> Any:
    return float(value) if type(value) is int else value


def fits(check: Callable[[Sequence[T]], object], values: Sequence[T]) -> bool:
    """Whether a check that raises for what does not fit raises nothing."""
    try:
        check(values)
    except (ShortlistError, TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return False
    return True


def misfits(values: Sequence[T], check: Callable[[Sequence[T]], object], most: int) -> list[int]:
    """The places of values that ``check`` raises for, rising, at most so many; empty where all fit.

    The values are checked in halves: one misfit among n costs less than 3 n values looked at, and ``most`` bound the rest.
    Where two halves fit alone but not together, the first value of the second is named.
    """
    if fits(check, values):
        return []
    found: list[int] = []
    _search(values, 0, len(values), check, most, found)
    return found


def _search(
    values: Sequence[T], low: int, high: int, check: Callable[[Sequence[T]], object], most: int, found: list[int]
) -> None:
    """Adds the misfits among ``values[low:high]``, which do not fit together."""
    if high - low == 1:
        found.append(low)
        return
    middle = (low + high) // 2
    halves = [(low, middle), (middle, high)]
    bad = False
    for first, last in halves:
        if len(found) >= most:
            return
        if not fits(check, values[first:last]):
            bad = True
            _search(values, first, last, check, most, found)
    if not bad:
        found.append(middle)
