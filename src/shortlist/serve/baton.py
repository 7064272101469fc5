"""One at a time of the threads that do long work next to the event loop has the interpreter's attention."""

from __future__ import annotations

import contextlib
import threading
from collections import deque

__all__ = ["Baton"]


class Baton:
    """Held by one thread at a time, from one pause of its work to the next.

    Threads that work at once share the interpreter, so that together they get no more done; but an event loop that wants the
    interpreter, and a core, waits for each of them. So at its pauses a thread gives the baton to the one that waits for it.

    It cannot be waited for in vain: a thread waits for ``patience`` at most, and takes it then from one that has a long step, waits for the disk, or
    has ended.

    Args:
        patience: seconds.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._waiting: deque[tuple[int, threading.Lock]] = deque()

    @property
    def holder(self) -> int | None:
        """The ident of the thread that has it."""
        return self._holder

    def pass_on(self, thread: int) -> None:
        """At a pause of a thread: give the baton to the thread that has waited for it longest, if this one has it and any waits."""
        if self._waiting:
            self.put_down(thread)

    def put_down(self, thread: int) -> None:
        """Have it no more: the thread's work is done."""
        with self._lock:
            if self._holder != thread:
                return
            self._holder = None
            if self._waiting:
                self._holder, given = self._waiting.popleft()
                given.release()

    def take(self, thread: int) -> bool:
        """Have it, after the patience at most.

        Returns:
            Whether the thread has waited.
        """
        if self._holder == thread:
            return False
        with self._lock:
            if self._holder is None:
                self._holder = thread
                return False
            given = threading.Lock()
            given.acquire()
            self._waiting.append((thread, given))
        if given.acquire(timeout=self._patience):
            return True
        with self._lock:
            if self._holder != thread:
                with contextlib.suppress(ValueError):  # it was given, and taken by another that had waited for too long
                    self._waiting.remove((thread, given))
                self._holder = thread
        return True
