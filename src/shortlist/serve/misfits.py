"""Cells of a change that do not fit the catalogue: found column by column, without embedding anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shortlist.errors import MissingExtraError, ShortlistError
from shortlist.recommender.cells import misfits
from shortlist.recommender.live import as_stored
from shortlist.recommender.served import Served
from shortlist.serve.changes import column_of, is_time
from shortlist.serve.problems import Problem
from shortlist.serve.reading import NAMED

__all__ = ["misfit"]


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
    schema = served.state.candidates.schema
    pause()
    strange = [f"$.upsert[{number}]" for number, row in enumerate(rows) if not row.keys() <= schema.keys()][:NAMED]
    if strange:
        known = f"columns: {', '.join(schema)}"
        return Problem(422, "the catalogue has no such column.", strange[0], hint=known, fields=strange)
    wrong = _wrong(served, rows, pause)
    if not wrong:
        return Problem(
            422,
            "the change does not fit the catalogue.",
            "$",
            hint="send values of the catalogue's types: GET /v1/candidates shows some",
        )
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


def _wrong(served: Served, rows: Sequence[Mapping[str, Any]], pause: Callable[[], object]) -> list[tuple[int, str]]:
    """Rows and columns of cells that do not fit, at most ``NAMED``, by row."""
    schema, features = served.state.candidates.schema, served.embedder.columns("candidate")
    wrong: list[tuple[int, str]] = []
    for name, kind in schema.items():
        pause()
        numbers = [number for number, row in enumerate(rows) if name in row]
        values = [rows[number][name] for number in numbers]

        def check(some: Sequence[Any], name: str = name, kind: Any = kind) -> None:
            pause()
            features.check(as_stored(column_of(name, some, schema), kind))

        if values and len(wrong) < NAMED:
            wrong += [(numbers[place], name) for place in misfits(values, check, NAMED - len(wrong))]
    return sorted(wrong)
