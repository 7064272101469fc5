"""Values of the latest keys, so many at most."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

__all__ = ["Latest"]


class Latest:
    """A mapping that forgets the key that was not asked for the longest time; safe in threads, empty when copied or pickled.

    Args:
        most: keys that it holds.

    Example:
        >>> latest = Latest(2)
        >>> for key in "aba": latest.put(key, key.upper())
        >>> latest.put("c", "C")
        >>> latest.get("a"), latest.get("b"), latest.get("c")
        ('A', None, 'C')
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def __reduce__(self) -> tuple[type[Latest], tuple[int]]:
        return Latest, (self.most,)

    def get(self, key: Any) -> Any:
        """The key's value; None where it has none."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Any, value: Any) -> None:
        """Remember a value."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self.most:
                self._values.popitem(last=False)
