"""Old forms of the options of ``Retrieval``, from before losses and negatives had their own; they are still read.

``Retrieval`` itself, recipes, and checkpoints of earlier versions all read them here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from shortlist.errors import ConfigError, deprecated
from shortlist.loss.kinds import PARTS, from_table

__all__ = ["MOVED", "in_tables", "takes_old_names"]

T = TypeVar("T")

USUAL = {"loss": "softmax", "negatives": "batch"}
MOVED = {
    "label_smoothing": ("loss", "label_smoothing"),
    "correct_positive": ("loss", "correct_positive"),
    "exponent": ("loss", "exponent"),
    "margin": ("loss", "margin"),
    "negative_weight": ("loss", "negative_weight"),
    "sampled": ("negatives", "number"),
    "sample_power": ("negatives", "power"),
}
"""Old options of ``Retrieval``: the part that has each now, and its name there."""


def in_tables(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with a table such as ``{"kind": "bsl", "exponent": 1.2}`` in place of a word and its loose options.

    Loose options without effect on a kind are checked and left out. Tables and value objects stay.

    Raises:
        ConfigError: for loose options next to a value object, and for values out of range.

    Example:
        >>> in_tables({"loss": "bsl", "exponent": 1.2, "margin": 0.5})
        {'loss': {'kind': 'bsl', 'exponent': 1.2}}
    """
    found = {name: value for name, value in options.items() if name not in MOVED}
    for part, kinds in PARTS.items():
        loose = {name: options[name] for name in MOVED if name in options and MOVED[name][0] == part}
        if not loose and not isinstance(found.get(part), str):
            continue
        given = found.get(part, USUAL[part])
        if not isinstance(given, (str, Mapping)):
            listed = " and ".join(f"{name}=" for name in loose)
            raise ConfigError(
                f"Retrieval got {listed} together with {part}={given!r}.",
                hint=f"give {' and '.join(MOVED[name][1] + '=' for name in loose)} to {type(given).__name__}()",
            )
        table: dict[str, Any] = {"kind": given} if isinstance(given, str) else {"kind": USUAL[part], **given}
        kind = kinds.get(str(table["kind"]))
        for name, value in loose.items():
            new = MOVED[name][1]
            if kind is not None and new in kind.__dataclass_fields__:
                table[new] = value
            else:
                _check_unused(name, value, part, table["kind"])
        found[part] = table
    return found


def _check_unused(name: str, value: Any, part: str, kind: str) -> None:
    """ConfigError for an option with a value out of range, or that this kind does not have."""
    new = MOVED[name][1]
    next(made for made in PARTS[part].values() if new in made.__dataclass_fields__)(**{new: value})
    if name == "label_smoothing" and value:
        raise ConfigError(
            f'Retrieval got label_smoothing with loss="{kind}"; only Softmax has it.',
            hint="leave label_smoothing out, or use loss=sl.Softmax(label_smoothing=...)",
        )


def takes_old_names(retrieval: type[T]) -> type[T]:
    """``Retrieval`` as it is, made from the old options too, with a DeprecationWarning that says how to write them now."""
    made: Callable[..., None] = retrieval.__init__
    names = [field.name for field in fields(retrieval)]  # type: ignore[arg-type]

    @functools.wraps(made)
    def with_old_names(self: T, *given: Any, **options: Any) -> None:
        named = {**dict(zip(names, given, strict=False)), **options}
        old = {
            name: value for name, value in named.items() if name in MOVED or (isinstance(value, str) and name in PARTS)
        }
        if not old:
            made(self, *given, **options)
            return
        tables = in_tables(named)
        parts = {part: from_table(part, tables[part]) for part in PARTS if isinstance(tables.get(part), Mapping)}
        deprecated(f"Retrieval({_shown(old)})", f"Retrieval({_shown(parts)})")
        made(self, **{**tables, **parts})

    retrieval.__init__ = with_old_names  # type: ignore[method-assign, assignment]
    return retrieval


def _shown(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_written(value)}" for name, value in options.items())


def _written(value: Any) -> str:
    """A value object as Python code, with the options that differ from the defaults."""
    if not hasattr(value, "__dataclass_fields__"):
        return repr(value)
    usual = asdict(type(value)())
    changed = {name: each for name, each in asdict(value).items() if each != usual[name]}
    return f"sl.{type(value).__name__}({_shown(changed)})"
