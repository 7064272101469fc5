"""All that changed since the bundle was made, folded: the last word on each candidate, and what queries chose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from shortlist.data.ids import frame_of
from shortlist.errors import DataError
from shortlist.recommender.live import changed
from shortlist.recommender.served import Served
from shortlist.serve.events import Events

__all__ = ["Changes", "frames_of"]

NAMED = 4096  # changes with a name that are known again, the latest


class Changes:
    """Folds the log's records in their order, and brings what is left of them onto any bundle.

    A record is ``{"op": "change", "at", "upsert", "delete", "expire"}`` or ``{"op": "events", "at", "events"}``. One that
    came from another process has a ``name`` of its own and its ``outcome``, so that it is known when it is sent again.

    outcomes: what became of the latest changes with a name.
    """

    def __init__(self, events: Events) -> None:
        self.events = events
        self._rows: dict[Any, dict[str, Any]] = {}  # columns that came, by candidate
        self._gone: dict[Any, None] = {}  # deleted at some time: what the bundle says of them does not count
        self._expiries: dict[Any, float] = {}
        self.outcomes: dict[str, Any] = {}
        self.id_column = ""

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in the next record of the log."""
        self.expired(float(record["at"]))
        if "name" in record:
            self._named({record["name"]: record.get("outcome")})
        self._named(record.get("named", {}))
        if record["op"] == "events":
            for one in record["events"]:
                self.events.add(one["query"], one["candidate"], one["at"])
            return
        for row in record["upsert"]:
            one = row[self.id_column]
            self._rows[one] = {**self._rows.get(one, {}), **row}
            self._expiries.pop(one, None)
        for one in record["delete"]:
            self._forget(one)
        for expiry in record["expire"]:
            self._expiries[expiry["id"]] = expiry["at"]

    def _named(self, outcomes: Mapping[str, Any]) -> None:
        self.outcomes.update(outcomes)
        for name in list(self.outcomes)[: max(0, len(self.outcomes) - NAMED)]:
            del self.outcomes[name]

    def expired(self, now: float) -> list[Any]:
        """Candidates whose time has come; they count as deleted from here on."""
        due = [one for one, at in self._expiries.items() if at <= now]
        for one in due:
            self._forget(one)
        return due

    def _forget(self, one: Any) -> None:
        self._rows.pop(one, None)
        self._expiries.pop(one, None)
        self._gone[one] = None

    @property
    def next_expiry(self) -> float | None:
        """When the next candidate expires."""
        return min(self._expiries.values(), default=None)

    def onto(self, served: Served) -> Served:
        """``served``, which has none of the changes, with all of them. DataError where they do not fit it."""
        if self._gone:
            served = changed(served, None, list(self._gone))
        columns = set(served.state.candidates.columns)
        rows = [{name: value for name, value in row.items() if name in columns} for row in self._rows.values()]
        for frame in frames_of(rows, served.state.candidates.schema):
            served = changed(served, frame)
        return served

    def records(self, now: float) -> list[dict[str, Any]]:
        """A log, as short as can be, that folds to this."""
        gone = list(self._gone)
        expire = [{"id": one, "at": at} for one, at in self._expiries.items()]
        made: list[dict[str, Any]] = []
        if gone:
            made.append({"op": "change", "at": 0.0, "upsert": [], "delete": gone, "expire": []})
        if self._rows or expire:
            made.append(
                {"op": "change", "at": 0.0, "upsert": list(self._rows.values()), "delete": [], "expire": expire}
            )
        chosen = [{"query": one, "candidate": other, "at": at} for one, other, at in self.events.all()]
        if chosen:
            made.append({"op": "events", "at": 0.0, "events": chosen})
        if self.outcomes:
            made.append({"op": "events", "at": 0.0, "events": [], "named": dict(self.outcomes)})
        return made


def frames_of(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, pl.DataType]) -> list[pl.DataFrame]:
    """Rows from JSON as tables in the schema's types, one for each set of columns that rows have.

    Raises DataError that names the column whose values do not fit.
    """
    groups: dict[frozenset[str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(frozenset(row), []).append(row)
    return [
        frame_of([_column(name, [row[name] for row in group], schema) for name in sorted(names)])
        for names, group in groups.items()
    ]


def _column(name: str, values: Sequence[Any], schema: Mapping[str, pl.DataType]) -> pl.Series:
    kind = schema.get(name)
    if kind is None:
        raise DataError("the candidates have no such column.", hint=f"columns: {', '.join(schema)}")
    given = [value for value in values if value is not None]
    try:
        if all(isinstance(value, str) for value in given) and kind != pl.String:
            return pl.Series(name, values, pl.String)  # dates and words: the recommender reads them
        if kind.is_float() and all(type(value) in (int, float) for value in given):
            return pl.Series(name, [None if value is None else float(value) for value in values], kind)
        if any(isinstance(value, bool) for value in given) != (kind == pl.Boolean) and given:
            raise TypeError
        return pl.Series(name, values, kind, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        raise DataError(f"column {name!r} takes {kind}.") from None
