"""How long work takes, whatever else the machine does meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

__all__ = ["NO_WORK", "Moment", "Stopwatch", "Work", "clock_of_this_thread"]

REFRESH = 0.02  # seconds after which the processor time is read again
LONG = 0.004  # seconds of work that is meant to be short: less cannot hold a pause that counts

Begun: TypeAlias = "tuple[float, float]"  # the wall clock, and the processor time of this thread


class Moment(NamedTuple):
    """A point in time, by the wall clock and by the processor time of this process.

    The time between two is the smaller of both differences. While the process is stopped or throttled, its processor
    time does not advance: a pause says nothing about how long requests take. While several threads work, processor time
    runs faster than the clock.
    """

    wall: float
    processor: float

    @classmethod
    def now(cls) -> Moment:
        """This moment."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, earlier: Moment) -> float:
        """Seconds of work from an earlier moment to this one."""
        return max(0.0, min(self.wall - earlier.wall, self.processor - earlier.processor))


class Stopwatch:
    """Seconds of short work, as of a ``Moment``, with few readings of the processor time: each may cost this thread its
    turn.

    Work that took long by the wall clock took no longer than the processor time since the last reading. While other
    threads work too, it waits for them again and again: then the processor time of this thread alone counts.

    Args:
        others: whether other threads of this process work.
    """

    def __init__(self, others: Callable[[], bool] = lambda: False) -> None:
        self._others = others
        self._seen = Moment.now()

    def start(self) -> Begun:
        """When work begins."""
        wall = time.perf_counter()
        if wall - self._seen.wall > REFRESH:
            self._seen = Moment.now()
        return wall, time.thread_time()

    def since(self, begun: Begun) -> float:
        """Seconds of work since ``begun``."""
        passed = time.perf_counter() - begun[0]
        if self._others():
            return max(0.0, min(passed, time.thread_time() - begun[1]))
        return passed if passed < LONG else max(0.0, min(passed, time.process_time() - self._seen.processor))


class Work(NamedTuple):
    """A point in the work of a thread next to the event loop.

    The time between two is that of this thread and of native threads that work for it, as those of a search do, without
    the event loop's and that of other Python threads: they wait for each other. It is no longer than the time that passed.
    """

    wall: float
    own: float
    others: float  # processor time of all threads but the event loop and other Python threads

    @classmethod
    def now(cls, loop: int | None, aside: Sequence[int] = ()) -> Work:
        """This moment.

        Args:
            loop: the clock of the event loop's thread; None where there is none.
            aside: the clocks of other Python threads.
        """
        own = time.thread_time()
        others = own
        if loop is not None:
            others = time.process_time() - time.clock_gettime(loop) - sum(map(_seconds_of, aside))
        return cls(time.perf_counter(), own, others)

    def since(self, earlier: Work) -> float:
        """Seconds of work from an earlier moment to this one."""
        work = max(self.own - earlier.own, self.others - earlier.others)
        return max(0.0, min(self.wall - earlier.wall, work))

    def less(self, other: Work) -> Work:
        """The differences."""
        return Work(self.wall - other.wall, self.own - other.own, self.others - other.others)

    def plus(self, other: Work) -> Work:
        """The sums."""
        return Work(self.wall + other.wall, self.own + other.own, self.others + other.others)


NO_WORK = Work(0.0, 0.0, 0.0)


def _seconds_of(clock: int) -> float:
    """The processor time of a thread; 0 for one that has ended."""
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0


def clock_of_this_thread() -> int | None:
    """The clock of the calling thread's processor time, for other threads; None where the system has none."""
    try:
        return time.pthread_getcpuclockid(threading.get_ident())
    except (AttributeError, OSError):  # Windows
        return None
