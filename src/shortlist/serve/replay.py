"""Many choices at once, as a log has them: the same result as one after the other, without a look-up for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.serve.events import TIME, Events

__all__ = ["Replay"]

PART = 8192  # choices that are held as they are, before they become columns
BLOCK = 1 << 22  # choices that are sorted together
BLOCK_BYTES = 1 << 28  # of their columns
AT_ONCE = 1 << 16  # of them become objects at once
SHARED = 1 << 16  # ids of candidates that are one object each, however often they were chosen
COLUMNS = ("query", "candidate", "at")
KINDS = {int: (pl.Int64, pl.UInt64), str: (pl.String,), float: (pl.Float64,)}


class Replay:
    """Adds choices to ``events``, many at a time.

    1. Choices become columns of query, candidate and time, in their order.
    2. Of a query's choices of one candidate the last counts. Queries get all theirs at once, in the order of their last
       choices. A candidate's id is one object for all that chose it.

    Choices whose ids have several types are added one by one, and so are all where there may be more queries or bytes than are
    kept.

    Args:
        events: where choices are kept.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._held: list[Mapping[str, Any]] = []
        self._parts: list[pl.DataFrame] = []
        self._count = self._size = 0
        self._ids: dict[Any, Any] = {}

    def add(self, chosen: Sequence[Mapping[str, Any]]) -> None:
        """Record choices, each a ``query``, a ``candidate`` and a time ``at``; they count after ``finish``."""
        self._held += chosen
        if len(self._held) >= PART:
            self._hold_columns()
        if self._count >= BLOCK or self._size >= BLOCK_BYTES:
            self.finish()

    def finish(self) -> None:
        """Let all choices recorded so far count."""
        if self._held:
            self._hold_columns()
        if self._parts:
            parts, self._parts, self._count, self._size = self._parts, [], 0, 0
            self._add_all(pl.concat(parts))

    def _hold_columns(self) -> None:
        held, self._held = self._held, []
        part = _columns(held)
        if self._parts and (part is None or part.schema != self._parts[0].schema):
            self.finish()
        if part is None:
            for one in held:
                self._events.add(one["query"], one["candidate"], one["at"])
        else:
            self._parts.append(part)
            self._count += len(part)
            self._size += int(part.estimated_size())

    def _add_all(self, frame: pl.DataFrame) -> None:
        asking = _numbers(frame["query"])
        each = np.empty(int(asking.max()) + 1, np.int64)
        each[asking] = np.arange(len(frame))  # a row of each query
        size = _sizes(frame["query"].gather(each)).sum() + _sizes(frame["candidate"]).sum() + TIME * len(frame)
        if not self._events.has_room(len(each), int(size)):
            for query, candidate, at in frame.iter_rows():
                self._events.add(query, candidate, at)
            return
        rows, starts = _order(asking, _numbers(frame["candidate"]))
        queries, begun = frame["query"].gather(rows[starts]), 0
        while begun < len(starts):
            ended = max(begun + 1, int(np.searchsorted(starts, starts[begun] + AT_ONCE)))
            bounds = [*starts[begun:ended].tolist(), int(starts[ended]) if ended < len(starts) else len(rows)]
            part = frame[rows[bounds[0] : bounds[-1]]]
            self._extend(queries[begun:ended], part, [one - bounds[0] for one in bounds])
            begun = ended

    def _extend(self, queries: pl.Series, frame: pl.DataFrame, bounds: list[int]) -> None:
        """Record choices of some queries, each from one bound to the next."""
        pairs: list[Any] = [None] * (2 * len(frame))
        pairs[::2], pairs[1::2] = self._shared(frame["candidate"].to_list()), frame["at"].to_list()
        sizes = np.add.reduceat(_sizes(frame["candidate"]) + TIME, bounds[:-1]).tolist()
        for query, start, stop, size in zip(queries.to_list(), bounds, bounds[1:], sizes, strict=False):
            self._events.extend(query, pairs[2 * start : 2 * stop], size)

    def _shared(self, candidates: list[Any]) -> list[Any]:
        """The same ids, each the object that it was before."""
        if len(self._ids) > SHARED:
            self._ids.clear()
        return [self._ids.setdefault(one, one) for one in candidates]


def _numbers(ids: pl.Series) -> NDArray[np.int64]:
    """A number for each id, from 0, equal for equal ids."""
    return ids.rank("dense").to_numpy().astype(np.int64) - 1


def _sizes(ids: pl.Series) -> NDArray[np.int64]:
    """The bytes of each, as ``size_of`` has them."""
    if ids.dtype != pl.String:
        return np.full(len(ids), 8, np.int64)
    characters, ascii_ = ids.str.len_chars(), ids.str.len_bytes() == ids.str.len_chars()
    return characters.to_numpy().astype(np.int64) * np.where(ascii_.to_numpy(), 1, 4)


def _order(queries: NDArray[np.int64], candidates: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows that count, by query in the order of the queries' last choices; and where each query's begin among them."""
    pairs = queries * (int(candidates.max()) + 1) + candidates
    _, behind = np.unique(pairs[::-1], return_index=True)  # the last of each
    rows = np.sort(len(pairs) - 1 - behind)
    asking = queries[rows]
    last = np.empty(int(queries.max()) + 1, np.int64)
    last[asking] = rows  # the greatest, since rows rise
    order = np.argsort(last[asking], kind="stable")
    rows, asking = rows[order], asking[order]
    return rows, np.flatnonzero(np.diff(asking, prepend=-1))


def _columns(chosen: Sequence[Mapping[str, Any]]) -> pl.DataFrame | None:
    """Choices as columns; None where the values of one have several types, or are too large."""
    columns = []
    for name in COLUMNS:
        values = [one[name] for one in chosen]
        kinds = set(map(type, values))
        if len(kinds) > 1 or not kinds <= KINDS.keys():
            return None
        column = _column(name, values, KINDS[kinds.pop()])
        if column is None:
            return None
        columns.append(column)
    return pl.DataFrame(columns)


def _column(name: str, values: list[Any], kinds: Sequence[type[pl.DataType]]) -> pl.Series | None:
    """Values as a column of the first type that holds them all; None where there is none, as for -1 and 2^63."""
    for kind in kinds:
        with suppress(OverflowError, TypeError):
            return pl.Series(name, values, kind)
    return None
