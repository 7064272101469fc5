"""A recipe's plain values as TOML text; Python's standard library can only read TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["as_toml"]


def as_toml(tree: Mapping[str, Any]) -> str:
    """The values as the text of a file."""
    return "\n".join(_toml(tree, [])).strip() + "\n"


def _toml(tree: Mapping[str, Any], path: list[str]) -> list[str]:
    """Lines of a table: its values, then its tables; None is left out, since a reader assumes it."""
    values = {k: v for k, v in tree.items() if v is not None and not isinstance(v, dict) and not _tables(v)}
    lines = [f"{name} = {_value(value)}" for name, value in values.items()]
    for name, value in tree.items():
        if isinstance(value, dict):
            inner = _toml(value, [*path, name])
            lines += ["", f"[{'.'.join([*path, name])}]", *inner] if inner or name == "als" else []
        elif _tables(value):
            for one in value:
                lines += ["", f"[[{'.'.join([*path, name])}]]", *_toml(one, [*path, name])]
    return lines


def _tables(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and ("fit" in one or {"kind", "weight"} <= one.keys()) for one in value)
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(str(k))} = {_value(v)}" for k, v in value.items() if v is not None) + " }"
    return repr(float(value)) if isinstance(value, float) else str(value)
