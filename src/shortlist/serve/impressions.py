"""The log of impressions: lists as they were shown, and the events that followed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from shortlist.serve.disk_errors import event_facts, write_refused
from shortlist.serve.impression_files import FOLDER, Segment, prune
from shortlist.serve.journal import LogGoneError
from shortlist.serve.logs import Log
from shortlist.serve.turns import Turns

__all__ = ["ImpressionLog"]

AT_ONCE = 256  # records by one fsync, or those of one request
PARTS = 256  # files that the log has when it is full: several processes write to one each, which cannot be deleted
SHORTEST = 1 << 16  # bytes of a file, unless the log may have few
RESERVE = 16  # a part of the log that is free when a file is begun


class ImpressionLog:
    """Brings impressions, and the events that follow them, to the disk; many by one fsync, in a thread of its own.

    Each process has its own files in ``folder/impressions``; the oldest are deleted when all have more than ``most``
    bytes: never more than that and what is written at a time, as long as some sixteen processes write.

    Args:
        folder: of the log; None where nothing is logged.
        most: bytes of all files.
        log: of the server.
        turns: between parts of the work, others go first.

    Attributes:
        thread: the one that writes.
    """

    def __init__(self, folder: Path | None, most: int, log: Log, turns: Turns | None = None) -> None:
        self._folder = None if folder is None else folder / FOLDER
        self._most = most
        self._log = log
        self._longest = max(most // PARTS, min(most // RESERVE, SHORTEST))  # bytes of a file that is written to
        self._segment: Segment | None = None
        self._waiting: deque[tuple[Sequence[dict[str, Any]], asyncio.Future[None]]] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._failing: int | None = None  # the system's reason, 0 for none given, where the last write failed
        self._pause: Callable[[], object] = _no_pause if turns is None else turns.yield_to_loop
        self._done: Callable[[], object] = _no_pause if turns is None else turns.long_work_done
        self.thread = ThreadPoolExecutor(1, "impressions", initializer=None if turns is None else turns.add_thread)

    @property
    def begun(self) -> bool:
        """Whether any impression was logged, by this process or another one."""
        return self._folder is not None and self._folder.is_dir()

    async def add(self, records: Sequence[dict[str, Any]]) -> None:
        """Return when the records are on the disk.

        Raises:
            Problem: when they cannot be written.
        """
        if self._folder is None:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()  # one for all: a request may have thousands
        self._waiting.append((records, future))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write_all())
        await future

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, count = [self._waiting.popleft()], 0
            while self._waiting and (count := count + len(batch[-1][0])) < AT_ONCE:
                batch.append(self._waiting.popleft())
            failed: Exception | None = None
            try:
                await loop.run_in_executor(self.thread, self._write, [some for some, _ in batch])
                self._failing = None
            except OSError as error:
                if self._failing != (error.errno or 0):
                    self._log.event("impressions_failed", **event_facts(error))
                self._failing = error.errno or 0
                failed = write_refused("this could not be written to the impression log.", error.errno)
            except Exception as error:
                failed = error
            for _, future in batch:
                if not future.done():
                    future.set_result(None) if failed is None else future.set_exception(failed)

    def _write(self, added: list[Sequence[dict[str, Any]]]) -> None:
        """Write the records of several requests, in the thread.

        Raises:
            OSError: when that fails.
        """
        records = [record for some in added for record in some]
        try:
            self._current_segment().append(records, self._pause)
        except LogGoneError:  # between the look and the end of the write
            self._current_segment().append(records, self._pause)
        finally:
            self._done()

    def _current_segment(self) -> Segment:
        """The file to write to: another one where the last is full, or was removed, replaced or cut off.

        Raises:
            OSError: when it cannot be made.
        """
        assert self._folder is not None
        if self._segment is not None and (self._segment.size >= self._longest or not self._segment.whole):
            last, self._segment = self._segment, None
            last.close()
        if self._segment is None:
            self._segment = Segment(self._folder)
            if deleted := prune(self._folder, self._most - self._most // RESERVE):
                self._log.event("impressions_pruned", files=deleted)
        return self._segment

    def close(self) -> None:
        """Finish what is under way, then close the file."""
        self.thread.shutdown(wait=True)
        if self._segment is not None:
            self._segment.close()
            self._segment = None


def _no_pause() -> None:
    """Nobody has to go first."""
