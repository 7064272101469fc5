"""Filters as Qdrant has them, for its client and for its embedded engine, whose classes differ a little."""

from __future__ import annotations

from typing import Any

from shortlist.errors import ConfigError
from shortlist.index.databases.filters import Among, Compare, Either, Every, Filter, Missing

__all__ = ["condition"]

_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_EXACT = 2**53  # Qdrant compares numbers as float64


def condition(where: Filter, classes: Any) -> Any:
    """The filter, made of the classes of ``qdrant_client.models`` or of ``qdrant_edge``.

    Raises:
        ConfigError: for texts that are compared by their order, and for integers that a float64 does not hold.
    """
    return classes.Filter(must=[_made(where, _Made(classes))])


def _made(where: Filter, made: _Made) -> Any:
    if isinstance(where, Every):
        return made.all([_made(part, made) for part in where.parts])
    if isinstance(where, Either):
        return made.any([_made(part, made) for part in where.parts])
    if isinstance(where, Missing):
        return made.none([made.empty(where.column)]) if where.negated else made.empty(where.column)
    if isinstance(where, Among):
        return _among(where, made)
    if where.sign == "=":
        return _equal(where, made)
    if where.sign == "!=":
        return made.none([made.empty(where.column), _equal(where, made)])
    if isinstance(where.value, (str, bool)) or abs(where.value) > _EXACT:
        raise ConfigError(
            f"Qdrant does not compare {where.value!r} by order; numbers up to 2^53 were expected.",
            hint="use =, in, or a column of numbers",
        )
    return made.field(where.column, range=made.range(**{_BOUNDS[where.sign]: float(where.value)}))


def _equal(where: Compare, made: _Made) -> Any:
    number = isinstance(where.value, (int, float)) and not isinstance(where.value, bool)
    if number and abs(where.value) <= _EXACT:  # type: ignore[arg-type]
        return made.field(where.column, range=made.range(gte=float(where.value), lte=float(where.value)))
    return made.field(where.column, match=made.value(where.value))


def _among(where: Among, made: _Made) -> Any:
    values = where.plain
    if where.column == "id" and all(isinstance(value, int) and value >= 0 for value in values):
        found = made.ids(values)
        return made.none([found]) if where.negated else found
    if all(isinstance(value, str) for value in values) or all(type(value) is int for value in values):
        found = made.field(where.column, match=made.some(values))
    else:
        found = made.any([_equal(Compare(where.column, "=", value), made) for value in values])
    return made.none([made.empty(where.column), found]) if where.negated else found


class _Made:
    """Conditions of either library."""

    def __init__(self, classes: Any) -> None:
        self._classes, self._client = classes, hasattr(classes, "Range")

    def all(self, parts: list[Any]) -> Any:
        return self._classes.Filter(must=parts)

    def any(self, parts: list[Any]) -> Any:
        return self._classes.Filter(should=parts)

    def none(self, parts: list[Any]) -> Any:
        return self._classes.Filter(must_not=parts)

    def field(self, column: str, **condition: Any) -> Any:
        return self._classes.FieldCondition(key=column, **condition)

    def empty(self, column: str) -> Any:
        if self._client:
            return self._classes.IsEmptyCondition(is_empty=self._classes.PayloadField(key=column))
        return self._classes.IsEmptyCondition(column)

    def ids(self, values: list[int]) -> Any:
        if self._client:
            return self._classes.HasIdCondition(has_id=values)
        return self._classes.HasIdCondition(set(values))

    def value(self, value: Any) -> Any:
        return self._classes.MatchValue(value=value)

    def some(self, values: list[Any]) -> Any:
        return self._classes.MatchAny(any=values)

    def range(self, **bounds: float) -> Any:
        return (self._classes.Range if self._client else self._classes.RangeFloat)(**bounds)
