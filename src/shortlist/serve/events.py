"""What queries chose since their bundle was made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

__all__ = ["Events"]

KEPT = 200  # of one query, the latest
QUERIES = 1_000_000  # of which events are kept; those without news for longest go first


class Events:
    """Choices by query. seconds: how long one keeps its candidate out of its query's lists; None for always.

    count: choices that are kept.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._of: dict[
            Any, tuple[Any, ...]
        ] = {}  # candidate, time, candidate, time …: oldest first; never changed in place
        self.count = 0

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, query: Any, candidate: Any, at: float) -> None:
        """A choice; a later one of the same candidate takes the place of an earlier one."""
        chosen = self._of.pop(query, None)
        if chosen is None:
            self._of[query] = (candidate, at)
            self.count += 1
            if len(self._of) > QUERIES:
                self.count -= len(self._of.pop(next(iter(self._of)))) // 2
            return
        candidates = chosen[::2]
        if candidate in candidates:
            place = 2 * candidates.index(candidate)
            chosen = chosen[:place] + chosen[place + 2 :]
        elif len(candidates) >= KEPT:
            chosen = chosen[2:]
        else:
            self.count += 1
        self._of[query] = (*chosen, candidate, at)

    def of(self, query: Any) -> list[Any]:
        """The candidates that a query chose, oldest first."""
        return list(self._of.get(query, ())[::2])

    def excluded(self, query: Any) -> list[Any]:
        """Those that are left out of its lists now."""
        chosen = self._of.get(query, ())
        if self._seconds is None:
            return list(chosen[::2])
        since = time.time() - self._seconds
        return [candidate for candidate, at in zip(chosen[::2], chosen[1::2], strict=True) if at >= since]

    def all(self) -> Iterator[tuple[Any, Any, float]]:
        """Every choice: query, candidate, time."""
        for query, chosen in self._of.items():
            for candidate, at in zip(chosen[::2], chosen[1::2], strict=True):
                yield query, candidate, at

    def copied(self) -> Events:
        """These choices, as they are now."""
        copy = Events(self._seconds)
        copy._of, copy.count = dict(self._of), self.count
        return copy
