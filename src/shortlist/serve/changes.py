"""All that changed since the bundle was made, folded: the last word on each candidate, and what queries chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from shortlist.data.ids import frame_of
from shortlist.errors import DataError
from shortlist.recommender.live import changed
from shortlist.recommender.served import Served
from shortlist.serve.events import Events

__all__ = ["Changes", "column_of", "table_of"]


class Changes:
    """Folds the log's records in their order, and brings what is left of them onto any bundle.

    A record is ``{"op": "change", "at", "upsert", "delete", "expire"}`` or ``{"op": "events", "at", "events"}``.
    """

    def __init__(self, events: Events) -> None:
        self.events = events
        self._rows: dict[Any, dict[str, Any]] = {}  # columns that came, by candidate
        self._gone: dict[Any, None] = {}  # deleted at some time: what the bundle says of them does not count
        self._expiries: dict[Any, float] = {}
        self.id_column = ""

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in the next record of the log."""
        self.expired(float(record["at"]))
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
        if not rows:
            return served
        table, given = table_of(rows, served.state.candidates.schema)
        return changed(served, table, given=given)

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
        return made


def table_of(
    rows: Sequence[Mapping[str, Any]], schema: Mapping[str, pl.DataType]
) -> tuple[pl.DataFrame, dict[str, list[bool]]]:
    """Rows from JSON as one table in the schema's types; and of columns that not all rows have, which have them.

    Raises DataError that names the column whose values do not fit.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [column_of(name, [row.get(name) for row in rows], schema) for name in names]
    given = {name: [name in row for row in rows] for name in names}
    return frame_of(columns), {name: mask for name, mask in given.items() if not all(mask)}


def column_of(name: str, values: Sequence[Any], schema: Mapping[str, pl.DataType]) -> pl.Series:
    """Values from JSON as a column of the catalogue. Raises DataError where they do not fit it."""
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
