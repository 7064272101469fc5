"""Cells of a change that do not fit the catalogue: found column by column, without embedding anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from shortlist.errors import MissingExtraError, ShortlistError
from shortlist.recommender.cells import misfits
from shortlist.recommender.live import as_stored
from shortlist.recommender.served import Served
from shortlist.serve.changes import column_of, is_time
from shortlist.serve.problems import Problem
from shortlist.serve.reading import NAMED

__all__ = ["check_types", "misfit"]

ROWS = 1000  # whose columns are looked at between two pauses, in half a millisecond


def misfit(
    served: Served, rows: Sequence[Mapping[str, Any]], error: ShortlistError, pause: Callable[[], object]
) -> Problem:
    """The problem of candidates that do not fit ``served``: all such cells, up to a bound, by row and column.

    Values are not repeated.

    Args:
        served: the catalogue.
        rows: the candidates.
        error: what was raised for them.
        pause: called between steps.
    """
    if isinstance(error, MissingExtraError):
        return Problem(
            501, "this bundle cannot embed candidates here.", "$.upsert", hint="run `shortlist export` on it first"
        )
    pause()
    return _problem(served, rows, served.embedder.columns("candidate").check, pause) or Problem(
        422,
        "the change does not fit the catalogue.",
        "$",
        hint="send values of the catalogue's types: GET /v1/candidates shows some",
    )


def check_types(served: Served, rows: Sequence[Mapping[str, Any]], pause: Callable[[], object]) -> None:
    """Check candidates' values against the types of their columns, before they wait for anything; no tower is built for it.

    Args:
        served: the catalogue.
        rows: the candidates.
        pause: called between steps.

    Raises:
        Problem: as ``misfit`` has it.
    """
    problem = _problem(served, rows, lambda values: None, pause)
    if problem is not None:
        raise problem


def _problem(
    served: Served,
    rows: Sequence[Mapping[str, Any]],
    further: Callable[[pl.Series], object],
    pause: Callable[[], object],
) -> Problem | None:
    """The problem of cells that do not fit; None where all do.

    Args:
        further: checks a column in the catalogue's type; raises ShortlistError.
    """
    schema = served.state.candidates.schema
    strange: list[str] = []
    for number, row in enumerate(rows):
        if number % ROWS == 0:
            pause()
        if len(strange) < NAMED and not row.keys() <= schema.keys():
            strange.append(f"$.upsert[{number}]")
    if strange:
        known = f"columns: {', '.join(schema)}"
        return Problem(422, "the catalogue has no such column.", strange[0], hint=known, fields=strange)
    wrong = _wrong(schema, rows, further, pause)
    if not wrong:
        return None
    names = list(dict.fromkeys(name for _, name in wrong))
    takes = [f"{name} takes {schema[name]}" for name in names]
    fields = [f"$.upsert[{number}].{name}" for number, name in wrong]
    return Problem(
        422,
        f"values do not fit their columns: {', '.join(takes)}.",
        fields[0],
        fields=fields,
        hint="send dates and times as 2020-01-31T12:00:00, other values in their own type"
        if any(is_time(schema[name]) for name in names)
        else "send values of those types",
    )


def _wrong(
    schema: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    further: Callable[[pl.Series], object],
    pause: Callable[[], object],
) -> list[tuple[int, str]]:
    """Rows and columns of cells that do not fit, at most ``NAMED``, by row."""
    wrong: list[tuple[int, str]] = []
    for name, kind in schema.items():
        pause()
        numbers = [number for number, row in enumerate(rows) if name in row]
        pause()
        values = [rows[number][name] for number in numbers]

        def check(some: Sequence[Any], name: str = name, kind: Any = kind) -> None:
            pause()
            column = column_of(name, some, schema)
            pause()
            further(as_stored(column, kind))

        if values and len(wrong) < NAMED:
            wrong += [(numbers[place], name) for place in misfits(values, check, NAMED - len(wrong))]
    return sorted(wrong)
