"""Many choices at once, as a log has them: the same result as one after the other, without a look-up for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from shortlist.serve.events import Events

__all__ = ["Replay"]

PART = 8192  # choices that are held as they are, before they become columns
BLOCK = 1 << 22  # choices that are sorted together
COLUMNS = ("query", "candidate", "at")
KINDS = {int: pl.Int64, str: pl.String, float: pl.Float64}


class Replay:
    """Adds choices to ``events``, many at a time.

    1. Choices become columns of query, candidate and time, in their order.
    2. Of a query's choices of one candidate the last counts. Queries get all theirs at once, in the order of their last
       choices.

    Choices whose ids have several types are added one by one, and so are all where there are more queries than are kept.

    Args:
        events: where choices are kept.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._held: list[Mapping[str, Any]] = []
        self._parts: list[pl.DataFrame] = []
        self._count = 0

    def add(self, chosen: Sequence[Mapping[str, Any]]) -> None:
        """Record choices, each a ``query``, a ``candidate`` and a time ``at``; they count after ``finish``."""
        self._held += chosen
        if len(self._held) >= PART:
            self._hold_columns()
        if self._count >= BLOCK:
            self.finish()

    def finish(self) -> None:
        """Let all choices recorded so far count."""
        if self._held:
            self._hold_columns()
        if self._parts:
            frame, self._parts, self._count = pl.concat(self._parts), [], 0
            self._add_all(frame)

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

    def _add_all(self, frame: pl.DataFrame) -> None:
        if not self._events.has_room(frame["query"].n_unique()):
            for query, candidate, at in frame.iter_rows():
                self._events.add(query, candidate, at)
            return
        frame = frame.with_row_index("row").unique(["query", "candidate"], keep="last")
        frame = frame.with_columns(last=pl.col("row").max().over("query")).sort("last", "row")
        starts = np.flatnonzero(np.diff(frame["last"].to_numpy().astype(np.int64), prepend=-1))
        pairs: list[Any] = [None] * (2 * len(frame))
        pairs[::2], pairs[1::2] = frame["candidate"].to_list(), frame["at"].to_list()
        queries, bounds = frame["query"].gather(starts).to_list(), [*(2 * starts).tolist(), len(pairs)]
        for query, start, stop in zip(queries, bounds, bounds[1:], strict=False):
            self._events.extend(query, pairs[start:stop])


def _columns(chosen: Sequence[Mapping[str, Any]]) -> pl.DataFrame | None:
    """Choices as columns; None where the values of one have several types, or are too large."""
    columns = []
    for name in COLUMNS:
        values = [one[name] for one in chosen]
        kinds = set(map(type, values))
        if len(kinds) > 1 or not kinds <= KINDS.keys():
            return None
        try:
            columns.append(pl.Series(name, values, KINDS[kinds.pop()]))
        except (OverflowError, TypeError):  # an integer beyond 64 bits
            return None
    return pl.DataFrame(columns)
