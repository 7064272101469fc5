"""Loading a bundle while another one answers: a little at a time."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

__all__ = ["Throttle", "wait_for_turns"]

SHARE = 0.02  # of a processor, for the thread that loads while requests arrive
LEAST = 0.0002  # seconds of work after which a pause is worth its switch of threads
MOST = 0.002  # seconds of work that count at a time: what takes longer is native code, which lets others run meanwhile
LATELY = 1.0  # seconds since the last request after which no request is held up


class Throttle:
    """Pauses of a thread that works next to the event loop: requests wait for little more than one step of it.

    Threads share one interpreter: while a loading thread runs Python, the loop does not, and nothing gives the loop
    priority. So the work is in steps of a millisecond or two, and after each, ``pause`` sleeps long enough that the
    thread takes no more than ``SHARE`` of a processor. Made and used in the thread that works.

    Args:
        asked: when the last request arrived, by ``time.perf_counter``; no pauses without requests.
        no_pauses: set when there is no more time for pauses.
    """

    def __init__(self, asked: Callable[[], float], no_pauses: threading.Event) -> None:
        self._asked = asked
        self._no_pauses = no_pauses
        self._since = time.thread_time()

    def pause(self) -> None:
        """Sleep for a share of the time worked since the last call."""
        used = time.thread_time() - self._since
        if used < LEAST:
            return
        if time.perf_counter() - self._asked() < LATELY:
            self._no_pauses.wait(min(used, MOST) * (1 / SHARE - 1))
        self._since = time.thread_time()


def wait_for_turns() -> None:
    """Let this thread wait until a core is free or its turn there has come (``SCHED_BATCH``), where the system can.

    Else it takes the core of another thread when its pause is over: that of the event loop, or of a client. Its share of the
    processor stays the same, so no thread waits long for the interpreter.
    """
    with contextlib.suppress(AttributeError, OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:  # else somebody chose another for the process
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
