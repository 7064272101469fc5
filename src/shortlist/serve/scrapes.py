"""Requests for all metrics: however many ask, they take little of the server's time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["Scrapes"]

SHARE = 0.02  # of the time, for metrics
LONGEST = 1.0  # seconds until the next ones, at most
AT_ONCE = 4  # replies in one turn of the event loop: each takes about as long as an answer


class Scrapes:
    """Answers those who ask while metrics are about to be gathered with one text, gathered after all of them asked.

    After metrics were gathered, the next ones wait for as long that they take no more than ``SHARE`` of the time. Those who
    have waited for one text get it in the order in which they asked, a few in each turn of the event loop.

    Args:
        gather: all metrics as text.
    """

    def __init__(self, gather: Callable[[], Awaitable[bytes]]) -> None:
        self._gather = gather
        self._asking: list[asyncio.Future[bytes]] = []  # those who get the next text
        self._next: asyncio.Task[None] | None = None  # gathers it in its turn
        self._tasks: set[asyncio.Task[None]] = set()  # that one, and those that hand one out
        self._lock = asyncio.Lock()
        self._not_before = 0.0

    async def text(self) -> bytes:
        """All metrics, for a scraper."""
        loop = asyncio.get_running_loop()
        asking: asyncio.Future[bytes] = loop.create_future()
        self._asking.append(asking)
        if self._next is None:
            self._next = loop.create_task(self._gathered())
            self._tasks.add(self._next)
            self._next.add_done_callback(self._tasks.discard)
        return await asking

    async def _gathered(self) -> None:
        loop = asyncio.get_running_loop()
        text, error = b"", None
        async with self._lock:
            if (wait := self._not_before - loop.time()) > 0:
                await asyncio.sleep(wait)
            self._next = None
            asking, self._asking = self._asking, []
            begun = loop.time()
            try:
                text = await self._gather()
            except Exception as raised:
                error = raised
            finally:
                took = loop.time() - begun
                self._not_before = loop.time() + min(LONGEST, took * (1 / SHARE - 1))
        for number, one in enumerate(asking, start=1):
            if not one.done():  # else its scraper has hung up
                one.set_result(text) if error is None else one.set_exception(error)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
