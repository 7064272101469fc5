"""The bytes that are kept of changes: what each candidate of them takes, and what further changes would add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import polars as pl

from shortlist.recommender.served import Served
from shortlist.serve.events import size_of
from shortlist.serve.problems import Problem

__all__ = ["Growth", "Kept", "Sizes", "in_parts", "width_of"]

FLAT = 600  # bytes of a candidate that was ever changed: entries of dictionaries, the object of its id, its place in the index
CELL = 80  # bytes of a value: its entry of the row, and its object
MEMBER = 40  # bytes of a value in a list
TWICE = 2  # characters are kept in the changes, and in the candidates' table
VALUES = 2000  # of lists between two pauses, in some tenths of a millisecond
SOME = 200  # entries between two pauses, in some tenths of a millisecond
RETRY_AFTER = 60  # seconds until a refused change is worth another try: somebody has to act


class Kept:
    """The bytes that are kept of changes.

    Attributes:
        width: bytes of any candidate in the index and in the table, see ``width_of``.
    """

    def __init__(self) -> None:
        self._candidates = self._bytes = 0
        self.width = 0

    @property
    def size(self) -> int:
        """The bytes."""
        return self._bytes + self._candidates * (FLAT + self.width)

    def add(self, one: Any) -> None:
        """Count a candidate that nothing was kept of."""
        self._candidates += 1
        self._bytes += size_of(one)

    def add_bytes(self, size: int) -> None:
        """Count columns of a candidate; less than 0 where they are no longer kept."""
        self._bytes += size

    def copied(self) -> Kept:
        """The bytes so far."""
        copy = Kept()
        copy._candidates, copy._bytes, copy.width = self._candidates, self._bytes, self.width
        return copy


class Keeping(Protocol):
    """The parts of all changes so far that ``Growth`` needs."""

    kept: Kept
    id_column: str

    def keeps(self, one: Any) -> bool:
        """Whether anything is kept of a candidate."""

    def row(self, one: Any) -> Mapping[str, Any] | None:
        """The columns that are kept of a candidate."""


class _Part(NamedTuple):
    """The changes that one record would make to the bytes kept."""

    rows: dict[Any, Mapping[str, Any] | None]
    added: set[Any]
    size: int


class Growth:
    """The bytes that will be kept once some records are applied; a record that would keep too many is refused before it is logged.

    Args:
        changes: to which they are not applied yet.
        most: bytes that may be kept; None for any, where another process has looked.
    """

    def __init__(self, changes: Keeping, most: int | None) -> None:
        self._changes = changes
        self._most = most
        self._rows: dict[Any, Mapping[str, Any] | None] = {}  # as they will be, of candidates that the records name
        self._added: set[Any] = set()
        self._size = 0

    def of(self, record: Mapping[str, Any], overdue: Iterable[Any], pause: Callable[[], object]) -> _Part:
        """The changes that the next record makes; they count once they are given to ``add``.

        Args:
            record: of the log.
            overdue: candidates that expire before it.
            pause: called between some of its entries.

        Raises:
            Problem: when it makes what is kept grow beyond the limit.
        """
        part, size, sizes = _Part({}, set(), 0), 0, Sizes(pause)
        if self._most is None:
            return part
        rows = part.rows
        for one in overdue:
            size -= sizes.of(self._row(rows, one))
            rows[one] = None
        for row in in_parts(record.get("upsert", ()), pause):
            one = row.get(self._changes.id_column)  # None where the bundle was replaced meanwhile: it refuses the row
            before = self._row(rows, one)
            if before is None:
                size += self._counted(part, one) + sizes.of(row)
                rows[one] = row
            else:
                rows[one] = after = {**before, **row}
                size += sizes.of(after) - sizes.of(before)
        for one in in_parts(record.get("delete", ()), pause):
            size += self._counted(part, one) - sizes.of(self._row(rows, one))
            rows[one] = None
        for expiry in in_parts(record.get("expire", ()), pause):
            size += self._counted(part, expiry["id"])
        total = self._changes.kept.size + self._size + size
        if size > 0 and total > self._most:
            raise _refused(total, self._most)
        return part._replace(size=size)

    def add(self, part: _Part) -> None:
        """Count a record."""
        self._rows |= part.rows
        self._added |= part.added
        self._size += part.size

    def _row(self, rows: Mapping[Any, Mapping[str, Any] | None], one: Any) -> Mapping[str, Any] | None:
        """A candidate's columns after the records so far, of which ``rows`` are those of the last one."""
        if one in rows:
            return rows[one]
        return self._rows[one] if one in self._rows else self._changes.row(one)

    def _counted(self, part: _Part, one: Any) -> int:
        """The bytes of a candidate that nothing was kept of; 0 for others."""
        if one in part.added or one in self._added or self._changes.keeps(one):
            return 0
        part.added.add(one)
        return FLAT + self._changes.kept.width + size_of(one)


class Sizes:
    """Bytes of candidates' columns.

    Args:
        pause: called after some values, over all rows.
    """

    def __init__(self, pause: Callable[[], object] = lambda: None) -> None:
        self._pause = pause
        self._since = 0

    def of(self, row: Mapping[str, Any] | None) -> int:
        """Bytes of one candidate's columns; 0 for none."""
        if row is None:
            return 0
        size = CELL * len(row)
        for value in row.values():
            kind = type(value)
            if kind is str:  # as ``size_of``, without a call
                size += TWICE * len(value) if value.isascii() else 4 * TWICE * len(value)
            elif kind is list:
                size += self._of_list(value)
        return size

    def _of_list(self, values: Sequence[Any]) -> int:
        size = MEMBER * len(values)
        for start in range(0, len(values), VALUES):
            part = values[start : start + VALUES]
            self._since += len(part)
            if self._since > VALUES:
                self._pause()
                self._since = len(part)
            size += TWICE * sum(map(size_of, part))
        return size


def width_of(served: Served) -> int:
    """Bytes of any candidate, with all columns null, in the index and in the table; of a mixture in those of all towers."""
    widths = map(_width_of_type, served.state.candidates.dtypes)
    return 4 * served.state.dim + sum(widths) + sum(map(width_of, served.others))


def _width_of_type(kind: Any) -> int:
    """Bytes of a null of a type, at most."""
    if isinstance(kind, pl.Array):
        return kind.size * _width_of_type(kind.inner)
    if isinstance(kind, pl.Struct):
        return sum(_width_of_type(field.dtype) for field in kind.fields)
    return 16


def in_parts(entries: Sequence[Any], pause: Callable[[], object]) -> Iterable[Any]:
    """The entries, with a pause before every ``SOME``."""
    for number, entry in enumerate(entries):
        if number % SOME == 0:
            pause()
        yield entry


def _refused(total: int, most: int) -> Problem:
    return Problem(
        503,
        f"the change was not made: the server would keep {total:,} bytes of changes; at most {most:,} were expected.",
        hint="delete candidates that were upserted, raise --max-changes, or start the server on a bundle trained with the "
        "changes and an empty folder of --state",
        retry_after=RETRY_AFTER,
        reason="changes",
    )
