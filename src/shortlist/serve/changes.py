"""All changes since the bundle was made: the latest state of each candidate, and what queries chose."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import polars as pl

from shortlist.data.ids import frame_of
from shortlist.errors import DataError
from shortlist.recommender.live import changed, with_texts
from shortlist.recommender.served import Served
from shortlist.serve.events import Events
from shortlist.serve.kept import Kept, Sizes, in_parts, width_of
from shortlist.serve.replay import Replay

__all__ = ["Changes", "Foreseen", "column_of", "is_time", "table_of"]

NAMED = 4096  # changes with a name that are known again, the latest
PART = 1000  # entries of one record of a shortened log: about a millisecond of work
STALE = 1000  # times in the queue of expiries that may no longer count


class Changes:
    """Applies the log's records in their order, and brings the result onto any bundle.

    A record is ``{"op": "change", "at", "upsert", "delete", "expire"}`` or ``{"op": "events", "at", "events"}``. One
    that was sent by another process has a ``name`` of its own and its ``outcome``, so that a second sending is
    recognised.

    Args:
        events: where choices are kept.

    Attributes:
        outcomes: outcomes of the latest changes with a name.
        kept: the bytes that are kept, choices of queries left out.
        id_column: of the candidates.
        upserted: whether any record had rows, with their ids in ``id_column``.
    """

    def __init__(self, events: Events) -> None:
        self.events = events
        self._rows: dict[Any, dict[str, Any]] = {}  # columns that were sent, by candidate; a row never changes
        self._deleted: dict[Any, None] = {}  # deleted at some time: the bundle's row does not count
        self._expiries: dict[Any, float] = {}
        self._queue: list[tuple[float, int, Any]] = []  # times and their candidates: a heap
        self._queued = 0
        self.outcomes: dict[str, Any] = {}
        self.kept = Kept()
        self.id_column = ""
        self.upserted = False

    def apply(self, record: Mapping[str, Any], pause: Callable[[], object] = lambda: None) -> None:
        """Apply the next record of the log.

        Args:
            record: of the log.
            pause: called between some of its entries.
        """
        self._apply(record, pause)
        for one in in_parts(record.get("events", ()), pause):
            self.events.add(one["query"], one["candidate"], one["at"])

    def apply_all(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Apply the next records of the log; as ``apply`` for each, but choices together."""
        replay = Replay(self.events)
        for record in records:
            self._apply(record)
            if record["op"] == "events":
                replay.add(record["events"])
        replay.finish()

    def _apply(self, record: Mapping[str, Any], pause: Callable[[], object] = lambda: None) -> None:
        """Apply a record without its choices, which nothing else depends on."""
        if self._queue and self._queue[0][0] <= record["at"]:
            self.expired(float(record["at"]))
        if "name" in record:
            self._named({record["name"]: record.get("outcome")})
        if "named" in record:
            self._named(record["named"])
        if record["op"] == "events":
            return
        self.upserted = self.upserted or bool(record["upsert"])
        sizes = Sizes(pause)
        for row in in_parts(record["upsert"], pause):
            one = row[self.id_column]
            before = self._rows.get(one)
            if before is None:
                self._count(one)
                self._rows[one] = row
                self.kept.add_bytes(sizes.of(row))
            else:
                self._rows[one] = after = {**before, **row}
                self.kept.add_bytes(sizes.of(after) - sizes.of(before))
            self._expiries.pop(one, None)
        for one in in_parts(record["delete"], pause):
            self._forget(one, sizes)
        for expiry in in_parts(record["expire"], pause):
            self._expire_at(expiry["id"], float(expiry["at"]))

    def _named(self, outcomes: Mapping[str, Any]) -> None:
        self.outcomes.update(outcomes)
        while len(self.outcomes) > NAMED:
            del self.outcomes[next(iter(self.outcomes))]

    def use_bundle(self, served: Served) -> None:
        """Let the changes be about another bundle's candidates."""
        self.id_column, self.kept.width = served.state.candidate, width_of(served)

    def keeps(self, one: Any) -> bool:
        """Whether anything is kept of a candidate; what is deleted stays deleted, so it is for good."""
        return one in self._rows or one in self._deleted or one in self._expiries

    def row(self, one: Any) -> Mapping[str, Any] | None:
        """The columns that are kept of a candidate; None where there are none."""
        return self._rows.get(one)

    def _count(self, one: Any) -> None:
        if not self.keeps(one):
            self.kept.add(one)

    def _expire_at(self, one: Any, at: float) -> None:
        self._count(one)
        self._expiries[one] = at
        self._queued += 1
        heapq.heappush(self._queue, (at, self._queued, one))
        if len(self._queue) > STALE + 2 * len(self._expiries):  # mostly times that no longer count
            self._queue = [(at, number, one) for number, (one, at) in enumerate(self._expiries.items())]
            heapq.heapify(self._queue)

    def expired(self, now: float) -> list[Any]:
        """Candidates whose time is up; they count as deleted from here on."""
        due, sizes = [], Sizes()
        while self._queue and self._queue[0][0] <= now:
            at, _, one = heapq.heappop(self._queue)
            if self._expiries.get(one) == at:
                due.append(one)
                self._forget(one, sizes)
        return due

    def _forget(self, one: Any, sizes: Sizes) -> None:
        self._count(one)
        self.kept.add_bytes(-sizes.of(self._rows.pop(one, None)))
        self._expiries.pop(one, None)
        self._deleted[one] = None

    @property
    def next_expiry(self) -> float | None:
        """The time at which the next candidate expires."""
        while self._queue and self._expiries.get(self._queue[0][2]) != self._queue[0][0]:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    @property
    def size(self) -> int:
        """Rows, deletions, expiries and events that the shortest log would hold."""
        return len(self._rows) + len(self._deleted) + len(self._expiries) + self.events.count

    def onto(self, served: Served) -> Served:
        """``served``, which has none of the changes, with all of them, ready for more.

        Raises:
            DataError: when they do not fit it.
        """
        served = with_texts(served)
        if self._deleted:
            served = changed(served, None, list(self._deleted))
        columns = set(served.state.candidates.columns)
        rows = [{name: value for name, value in row.items() if name in columns} for row in self._rows.values()]
        if not rows:
            return served
        table, given = table_of(rows, served.state.candidates.schema)
        return changed(served, table, given=given)

    def copied(self) -> Changes:
        """The changes so far; later ones leave the copy as it is."""
        copy = Changes(self.events.copied())
        copy.id_column, copy.outcomes, copy.kept = self.id_column, dict(self.outcomes), self.kept.copied()
        copy._rows, copy._deleted, copy._expiries = dict(self._rows), dict(self._deleted), dict(self._expiries)
        return copy

    def records(self) -> Iterator[dict[str, Any]]:
        """A log, as short as can be, with the same result: records of at most ``PART`` entries."""
        change = {"op": "change", "at": 0.0, "upsert": [], "delete": [], "expire": []}
        for deleted in _parts(self._deleted):
            yield {**change, "delete": deleted}
        for rows in _parts(self._rows.values()):
            yield {**change, "upsert": rows}
        for expire in _parts({"id": one, "at": at} for one, at in self._expiries.items()):
            yield {**change, "expire": expire}
        for chosen in _parts({"query": one, "candidate": other, "at": at} for one, other, at in self.events.all()):
            yield {"op": "events", "at": 0.0, "events": chosen}
        for named in _parts(self.outcomes):
            yield {"op": "events", "at": 0.0, "events": [], "named": {name: self.outcomes[name] for name in named}}


class Foreseen:
    """Expiries as they will be once some records are applied.

    Args:
        changes: to which they are not applied yet.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._at: dict[
            Any, float | None
        ] = {}  # of candidates that the records name; None for one that has none any more
        self._queue: list[tuple[float, int, Any]] = []  # as that of the changes
        self._queued = 0

    def overdue(self, now: float) -> list[Any]:
        """Candidates whose time is up by then, as ``Changes.expired`` will find them."""
        own, changes = self._at, self._changes
        due = [one for at, _, one in _due(self._queue, now) if own.get(one) == at]
        due += [one for at, _, one in _due(changes._queue, now) if one not in own and changes._expiries.get(one) == at]
        return due

    def add(self, record: Mapping[str, Any], pause: Callable[[], object] = lambda: None) -> None:
        """Add the next record.

        Args:
            record: of the log.
            pause: called between some of its entries.
        """
        own, expiries, now = self._at, self._changes._expiries, float(record["at"])
        own.update(dict.fromkeys(self.overdue(now)))
        while self._queue and self._queue[0][0] <= now:
            heapq.heappop(self._queue)
        if record["op"] == "events":
            return
        if own or expiries:
            for row in in_parts(record["upsert"], pause):
                own[row[self._changes.id_column]] = None
            for one in in_parts(record["delete"], pause):
                own[one] = None
        for expiry in in_parts(record["expire"], pause):
            own[expiry["id"]] = at = float(expiry["at"])
            self._queued += 1
            heapq.heappush(self._queue, (at, self._queued, expiry["id"]))


def _due(queue: Sequence[tuple[float, int, Any]], now: float) -> Iterator[tuple[float, int, Any]]:
    """The entries of a heap up to a time; it stays as it is."""
    places = [0]
    while places:
        place = places.pop()
        if place < len(queue) and queue[place][0] <= now:
            yield queue[place]
            places += (2 * place + 1, 2 * place + 2)


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(values)
    while part := list(islice(left, PART)):
        yield part


def table_of(
    rows: Sequence[Mapping[str, Any]], schema: Mapping[str, pl.DataType], pause: Callable[[], object] = lambda: None
) -> tuple[pl.DataFrame, dict[str, list[bool]]]:
    """Rows from JSON as one table in the schema's types.

    Args:
        rows: of the candidates.
        schema: of the catalogue.
        pause: called between parts of the work.

    Returns:
        The table, and for each column that not all rows have, which of them have it.

    Raises:
        DataError: for values that do not fit; it names their column.
    """
    names = list(dict.fromkeys(name for row in in_parts(rows, pause) for name in row))
    columns, given = [], {}
    for name in names:
        pause()
        values = [row.get(name) for row in rows]
        pause()
        columns.append(column_of(name, values, schema))
        pause()
        given[name] = [name in row for row in rows]
    pause()
    return frame_of(columns), {name: mask for name, mask in given.items() if not all(mask)}


def is_time(kind: pl.DataType) -> bool:
    """Whether values of a column, or members of its lists, are dates or times, which are sent as texts."""
    inner = kind.inner if isinstance(kind, (pl.List, pl.Array)) else kind
    return inner in (pl.Date, pl.Time) or isinstance(inner, pl.Datetime)


def column_of(name: str, values: Sequence[Any], schema: Mapping[str, pl.DataType]) -> pl.Series:
    """Values from JSON as a column of the catalogue.

    Raises:
        DataError: for values that do not fit it.
    """
    kind = schema.get(name)
    if kind is None:
        raise DataError("the candidates have no such column.", hint=f"columns: {', '.join(schema)}")
    kinds = set(map(type, values)) - {type(None)}
    try:
        if kinds == {str} and kind != pl.String:
            return pl.Series(name, values, pl.String)  # dates and words: the recommender reads them
        if kind.is_float() and kinds <= {int, float}:
            return pl.Series(name, [None if value is None else float(value) for value in values], kind)
        if kinds and ((bool in kinds) != (kind == pl.Boolean) or is_time(kind)):  # Polars takes a number for days or µs
            raise TypeError
        return pl.Series(name, values, kind, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        raise DataError(f"column {name!r} takes {kind}.") from None
