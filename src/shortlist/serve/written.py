"""The parts of a reply, written one by one within a bound that counts the bytes themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from shortlist.serve.problems import Problem

__all__ = ["ENCODER", "Written"]

ENCODER = msgspec.json.Encoder()


class Written:
    """Parts of a reply as JSON, by their position in it.

    No more than the bound and one part is ever held, however long the values are.

    Args:
        count: parts.
        most: bytes of all parts together.
    """

    def __init__(self, count: int, most: int) -> None:
        self.parts: list[Any] = [None] * count
        self.size = 0
        self._most = most

    def put(self, place: int, value: Any) -> None:
        """Write a value.

        Raises:
            Problem: beyond the bound.
        """
        text = ENCODER.encode(value)
        self._take(len(text))
        self.parts[place] = msgspec.Raw(text)

    def put_each(self, place: int, values: Iterable[Any], before: bytes, after: bytes) -> None:
        """Write values one by one, with commas between them.

        Raises:
            Problem: as soon as they are beyond the bound.
        """
        texts = []
        self._take(len(before) + len(after))
        for value in values:
            texts.append(ENCODER.encode(value))
            self._take(len(texts[-1]) + 1)
        self.parts[place] = msgspec.Raw(before + b",".join(texts) + after)

    def _take(self, size: int) -> None:
        self.size += size
        if self.size > self._most:
            raise Problem(
                422,
                f"the reply would have more bytes; at most {self._most:,} are sent.",
                "$",
                hint="ask for fewer queries, shorter lists or fewer columns at a time",
            )
