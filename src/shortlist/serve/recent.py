"""The last changes of a log, for those who follow it: bounded by their number and by their bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["Recent"]

MOST = 512  # changes
SIZE = 16 << 20  # bytes of them, or the last one; as objects they would take ten times as many

_ENCODER = msgspec.msgpack.Encoder()


class Recent:
    """The last changes with a name, encoded."""

    def __init__(self) -> None:
        self._changes: deque[tuple[str, bytes]] = deque()
        self.size = 0  # bytes

    def add(self, record: Mapping[str, Any]) -> msgspec.Raw:
        """Add the next change; of too many, the oldest are dropped.

        Returns:
            It as it goes into a message.
        """
        content = _ENCODER.encode(record)
        self._changes.append((record["name"], content))
        self.size += len(content)
        while len(self._changes) > MOST or (self.size > SIZE and len(self._changes) > 1):
            self.size -= len(self._changes.popleft()[1])
        return msgspec.Raw(content)

    def of(self, names: Sequence[str]) -> list[msgspec.Raw] | None:
        """The changes with these names, as they go into a message; None if one of them is no longer here."""
        if not names:
            return []
        found = dict(self._changes)
        return [msgspec.Raw(found[name]) for name in names] if all(name in found for name in names) else None
