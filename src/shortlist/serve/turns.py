"""One thread for all work that is too long for the event loop, and lanes that take turns in it."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from shortlist.serve.clock import Work, clock_of_this_thread
from shortlist.serve.freeing import Freeing

__all__ = ["TURN", "Lane", "Turns"]

TURN = 0.01  # seconds that one turn is to take
PATIENCE = 0.0025  # seconds for which the thread lets the event loop go first, each time
SHARE = 0.25  # of the time of small work, that other work may take while small work waits
DEBT = TURN / 2  # seconds by which it may have taken more, before it lets small work have several turns
LATELY = 0.1  # seconds since a small request was last answered, in which another one is expected

T = TypeVar("T")


class Lane(IntEnum):
    """Requests of one turn, requests of several, and conditions on candidates."""

    SMALL = 0
    LARGE = 1
    FILTERS = 2


class _Task(NamedTuple):
    begin: Callable[[], Callable[[], Any] | None]
    future: asyncio.Future[Any]
    due: float = 0.0


class Turns:
    """Work in turns of about ``TURN`` seconds each, one at a time.

    ``Lane.SMALL`` has every other turn while anything waits there, so that work of one turn waits for one turn of
    others; and more turns, where those of others are longer: while it waits, others have ``SHARE`` of its time. The other
    lanes share the rest. Within a lane, tasks have their turns in the order of arrival; one that
    needs several goes back to the end, so that requests of one lane advance together. A task with a time at which it is
    due has its turn before those that are due later.

    Attributes:
        loop_clock: the clock of the event loop's processor time; None before it has answered anything.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="answer")
        self._thread.submit(int).result()  # started now: later there may be no room for a thread
        self._lanes: dict[Lane, deque[_Task]] = {lane: deque() for lane in Lane}
        self._last = Lane.FILTERS  # whose turn it was
        self._other = Lane.FILTERS  # and among the lanes that are not small
        self._running = False
        self._seconds = 0.0  # that the last turn took
        self._debt = 0.0  # seconds that others took while small work waited, beyond their share
        self._free = threading.Event()  # whether the event loop has nothing to answer itself
        self._free.set()
        self._loop_answered = -1.0  # when it last answered something
        self._small_answered = -1.0  # when a small request last had its turn
        self._quick = 0  # requests that it answers itself
        self._loop = 0  # the ident of its thread
        self.loop_clock: int | None = None
        self._freeing = Freeing(self._thread, self.yield_to_loop, lambda: self._running)

    def enter(self) -> None:
        """The event loop answers another request itself: the thread stays out of its way."""
        self._quick += 1
        if self._quick == 1:
            if self._loop != threading.get_ident():
                self._loop, self.loop_clock = threading.get_ident(), clock_of_this_thread()
            self._free.clear()

    def leave(self) -> None:
        """One of them is answered, or waits for something else."""
        self._quick -= 1
        if not self._quick:
            self._free.set()

    @contextlib.contextmanager
    def off_loop(self) -> Iterator[None]:
        """While a request waits for something else than the event loop."""
        self.leave()
        try:
            yield
        finally:
            self.enter()

    def loop_answers(self) -> None:
        """The event loop answers something itself now."""
        self._loop_answered = time.perf_counter()

    @property
    def others_lately(self) -> bool:
        """Whether the event loop answers something itself now and then, or ``Lane.SMALL`` has turns."""
        return time.perf_counter() - max(self._loop_answered, self._small_answered) < LATELY

    def yield_to_loop(self) -> float:
        """Let the event loop go first, in another thread: both would wait for each other many times.

        To be called after about a millisecond of work. On the loop itself it does nothing.

        Returns:
            The seconds waited.
        """
        if self._free.is_set() or threading.get_ident() == self._loop:
            return 0.0
        begun = time.perf_counter()
        self._free.wait(PATIENCE)
        return time.perf_counter() - begun

    def waiting(self, lane: Lane) -> int:
        """Tasks of a lane that wait for their turn."""
        return len(self._lanes[lane])

    @property
    def running(self) -> bool:
        """Whether somebody has its turn."""
        return self._running

    @property
    def others(self) -> bool:
        """Whether anything but small requests has turns."""
        return (self._running and self._last != Lane.SMALL) or any(
            self._lanes[lane] for lane in Lane if lane != Lane.SMALL
        )

    async def take(self, lane: Lane, work: Callable[[], T], due: float = 0.0) -> T:
        """The value of ``work``, done in the thread at its turn; for a request."""
        with self.off_loop():
            return await self.take_prepared(lane, lambda: work, due)  # type: ignore[no-any-return]

    async def take_prepared(self, lane: Lane, begin: Callable[[], Callable[[], Any] | None], due: float = 0.0) -> Any:
        """The value of the work that ``begin``, called on the loop at its turn, gives; None if it gives none."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        bisect.insort(self._lanes[lane], _Task(begin, future, due), key=lambda task: task.due)
        self._next()
        return await future

    def _next(self) -> None:
        """Give the next turn, unless one is being taken."""
        while not self._running:
            lane = self._chosen()
            if lane is None:
                return
            task = self._lanes[lane].popleft()
            if task.future.done():  # nobody waits for it any more
                continue
            self._last = lane
            if lane == Lane.SMALL:
                self._small_answered = time.perf_counter()
            try:
                work = task.begin()
                if work is None:
                    task.future.set_result(None)
                    continue
                done = asyncio.get_running_loop().run_in_executor(self._thread, self._outcome, work)
            except BaseException as error:
                task.future.set_exception(_raisable(error))
                continue
            self._running = True
            done.add_done_callback(lambda done, future=task.future: self._done(done, future))  # type: ignore[misc]

    def _done(self, done: asyncio.Future[Any], future: asyncio.Future[Any]) -> None:
        self._running = False
        if not self._lanes[Lane.SMALL]:
            self._debt = 0.0
        elif self._last == Lane.SMALL:
            self._debt = max(0.0, self._debt - SHARE * self._seconds)
        else:
            self._debt += self._seconds
        if not future.done():
            if done.cancelled():
                future.cancel()
            else:
                value, error = done.result()
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)
        self._next()

    def _chosen(self) -> Lane | None:
        """The lane whose turn it is."""
        if self._lanes[Lane.SMALL] and (self._last != Lane.SMALL or self._debt > DEBT):
            return Lane.SMALL
        first, second = (Lane.LARGE, Lane.FILTERS) if self._other == Lane.FILTERS else (Lane.FILTERS, Lane.LARGE)
        for lane in (first, second):
            if self._lanes[lane]:
                self._other = lane
                return lane
        return Lane.SMALL if self._lanes[Lane.SMALL] else None

    def _outcome(self, work: Callable[[], Any]) -> tuple[Any, Exception | None]:
        """The work's value, or its error; whatever it raises, the thread continues."""
        self.yield_to_loop()
        begun = Work.now(self.loop_clock)
        try:
            return work(), None
        except BaseException as error:
            return None, _raisable(error)
        finally:
            self._seconds = Work.now(self.loop_clock).since(begun)

    def free(self, held: list[Any]) -> None:
        """Free, in the thread, values that nothing else holds, when nobody has a turn; ``held`` is empty afterwards."""
        with contextlib.suppress(RuntimeError):  # the thread is at its end
            self._freeing.add(held)

    def close(self) -> None:
        """Stop taking turns."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _raisable(error: BaseException) -> Exception:
    """An error that a future can hold, and that ends one request and not the server."""
    return error if isinstance(error, Exception) and not isinstance(error, StopIteration) else RuntimeError(repr(error))
