"""Small HTML tables, as notebooks show a value. Every text is escaped here; colours are the notebook's, light or dark."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from shortlist.language import translated

if TYPE_CHECKING:
    import polars as pl

__all__ = ["COLUMNS", "ROWS", "escaped", "facts_html", "frame_html", "table_html"]

ROWS = 20
COLUMNS = 12
WIDTH = 60  # characters of a cell
MEMBERS = 5  # of a list in a cell
LARGE = 100.0  # from which a float needs no four decimals


def escaped(text: object) -> str:
    """Text as HTML."""
    return html.escape(str(text))


def table_html(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]], notes: Iterable[str] = ()) -> str:
    """A table with a line above and notes below; its first 20 rows and 12 columns.

    Args:
        title: text above the table.
        heads: the columns' names.
        rows: a value for each column; no more than 20 are read.
        notes: lines of text below.
    """
    shown = [list(row[:COLUMNS]) for row in islice(rows, ROWS)]
    right = [_are_numbers([row[place] for row in shown]) for place in range(len(heads[:COLUMNS]))]
    head = "".join(_cell("th", name, number) for name, number in zip(heads, right, strict=False))
    body = "".join(
        f"<tr>{''.join(_cell('td', value, number) for value, number in zip(row, right, strict=True))}</tr>"
        for row in shown
    )
    table = f'<table style="margin:0"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>' if heads else ""
    number = f"{len(heads) - COLUMNS:,}"
    more = [translated("{number} more columns", number=number)] if len(heads) > COLUMNS else []
    below = "".join(f'<div style="opacity:0.8">{escaped(note)}</div>' for note in (*more, *notes))
    return (
        f'<div style="overflow-x:auto;max-width:100%;margin:0.5em 0"><div style="font-weight:600">{escaped(title)}</div>'
        f"{table}{below}</div>"
    )


def frame_html(title: str, frame: pl.DataFrame, notes: Iterable[str] = (), *, rows: int = ROWS) -> str:
    """A frame's first rows as a table.

    Args:
        title: text above the table.
        frame: a frame of any size.
        notes: lines of text below.
        rows: how many rows to show, at most 20.
    """
    head = frame.head(min(rows, ROWS))
    numbers = {"number": f"{len(head):,}", "all": f"{len(frame):,}"}
    more = [translated("the first {number} of {all} rows", **numbers)] if len(frame) > len(head) else []
    return table_html(title, frame.columns, head.rows(), (*more, *notes))


def facts_html(title: str, facts: Mapping[str, object], notes: Iterable[str] = ()) -> str:
    """Names and values as a table of two columns.

    Args:
        title: text above the table.
        facts: the values by name.
        notes: lines of text below.
    """
    return table_html(title, ("", " "), list(facts.items()), notes)


def _cell(tag: str, value: Any, right: bool) -> str:
    side = "right" if right else "left"
    return f'<{tag} style="text-align:{side};white-space:nowrap;padding:0.2em 0.6em">{escaped(_text(value))}</{tag}>'


def _text(value: Any) -> str:
    """A cell's text: figures with four decimals, a dash for what is not there, no more than 60 characters."""
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return translated("yes" if value else "no")
    if isinstance(value, float):
        return _figure(value)
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {_text(one)}" for name, one in islice(value.items(), MEMBERS))
    elif isinstance(value, (list, tuple)):
        more = ", …" if len(value) > MEMBERS else ""
        value = ", ".join(map(_text, value[:MEMBERS])) + more
    text = str(value)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _figure(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.1f}" if LARGE <= abs(value) < math.inf else f"{value:.4f}"


def _are_numbers(values: Sequence[Any]) -> bool:
    """Whether a column holds numbers alone, next to nulls."""
    there = [value for value in values if value is not None]
    return bool(there) and all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in there)
