"""Duplicate keys in one JSON object: readers differ in which of the two they use, so both are refused."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["duplicate_key"]


class _DuplicateKey(Exception):  # noqa: N818 - never leaves this module
    pass


class _Pairs(list[tuple[str, Any]]):
    """An object, as it was sent."""


def _checked(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({name for name, _ in pairs}) < len(pairs):
        raise _DuplicateKey


_CHECK = json.JSONDecoder(object_pairs_hook=_checked)
_KEEP = json.JSONDecoder(object_pairs_hook=_Pairs)


def duplicate_key(text: str, known: frozenset[str]) -> str | None:
    """The path of a duplicate key; None if there is none.

    Args:
        text: valid JSON.
        known: names that the path may contain; others are left out of it, since the request brought them.
    """
    try:
        _CHECK.decode(text)
    except _DuplicateKey:
        return _path(_KEEP.decode(text), known, "$")
    return None


def _path(value: Any, known: frozenset[str], here: str) -> str | None:
    """The path of the first duplicate key at or below ``here``."""
    if isinstance(value, _Pairs):
        names: set[str] = set()
        for name, inner in value:
            at = f"{here}.{name}" if name in known else f"{here}[…]"
            if name in names:
                return at
            names.add(name)
            if (found := _path(inner, known, at)) is not None:
                return found
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if (found := _path(inner, known, f"{here}[{number}]")) is not None:
                return found
    return None
