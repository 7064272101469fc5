"""Requests with many values are freed a part at a time: a hundred thousand ids at once would hold up the loop for milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

__all__ = ["free", "parts_of"]

VALUES = 2000  # values between two pauses, which take less than a tenth of a millisecond to free


def parts_of(value: Any) -> list[Any]:
    """The lists, mappings and structs that a value is made of, each after the one that holds it.

    While they are held here, none is freed with another one. Values of other types are not looked into.
    """
    found, at = [value], 0
    while at < len(found):
        found += [one for one in _inner(found[at]) if isinstance(one, (list, tuple, dict, msgspec.Struct))]
        at += 1
    return found


def _inner(value: Any) -> Any:
    """The values that one holds."""
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def free(held: list[Any], pause: Callable[[], object]) -> None:
    """Free values that nothing else holds, some at a time.

    Args:
        held: the values; empty afterwards.
        pause: called between ``VALUES`` of them; a single list or mapping may have more.
    """
    parts = [part for value in held for part in parts_of(value)]
    held.clear()
    parts.reverse()
    values = 0
    while parts:
        if values >= VALUES:
            pause()
            values = 0
        values += 1 + len(parts[-1]) if isinstance(parts[-1], (list, tuple, dict)) else 1
        parts.pop()
