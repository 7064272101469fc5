"""A request that no other meets is answered in the turn of the event loop that reads it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from shortlist.serve.batching import LOOKS

__all__ = ["Alone", "begun"]

FEW = 40  # requests in
CROWDED = 0.05  # seconds that are so few that each may be answered in the turn that reads it


class Alone:
    """Finds requests that no other meets, and begins them at once.

    A request needs four or five turns of the event loop: those that arrive meanwhile are answered together with it. Where none
    do, each turn only lets other threads have the interpreter, and the loop waits for it again. So a request is begun in the turn
    that reads it, and others are not waited for, unless requests are many and meet: some have begun in the same turn as another, or in one soon after.

    Attributes:
        answering: whether such a request is being begun.
    """

    def __init__(self) -> None:
        self.answering = False
        self._turns = 0  # for which a request that begins meets another one
        self._met = -CROWDED  # when one last did
        self._begun: deque[float] = deque([-CROWDED] * FEW, FEW)  # when the last ones began

    def begins(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Note that a request begins; whether it is to begin at once."""
        now = time.perf_counter()
        if self._turns:
            self._met = now
        else:
            self._turns = LOOKS
            loop.call_soon(self._next_turn, loop)
        since = now - CROWDED
        crowded = self._met >= since and self._begun[0] >= since
        self._begun.append(now)
        return not crowded and asyncio.current_task(loop) is None

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turns -= 1
        if self._turns:
            loop.call_soon(self._next_turn, loop)

    def task(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task for ``work``, which has been done up to where it first waits, or to its end."""
        self.answering = True
        try:
            return begun(loop, work)
        finally:
            self.answering = False


def begun(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task of a running loop, in none of whose tasks this is called, that has taken its first step.

    Python 3.12 has such tasks. Before, a task asks its loop to call its first step in the next turn; it is called here instead.
    """
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    steps: list[Callable[[], None]] = []

    def call_now(step: Callable[..., None], *arguments: Any, context: Any) -> None:
        steps.append(lambda: context.run(step, *arguments))

    loop.call_soon = call_now  # type: ignore[assignment,method-assign]
    try:
        task = asyncio.Task(work, loop=loop)
    finally:
        del loop.call_soon
    for step in steps:
        step()
    return task
