"""The candidates that queries chose since their bundle was made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

__all__ = ["Events"]

KEPT = 200  # of one query, the latest
QUERIES = 1_000_000  # the most queries kept; the one that has not chosen for longest is dropped first
FEW = 8  # candidates of a query that are kept in a tuple, which takes a third of the room

_Chosen = tuple[Any, ...] | dict[Any, float]  # candidate, time, candidate, time …; or times by candidate; oldest first


class Events:
    """Choices by query.

    Args:
        seconds: how long a choice keeps its candidate out of its query's lists; None for always.

    Attributes:
        count: choices that are kept.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._of: dict[Any, _Chosen] = {}
        self._shared: set[Any] | None = None  # queries whose choices a copy no longer has; None without a copy
        self.count = 0

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, query: Any, candidate: Any, at: float) -> None:
        """Record a choice; a later one of the same candidate replaces an earlier one."""
        chosen = self._of.pop(query, None)
        if chosen is None:
            self._of[query] = (candidate, at)
            self.count += 1
            if len(self._of) > QUERIES:
                self.count -= len(_pairs(self._of.pop(next(iter(self._of)))))
            return
        if type(chosen) is tuple:
            if len(chosen) < 2 * FEW and candidate not in chosen[::2]:
                self._of[query] = (*chosen, candidate, at)
                self.count += 1
                return
            chosen = dict(_pairs(chosen))
        elif self._shared is not None and query not in self._shared:
            self._shared.add(query)
            chosen = dict(chosen)
        assert isinstance(chosen, dict)
        if chosen.pop(candidate, None) is None:
            self.count += 1
        chosen[candidate] = at
        if len(chosen) > KEPT:
            del chosen[next(iter(chosen))]
            self.count -= 1
        self._of[query] = chosen if len(chosen) > FEW else tuple(part for pair in chosen.items() for part in pair)

    def has_room(self, queries: int) -> bool:
        """Whether choices of so many more queries fit, so that no other query's are dropped."""
        return len(self._of) + queries <= QUERIES

    def extend(self, query: Any, pairs: list[Any]) -> None:
        """Record choices of one query, as ``add`` does; there has to be room for it.

        Args:
            query: of all of them.
            pairs: candidate, time, candidate, time …, oldest first, each candidate once.
        """
        pairs = pairs[-2 * KEPT :]
        if query in self._of:
            for candidate, at in zip(pairs[::2], pairs[1::2], strict=True):
                self.add(query, candidate, at)
            return
        few = len(pairs) <= 2 * FEW
        self._of[query] = tuple(pairs) if few else dict(zip(pairs[::2], pairs[1::2], strict=True))
        self.count += len(pairs) // 2

    def of(self, query: Any) -> list[Any]:
        """The candidates that a query chose, oldest first."""
        chosen = self._of.get(query)
        return [candidate for candidate, _ in _pairs(chosen)] if chosen else []

    def excluded(self, query: Any) -> list[Any]:
        """The candidates that are left out of a query's lists now."""
        chosen = self._of.get(query)
        if not chosen:
            return []
        since = None if self._seconds is None else time.time() - self._seconds
        return [candidate for candidate, at in _pairs(chosen) if since is None or at >= since]

    def all(self) -> Iterator[tuple[Any, Any, float]]:
        """Every choice: query, candidate, time."""
        for query, chosen in self._of.items():
            for candidate, at in _pairs(chosen):
                yield query, candidate, at

    def copied(self) -> Events:
        """These choices, as they are now."""
        copy = Events(self._seconds)
        copy._of, copy.count = dict(self._of), self.count
        self._shared = set()
        return copy


def _pairs(chosen: _Chosen) -> list[tuple[Any, float]]:
    """Candidates and times; in one step, since another thread may add to them."""
    return list(chosen.items()) if isinstance(chosen, dict) else list(zip(chosen[::2], chosen[1::2], strict=True))
