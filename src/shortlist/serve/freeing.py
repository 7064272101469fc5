"""Requests with many values are freed a part at a time: a hundred thousand ids at once would hold up the loop for milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import msgspec

__all__ = ["Freeing", "free"]

VALUES = 2000  # values between two pauses, which take a tenth of a millisecond to free
PART = 20  # of them that a list, a mapping or a struct counts for: to look into one takes as long


class Freeing:
    """Frees in a thread what requests brought, behind all other work of that thread.

    Args:
        thread: has one thread.
        pause: called between two parts.
        wanted: whether the thread has something else to do; then the rest waits for it.

    Attributes:
        behind: whether more was given before all was freed, so that it grows if it always waits.
    """

    def __init__(self, thread: ThreadPoolExecutor, pause: Callable[[], object], wanted: Callable[[], bool]) -> None:
        self._thread, self._pause, self._wanted = thread, pause, wanted
        self._held: list[Any] = []
        self._lock = Lock()
        self._submitted = self.behind = False

    def add(self, held: list[Any]) -> None:
        """Free values that nothing else holds; ``held`` is empty afterwards.

        Raises:
            RuntimeError: when the thread is at its end; they are freed at once.
        """
        with self._lock:
            self._held += held
            held.clear()
            if self._submitted:
                self.behind = True
                return
            self._submitted = True
        self._thread.submit(self._some)

    def _some(self) -> None:
        """Free until the thread has something else to do; the rest has its turn after that."""
        free(self._held, self._pausing)
        with self._lock:
            self._submitted = bool(self._held)
            self.behind = self.behind and self._submitted
            if self._submitted:
                self._thread.submit(self._some)

    def _pausing(self) -> bool:
        self._pause()
        return self._wanted()


def free(held: list[Any], pause: Callable[[], object]) -> None:
    """Free values that nothing else holds, and all that they hold, some at a time.

    Args:
        held: the values; empty afterwards, unless ``pause`` stopped it.
        pause: called between ``VALUES`` of them; a single list or mapping may have more. If it returns something true, the
            rest is left in ``held``.
    """
    values = 0
    while held:
        if values >= VALUES:
            if pause():
                return
            values = 0
        part = held.pop()
        inner = _inner(part)
        values += PART + len(inner)
        held += [one for one in inner if isinstance(one, (list, tuple, dict, msgspec.Struct))]


def _inner(value: Any) -> Any:
    """The values that one holds; none of other types is looked into."""
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()
