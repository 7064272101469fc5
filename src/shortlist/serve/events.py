"""The candidates that queries chose since their bundle was made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

__all__ = ["TIME", "Events", "size_of"]

KEPT = 200  # of one query, the latest
QUERIES = 1_000_000  # the most queries kept; the one that has not chosen for longest is dropped first
BYTES = 1 << 29  # of ids and times, see ``size_of``; beyond them queries are dropped in the same order
TIME = 8  # bytes
NEXT = 500  # queries to drop that are looked up at a time: the first of a dict is found behind all that were dropped before it
FEW = 8  # candidates of a query that are kept in a tuple, which takes a third of the room

_Chosen = tuple[Any, ...] | dict[Any, float]  # candidate, time, candidate, time …; or times by candidate; oldest first


class Events:
    """Choices by query.

    Args:
        seconds: how long a choice keeps its candidate out of its query's lists; None for always.

    Attributes:
        count: choices that are kept.
        size: bytes of their ids and times.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._of: dict[Any, _Chosen] = {}
        self._shared: set[Any] | None = None  # queries whose choices a copy no longer has; None without a copy
        self._next: dict[Any, None] = {}  # the first queries of ``_of``, in the same order, to be dropped next
        self.count = self.size = 0

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, query: Any, candidate: Any, at: float) -> None:
        """Record a choice; a later one of the same candidate replaces an earlier one."""
        chosen = self._of.pop(query, None)
        if self._next:
            self._next.pop(query, None)
        if chosen is None:
            self._of[query] = (candidate, at)
            self._grown(size_of(query) + size_of(candidate) + TIME)
            return
        if type(chosen) is tuple:
            if len(chosen) < 2 * FEW and candidate not in chosen[::2]:
                self._of[query] = (*chosen, candidate, at)
                self._grown(size_of(candidate) + TIME)
                return
            chosen = dict(_pairs(chosen))
        elif self._shared is not None and query not in self._shared:
            self._shared.add(query)
            chosen = dict(chosen)
        assert isinstance(chosen, dict)
        again = chosen.pop(candidate, None) is not None
        chosen[candidate] = at
        if len(chosen) > KEPT:
            oldest = next(iter(chosen))
            del chosen[oldest]
            self.count -= 1
            self.size -= size_of(oldest) + TIME
        self._of[query] = chosen if len(chosen) > FEW else tuple(part for pair in chosen.items() for part in pair)
        if not again:
            self._grown(size_of(candidate) + TIME)

    def _grown(self, size: int) -> None:
        """Count another choice, and drop the queries that have not chosen for longest where there is no room for it."""
        self.count += 1
        self.size += size
        while len(self._of) > QUERIES or (self.size > BYTES and len(self._of) > 1):
            if not self._next:
                self._next = dict.fromkeys(islice(self._of, NEXT))
            query = next(iter(self._next))
            del self._next[query]
            if self._shared is not None:
                self._shared.discard(query)
            pairs = _pairs(self._of.pop(query))
            self.count -= len(pairs)
            self.size -= size_of(query) + _size_of_choices([candidate for candidate, _ in pairs])

    def has_room(self, queries: int, size: int) -> bool:
        """Whether choices of so many more queries fit, so that no other query's are dropped.

        Args:
            queries: how many.
            size: bytes of their ids and times.
        """
        return len(self._of) + queries <= QUERIES and self.size + size <= BYTES

    def extend(self, query: Any, pairs: list[Any], size: int) -> None:
        """Record choices of one query, as ``add`` does; there has to be room for it.

        Args:
            query: of all of them.
            pairs: candidate, time, candidate, time …, oldest first, each candidate once.
            size: bytes of all of them.
        """
        if len(pairs) > 2 * KEPT:
            pairs = pairs[-2 * KEPT :]
            size = _size_of_choices(pairs[::2])
        if query in self._of:
            for candidate, at in zip(pairs[::2], pairs[1::2], strict=True):
                self.add(query, candidate, at)
            return
        few = len(pairs) <= 2 * FEW
        self._of[query] = tuple(pairs) if few else dict(zip(pairs[::2], pairs[1::2], strict=True))
        self.count += len(pairs) // 2
        self.size += size_of(query) + size

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
        copy._of, copy.count, copy.size = dict(self._of), self.count, self.size
        self._shared = set()
        return copy


def size_of(one: Any) -> int:
    """Bytes of an id: 8 of a number, of a text 1 for each character, or 4 where it is not ASCII."""
    if not isinstance(one, str):
        return 8
    return len(one) if one.isascii() else 4 * len(one)


def _size_of_choices(candidates: list[Any]) -> int:
    return sum(map(size_of, candidates)) + TIME * len(candidates)


def _pairs(chosen: _Chosen) -> list[tuple[Any, float]]:
    """Candidates and times; in one step, since another thread may add to them."""
    return list(chosen.items()) if isinstance(chosen, dict) else list(zip(chosen[::2], chosen[1::2], strict=True))
