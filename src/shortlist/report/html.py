"""Small pieces of HTML; every text is escaped here, by ``shortlist.display``."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from shortlist.display import escaped
from shortlist.language import translated

__all__ = ["as_json", "escaped", "hint", "interval", "listed", "paragraph", "share", "table"]


NUMBER = ' class="number"'


def as_json(value: Any) -> str:
    """JSON for a script element: it cannot end the element or open another. NaN becomes null."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), default=str)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]], summary: str | None = None) -> str:
    """A table that can be opened and closed by ``summary`` ("The figures" by default); the first column is each row's head, numbers are aligned right."""
    listed_rows = list(rows)
    numbers = [False, *map(_numeric, listed_rows[-1][1:])] if listed_rows else [False] * len(heads)
    head = "".join(
        f'<th scope="col"{NUMBER if number else ""}>{escaped(one)}</th>'
        for one, number in zip(heads, numbers, strict=True)
    )
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in listed_rows)
    return (
        f"<details><summary>{escaped(translated('The figures') if summary is None else summary)}</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(caption)}">'
        f"<table><caption>{escaped(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        "</div></details>"
    )


def paragraph(text: str) -> str:
    """A paragraph of text."""
    return f"<p>{html.escape(text, quote=False)}</p>"


def hint(text: str) -> str:
    """A paragraph of advice on how to read something."""
    return f"<p class=hint>{html.escape(text, quote=False)}</p>"


def listed(items: Iterable[str], kind: str = "ul") -> str:
    """A list of HTML items."""
    return f"<{kind}>{''.join(f'<li>{item}</li>' for item in items)}</{kind}>"


def share(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.1%}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A share with its 95% interval."""
    known = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
    if not known:
        return share(value)
    return translated("{value} ({low} to {high})", value=share(value), low=f"{low:.1%}", high=f"{high:.1%}")


def _cells(row: Sequence[object]) -> str:
    first, *rest = row
    cells = "".join(f"<td{NUMBER}>{escaped(one)}</td>" if _numeric(one) else f"<td>{escaped(one)}</td>" for one in rest)
    return f'<th scope="row">{escaped(first)}</th>{cells}'


def _numeric(value: object) -> bool:
    return isinstance(value, (int, float)) or str(value)[:1].isdigit() or str(value)[:1] in "+-–−"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value
