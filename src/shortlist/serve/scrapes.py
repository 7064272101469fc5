"""Requests for all metrics: however many ask, they take little of the server's time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["Scrapes"]

SHARE = 0.02  # of the time, for metrics
LONGEST = 1.0  # seconds until the next ones, at most


class Scrapes:
    """Answers those who ask while metrics are about to be gathered with one text, gathered after all of them asked.

    After metrics were gathered, the next ones wait for as long that they take no more than ``SHARE`` of the time.

    Args:
        gather: all metrics as text.
    """

    def __init__(self, gather: Callable[[], Awaitable[bytes]]) -> None:
        self._gather = gather
        self._next: asyncio.Task[bytes] | None = None  # waits for its turn
        self._lock = asyncio.Lock()
        self._not_before = 0.0

    async def text(self) -> bytes:
        """All metrics, for a scraper."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._gathered())
        return await asyncio.shield(self._next)  # others may wait for it too

    async def _gathered(self) -> bytes:
        loop = asyncio.get_running_loop()
        async with self._lock:
            if (wait := self._not_before - loop.time()) > 0:
                await asyncio.sleep(wait)
            self._next = None
            begun = loop.time()
            try:
                return await self._gather()
            finally:
                took = loop.time() - begun
                self._not_before = loop.time() + min(LONGEST, took * (1 / SHARE - 1))
