"""What queries chose since their bundle was made."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["Events"]

KEPT = 200  # of one query, the latest
QUERIES = 1_000_000  # of which events are kept; those without news for longest go first


class Events:
    """Choices by query. seconds: how long one keeps its candidate out of its query's lists; None for always."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._of: dict[Any, dict[Any, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, query: Any, candidate: Any, at: float) -> None:
        """A choice; a later one of the same candidate takes the place of an earlier one."""
        chosen = self._of.pop(query, {})
        self._of[query] = chosen
        if len(self._of) > QUERIES:
            del self._of[next(iter(self._of))]
        chosen.pop(candidate, None)
        chosen[candidate] = at
        while len(chosen) > KEPT:
            del chosen[next(iter(chosen))]

    def of(self, query: Any) -> list[Any]:
        """The candidates that a query chose, oldest first."""
        return list(self._of.get(query, ()))

    def excluded(self, query: Any) -> list[Any]:
        """Those that are left out of its lists now."""
        chosen = self._of.get(query)
        if not chosen:
            return []
        if self._seconds is None:
            return list(chosen)
        since = time.time() - self._seconds
        return [candidate for candidate, at in list(chosen.items()) if at >= since]

    def all(self) -> list[tuple[Any, Any, float]]:
        """Every choice: query, candidate, time."""
        return [(query, candidate, at) for query, chosen in self._of.items() for candidate, at in chosen.items()]
