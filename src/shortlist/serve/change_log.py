"""The log of changes as its writer uses it: put back when it is missing, shortened when it is long, and never raising."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from shortlist.serve.changes import Changes
from shortlist.serve.disk_errors import event_facts, write_refused
from shortlist.serve.journal import Journal, LogGoneError, ShorterLog
from shortlist.serve.logs import Log
from shortlist.serve.metrics import Metrics
from shortlist.serve.problems import Problem
from shortlist.serve.throttle import Throttle, wait_for_turns

__all__ = ["ChangeLog"]

SHORT = 1000  # entries and records of a log that is never too long
LONG = 1.5  # times the weight of the shortest log with the same result: beyond it the log is shortened


class Owner(Protocol):
    """The parts of a service that its log needs."""

    log: Log
    metrics: Metrics
    last_asked: float


class ChangeLog:
    """A ``Journal`` whose failures are counted and logged; used by one thread.

    Args:
        folder: of the log.
        changes: all changes in it.
        owner: the service.

    Raises:
        ConfigError: when another process holds the log, or the folder cannot be opened.
    """

    def __init__(self, folder: Path, changes: Changes, owner: Owner) -> None:
        self._journal = Journal(folder)
        self._changes = changes
        self._owner = owner
        self._failing: dict[str, int | None] = {}  # the reason, by use of the journal, where it fails
        self._shortener = ThreadPoolExecutor(1, "shortening", initializer=wait_for_turns)
        self._shortening: tuple[ShorterLog, Future[None]] | None = None
        self._shorten_at = SHORT  # what the journal weighs before it is shortened again
        self._closing = threading.Event()

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._journal.size

    def read(self) -> Iterator[dict[str, Any]]:
        """Every record, once, at the start.

        Raises:
            BundleError: for a log that was altered.
        """
        return self._journal.read()

    def append(self, records: Sequence[dict[str, Any]], pause: Callable[[], object] = lambda: None) -> bool:
        """Whether the records are on the disk now.

        Args:
            records: in their order.
            pause: called between parts of the work.
        """

        def write(journal: Journal) -> None:
            try:
                journal.append(records, pause)
            except LogGoneError:
                self._restore(journal)
                journal.append(records, pause)

        return self._used("write", write)

    def refusal(self) -> Problem:
        """The reply to those whose records could not be written last time."""
        return write_refused("the change could not be written to disk and was not made.", self._failing.get("write"))

    def maintain(self) -> None:
        """Put the log back if it is missing, and shorten it if it is too long."""

        def look(journal: Journal) -> None:
            try:
                journal.check()
            except LogGoneError:
                self._restore(journal)
            self._shorten(journal)

        self._used("look", look)

    def _used(self, name: str, use: Callable[[Journal], None]) -> bool:
        """Whether ``use`` worked on the disk; failures are counted, and each reason is logged once until it works again."""
        try:
            use(self._journal)
        except OSError as error:
            self._owner.metrics.log_failures.inc()
            if error.errno not in self._failing.values():
                self._owner.log.event("log_failed", **event_facts(error))
            self._failing[name] = error.errno
            return False
        self._failing.pop(name, None)
        return True

    def _restore(self, journal: Journal) -> None:
        """Write every acknowledged change to a log in the place of a missing one.

        Raises:
            OSError: when that fails.
        """
        journal.restore(self._changes.records())
        self._owner.log.event("log_restored", bytes=journal.size)

    def _shorten(self, journal: Journal) -> None:
        """Begin to write a shorter log, or let it take the journal's place once it is written.

        Raises:
            OSError: when that fails.
        """
        if self._shortening is None:
            if self._closing.is_set() or journal.weight <= max(self._shorten_at, SHORT + LONG * self._changes.size):
                return
            self._shorten_at = 2 * journal.weight  # where it fails
            shorter = ShorterLog(journal, self._changes.copied().records())
            self._shortening = shorter, self._shortener.submit(self._write_shorter, shorter)
        elif self._shortening[1].done():
            (shorter, written), self._shortening = self._shortening, None
            with contextlib.suppress(
                InterruptedError, LogGoneError
            ):  # the server stops; the log was put back meanwhile
                written.result()
                shorter.replace_log()
                self._owner.log.event("log_shortened", bytes=journal.size)
            self._shorten_at = SHORT

    def _write_shorter(self, shorter: ShorterLog) -> None:
        throttle = Throttle(lambda: self._owner.last_asked, self._closing)

        def pause() -> None:
            if self._closing.is_set():
                raise InterruptedError
            throttle.pause()

        shorter.write(pause)

    def close(self, applied: bool = True) -> None:
        """Finish what is under way, then close the file.

        Args:
            applied: whether every record that was in it is among the changes; else the file is left as it is.
        """
        self._closing.set()
        self._shortener.shutdown(wait=True)
        if applied:
            self.maintain()
        self._journal.close()
