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

from shortlist.serve.baton import Baton
from shortlist.serve.clock import NO_WORK, Work, clock_of_this_thread
from shortlist.serve.freeing import Freeing

__all__ = ["TURN", "Lane", "Turns", "raisable"]

TURN = 0.01  # seconds that one turn is to take
PATIENCE = 0.0025  # seconds for which the thread lets the event loop go first, each time
WAIT = 0.01  # seconds for which long work waits for a pause of other long work, each time
SHARE = 0.25  # of the time of small work, that other work may take while small work waits
DEBT = TURN / 2  # seconds by which it may have taken more, before it lets small work have several turns
SLICE = 0.001  # seconds of processor time that a turn works before it lets small work go first
WORKED = 0.0005  # seconds that a thread works before it rests, where small requests arrive now and then
REST = 0.0003  # seconds that it rests
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
    interrupts: bool = True


class _Offer(NamedTuple):
    """Small work that the turn of another lane may do at a pause."""

    work: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Turns:
    """Work in turns of about ``TURN`` seconds each, one at a time.

    ``Lane.SMALL`` has every other turn while anything waits there, so that work of one turn waits for one turn of
    others; and more turns, where those of others are longer: while it waits, others have ``SHARE`` of its time. A turn of
    another lane that pauses (``yield_to_loop``) is interrupted after ``SLICE`` for small work that waits, in the same thread: so
    small work waits for a slice, however long the turn is, unless its request brought much. The other lanes share the rest. Within a lane, tasks have their turns in the order of arrival; one that
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
        self._left = 0  # of them, those that leave in its next turn
        self._loop = 0  # the ident of its thread
        self._answering = self._thread.submit(threading.get_ident).result()  # and of the one that has the turns
        self.loop_clock: int | None = None
        self._clocks: list[int] = []  # of the processor time of Python threads next to it
        self._no_small = threading.Event()  # whether no small work waits or has its turn
        self._no_small.set()
        self._baton = Baton(WAIT)  # of the threads that do long work
        self._rested: dict[int, float] = {}  # when each thread last did, by its ident
        self._offers: deque[_Offer] = deque()  # one at most: small work for a pause of the turn
        self._offered = False  # whether there is one, or it is being done
        self._interruptible = False  # whether the turn does small work at its pauses
        self._interrupted = False  # whether it has
        self._resumed = 0.0  # processor time of its thread when it began, or was last interrupted
        self._aside = NO_WORK  # small work and rests, at pauses
        self._freeing = Freeing(self._thread, self.yield_to_loop, self._keeps_from_freeing)

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

    def leave_soon(self) -> None:
        """As ``leave``, in the next turn of the event loop: the reply is written before others are let in."""
        self._left += 1
        if self._left == 1:
            asyncio.get_running_loop().call_soon(self._leave_all)

    def _leave_all(self) -> None:
        left, self._left = self._left, 0
        self._quick -= left - 1
        self.leave()

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
    def loop_answers_some(self) -> bool:
        """Whether the event loop answers some requests itself at the moment."""
        return self._quick > 0

    @property
    def others_lately(self) -> bool:
        """Whether the event loop answers something itself now and then, or ``Lane.SMALL`` has turns."""
        return time.perf_counter() - max(self._loop_answered, self._small_answered) < LATELY

    def add_thread(self) -> None:
        """Called in another thread that works in Python next to this one: its time counts for no request."""
        clock = clock_of_this_thread()
        if clock is not None:
            self._clocks.append(clock)

    def work(self) -> Work:
        """This moment in the work of the thread that has the turns, without what small work and rests take at pauses of others."""
        return Work.now(self.loop_clock, self._clocks).less(self._aside)

    @property
    def interruptions(self) -> float:
        """Seconds by the clock that small work and rests have taken at pauses of others, in all."""
        return self._aside.wall

    def yield_to_loop(self) -> float:
        """Let the event loop go first, in another thread: both would wait for each other many times. Then small work, and other long work.

        To be called after about a millisecond of work. On the loop itself it does nothing. Within the turn of a long
        request small work that waits is done here; another thread waits until it is done. Where small requests arrive now and then,
        long work rests for ``REST`` after ``WORKED``: a loop that wakes finds the core and the interpreter free. The system would let it
        wait for the end of the thread's time on the core, which is milliseconds. Two threads with long work have their turns from pause to pause.

        Returns:
            The seconds waited, without those of small work that was done here, and of rests.
        """
        me = threading.get_ident()
        if me == self._loop:
            return 0.0
        self._baton.pass_on(me)
        waited = _waited_for(self._free)
        if me != self._answering:
            waited += _waited_for(self._no_small)
            self._rest(me)
            return waited + self._take_baton(me)
        if self._interruptible and self._offers and time.thread_time() - self._resumed >= SLICE:
            self._interrupt()
        if (self._interruptible or not self._running) and self._no_small.is_set():
            rested = self._rest(me)
            self._aside = self._aside.plus(Work(rested, 0.0, 0.0))
        if self._last != Lane.SMALL:
            waited += self._take_baton(me)
        return waited

    def _take_baton(self, me: int) -> float:
        """Wait for other long work.

        Returns:
            The seconds waited.
        """
        if self._baton.holder == me:
            return 0.0
        begun = time.perf_counter()
        return time.perf_counter() - begun if self._baton.take(me) else 0.0

    def long_work_done(self) -> None:
        """Called in a thread whose long work is done: other long work need not wait for its next pause."""
        self._baton.put_down(threading.get_ident())

    def _rest(self, me: int) -> float:
        """Do nothing for a moment, if this thread, with this ident, has worked for one and small requests arrive now and then.

        Returns:
            The seconds.
        """
        begun = time.perf_counter()
        if begun - self._rested.get(me, 0.0) < WORKED or not self.others_lately:
            return 0.0
        time.sleep(REST)
        self._rested[me] = time.perf_counter()
        return self._rested[me] - begun

    def _interrupt(self) -> None:
        """Do the small work that is offered, in the turn of other work."""
        try:
            offer = self._offers.popleft()
        except IndexError:
            return
        self._interruptible = False
        begun = Work.now(self.loop_clock, self._clocks)
        try:
            outcome = _outcome(offer.work)
            work = Work.now(self.loop_clock, self._clocks)
        finally:
            self._interruptible = True
        self._aside = self._aside.plus(work.less(begun))
        self._resumed = time.thread_time()
        with contextlib.suppress(RuntimeError):  # the loop is at its end
            offer.loop.call_soon_threadsafe(self._small_done, offer.future, outcome, work.since(begun))

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

    async def take_prepared(
        self, lane: Lane, begin: Callable[[], Callable[[], Any] | None], due: float = 0.0, interrupts: bool = True
    ) -> Any:
        """The value of the work that ``begin``, called on the loop at its turn, gives; None if it gives none.

        Args:
            lane: of the work.
            begin: gives it.
            due: see above.
            interrupts: whether small work may be done at pauses of others' turns.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        bisect.insort(self._lanes[lane], _Task(begin, future, due, interrupts), key=lambda task: task.due)
        self._next()
        return await future

    def _next(self) -> None:
        """Give the next turn, unless one is being taken; then small work may have its own at a pause of it."""
        self._give()
        self._offer()
        if self._lanes[Lane.SMALL] or self._offered or (self._running and self._last == Lane.SMALL):
            self._no_small.clear()
        else:
            self._no_small.set()

    def _give(self) -> None:
        """Give the next turn, unless one is being taken."""
        while not self._running:
            if self._offers:  # nobody paused for it: it would have had the next turn
                offer, self._offered, self._last = self._offers.popleft(), False, Lane.SMALL
                self._run(offer.work, offer.future)
                continue
            lane = self._chosen()
            if lane is None:
                return
            task = self._lanes[lane].popleft()
            if task.future.done():  # nobody waits for it any more
                continue
            self._last = lane
            work = self._begun(lane, task)
            if work is not None:
                self._run(work, task.future)

    def _begun(self, lane: Lane, task: _Task) -> Callable[[], Any] | None:
        """The work of a task whose turn has come; None if it has none."""
        if lane == Lane.SMALL:
            self._small_answered = time.perf_counter()
        try:
            work = task.begin()
        except BaseException as error:
            task.future.set_exception(raisable(error))
            return None
        if work is None:
            task.future.set_result(None)
        return work

    def _run(self, work: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        """Let work have its turn in the thread."""
        interruptible, self._interrupted = self._last != Lane.SMALL, False
        self._running = True  # before the thread looks
        try:
            done = asyncio.get_running_loop().run_in_executor(self._thread, self._turn, work, interruptible)
        except BaseException as error:
            self._running = False
            future.set_exception(raisable(error))
            return
        done.add_done_callback(lambda done: self._done(done, future))

    def _offer(self) -> None:
        """Let the turn that is being taken do the next small work at a pause."""
        small = self._lanes[Lane.SMALL]
        while small and self._running and self._last != Lane.SMALL and not self._offered and small[0].interrupts:
            task = small.popleft()
            if task.future.done():
                continue
            work = self._begun(Lane.SMALL, task)
            if work is not None:
                self._offered = True
                self._offers.append(_Offer(work, task.future, asyncio.get_running_loop()))

    def _small_done(self, future: asyncio.Future[Any], outcome: tuple[Any, Exception | None], seconds: float) -> None:
        """Small work was done at a pause."""
        self._offered, self._interrupted = False, True
        self._debt = max(0.0, self._debt - SHARE * seconds)
        _settle(future, outcome)
        self._next()

    def _done(self, done: asyncio.Future[Any], future: asyncio.Future[Any]) -> None:
        self._running = False
        if not self._lanes[Lane.SMALL] and not self._offers:
            self._debt = 0.0
        elif self._last == Lane.SMALL:
            self._debt = max(0.0, self._debt - SHARE * self._seconds)
        else:
            self._debt += self._seconds
        if not future.done():
            if done.cancelled():
                future.cancel()
            else:
                _settle(future, done.result())
        self._next()

    def _chosen(self) -> Lane | None:
        """The lane whose turn it is."""
        had_turn = self._last == Lane.SMALL or self._interrupted
        if self._lanes[Lane.SMALL] and (not had_turn or self._debt > DEBT):
            return Lane.SMALL
        first, second = (Lane.LARGE, Lane.FILTERS) if self._other == Lane.FILTERS else (Lane.FILTERS, Lane.LARGE)
        for lane in (first, second):
            if self._lanes[lane]:
                self._other = lane
                return lane
        return Lane.SMALL if self._lanes[Lane.SMALL] else None

    def _turn(self, work: Callable[[], Any], interruptible: bool) -> tuple[Any, Exception | None]:
        """The work's value, or its error."""
        self.yield_to_loop()
        begun = self.work()
        self._resumed, self._interruptible = time.thread_time(), interruptible
        try:
            return _outcome(work)
        finally:
            self._interruptible = False
            self._seconds = self.work().since(begun)
            self._baton.put_down(self._answering)

    def _keeps_from_freeing(self) -> bool:
        """Whether a turn has been given that comes before freeing: any, or where freeing is behind, one of small work."""
        return self._running and (self._last == Lane.SMALL or bool(self._offers) or not self._freeing.behind)

    def free(self, held: list[Any]) -> None:
        """Free, in the thread, values that nothing else holds, when nobody has a turn; ``held`` is empty afterwards."""
        with contextlib.suppress(RuntimeError):  # the thread is at its end
            self._freeing.add(held)

    def close(self) -> None:
        """Stop taking turns."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _waited_for(event: threading.Event) -> float:
    """Wait until an event is set, for ``PATIENCE`` at most.

    Returns:
        The seconds waited.
    """
    if event.is_set():
        return 0.0
    begun = time.perf_counter()
    event.wait(PATIENCE)
    return time.perf_counter() - begun


def _outcome(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """The work's value, or its error; whatever it raises, the thread continues."""
    try:
        return work(), None
    except BaseException as error:
        return None, raisable(error)


def _settle(future: asyncio.Future[Any], outcome: tuple[Any, Exception | None]) -> None:
    """Give a value or an error to who waits for it, if somebody does."""
    value, error = outcome
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def raisable(error: BaseException) -> Exception:
    """An error that a future can hold, and that ends one request or change and not the server."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(type(error).__name__)
