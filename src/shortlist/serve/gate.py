"""A gate: few requests inside at a time, by number and by the bytes that they brought; the others wait as they arrived."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator

__all__ = ["Gate"]


class Gate:
    """Lets requests through in the order of arrival.

    A request that is read takes many times the bytes of its body, so it is read inside.

    Args:
        inside: requests inside.
        size: bytes of their bodies; a longer one comes in alone.
        waiting: requests that wait.
        waiting_size: bytes of their bodies; a longer one waits if no other does.
    """

    def __init__(
        self, inside: int, size: int = sys.maxsize, waiting: int = sys.maxsize, waiting_size: int = sys.maxsize
    ) -> None:
        self._most, self._most_size = inside, size
        self._most_waiting, self._most_waiting_size = waiting, waiting_size
        self.inside = self._size = self._waiting_size = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def full(self, size: int) -> bool:
        """Whether a request with a body of so many bytes can neither come in nor wait."""
        if not self._waiting:
            return not self._most_waiting and not self._fits(size)
        return self.waiting >= self._most_waiting or self._waiting_size + size > self._most_waiting_size

    def _fits(self, size: int) -> bool:
        return self.inside < self._most and (not self.inside or self._size + size <= self._most_size)

    @contextlib.asynccontextmanager
    async def through(self, size: int, wait: contextlib.AbstractContextManager[object]) -> AsyncIterator[None]:
        """Be inside, once it is the turn of a body of so many bytes; ``wait`` is entered where it has to wait."""
        if self._waiting or not self._fits(size):
            await self._turn(size, wait)
        else:
            self._come_in(size)
        try:
            yield
        finally:
            self.inside -= 1
            self._size -= size
            self._let_in()

    async def _turn(self, size: int, wait: contextlib.AbstractContextManager[object]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = size, turn
        self._waiting.append(entry)
        self._waiting_size += size
        try:
            with wait:
                await turn
        except BaseException:
            if not turn.cancelled():  # it was its turn
                self.inside -= 1
                self._size -= size
            elif entry in self._waiting:
                self._waiting.remove(entry)
                self._waiting_size -= size
            self._let_in()
            raise

    def _come_in(self, size: int) -> None:
        self.inside += 1
        self._size += size

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            self._waiting_size -= size
            if not turn.done():  # else it has given up
                self._come_in(size)
                turn.set_result(None)
