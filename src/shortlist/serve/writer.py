"""One writer: changes are checked, brought to the disk, applied, and only then acknowledged; many by one fsync."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from shortlist.errors import BundleError, ShortlistError
from shortlist.recommender.live import changed
from shortlist.recommender.served import Served
from shortlist.recommender.upkeep import Upkeep
from shortlist.serve.changes import Changes, table_of
from shortlist.serve.events import Events
from shortlist.serve.journal import Journal
from shortlist.serve.loaded import Loaded
from shortlist.serve.logs import Log
from shortlist.serve.metrics import Metrics
from shortlist.serve.misfits import misfit
from shortlist.serve.problems import Problem

__all__ = ["ChangeWriter"]

AT_ONCE = 256  # changes by one fsync


class _Task(NamedTuple):
    """A record of the log, another bundle, or a way from what bundle ``of`` serves to what is to be served in its place."""

    future: asyncio.Future[Any]
    record: dict[str, Any] | None = None
    loaded: Loaded | None = None
    renew: Callable[[Served], Served] | None = None
    of: str = ""


class Answering(Protocol):
    """What a writer needs of the service whose bundle it changes."""

    log: Log
    metrics: Metrics
    events: Events
    loaded: Loaded

    def put(self, loaded: Loaded) -> None:
        """Lets ``loaded`` answer from now on."""


class ChangeWriter:
    """Applies changes one after the other to the service's bundle, and to every bundle that takes its place."""

    def __init__(self, service: Answering, folder: Path | None) -> None:
        self._service = service
        self._journal = None if folder is None else Journal(folder)
        self.changes = Changes(service.events)
        self._queue: asyncio.Queue[_Task] = asyncio.Queue()
        self._running: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._bare = service.loaded  # without the changes
        self.upkeep: Upkeep | None = None  # of the bundle that answers, once it has changed

    def replay(self) -> Loaded:
        """The service's bundle with every change of the log. Raises BundleError where they do not fit it."""
        self.changes.id_column = self._bare.state.candidate
        if self._journal is None:
            return self._bare
        records = self._journal.records
        for record in records:
            self.changes.apply(record)
        self.changes.expired(time.time())
        short = self.changes.records(time.time())
        if len(records) > 100 + 2 * len(short):
            self._journal.rewrite(short)
        self._journal.records = []
        return self._with_changes(self._bare)

    def _with_changes(self, loaded: Loaded) -> Loaded:
        try:
            return loaded.changed(self.changes.onto(loaded.served))
        except ShortlistError as error:
            raise BundleError(
                f"the logged changes do not fit the bundle: {type(error).__name__}.",
                hint="give this bundle its own --state folder, or serve the bundle that the log was written for",
            ) from None

    async def change(self, record: dict[str, Any]) -> Any:
        """Bring one change to the disk and into the lists; (upserted, deleted, candidates). Raises Problem."""
        return await self._submit(record=record)

    async def swap(self, loaded: Loaded) -> None:
        """Let another bundle, with all changes, take over between two requests. Raises BundleError."""
        await self._submit(loaded=loaded)
        self.upkeep = None

    async def _submit(self, **what: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._running is None:
            self._running = loop.create_task(self._run())
        task = _Task(loop.create_future(), **what)
        await self._queue.put(task)
        return await task.future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next()
            outcomes, loaded = await loop.run_in_executor(self._thread, self._apply, batch)
            if loaded is not None:
                self._service.put(loaded)
                self._look(loaded, loop)
            for task, outcome in zip(batch, outcomes, strict=True):
                if task.future.done():
                    continue
                if isinstance(outcome, BaseException):
                    task.future.set_exception(outcome)
                else:
                    task.future.set_result(outcome)

    def _look(self, loaded: Loaded, loop: asyncio.AbstractEventLoop) -> None:
        """Let the index be looked after: where it no longer finds enough, it is rebuilt, in its own thread."""
        state = loaded.state
        if loaded.served.index.exact or state.query_vectors is None or not state.live:
            return

        def swap(renew: Callable[[Served], Served]) -> None:
            asyncio.run_coroutine_threadsafe(self._submit(renew=renew, of=loaded.bundle), loop).result()
            self._service.log.event("index_rebuilt", bundle=loaded.bundle)

        if self.upkeep is None:
            self.upkeep = Upkeep(lambda: self._service.loaded.served, swap)
        self.upkeep.look()

    async def _next(self) -> list[_Task]:
        """What waits, at least one; or nothing, where a candidate expires."""
        due = self.changes.next_expiry
        wait = None if due is None else max(0.0, due - time.time())
        try:
            batch = [await asyncio.wait_for(self._queue.get(), wait)]
        except asyncio.TimeoutError:
            return []
        while len(batch) < AT_ONCE and batch[-1].loaded is None and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    def _apply(self, batch: list[_Task]) -> tuple[list[Any], Loaded | None]:
        """In the writer's thread: outcomes by task, and the bundle to put in place."""
        outcomes: list[Any] = [None] * len(batch)
        loaded = self._service.loaded
        try:
            served = self._expire(loaded.served)
            records, kept = [], []
            for number, task in enumerate(batch):
                if task.renew is not None and task.of == loaded.bundle:
                    served = task.renew(served)
                if task.record is None:
                    continue
                try:
                    served, outcomes[number] = self._tried(served, task.record)
                    records.append(task.record)
                    kept.append(number)
                except Problem as problem:
                    outcomes[number] = problem
            if records and not self._logged(records):
                full = Problem(
                    503,
                    "the change could not be written to disk and was not made.",
                    retry_after=5,
                    hint="send it again when the disk has space",
                )
                for number in kept:
                    outcomes[number] = full
                served = self._expire(loaded.served)
                records = []
            for record in records:
                self.changes.apply(record)
            if served is not loaded.served:
                loaded = loaded.changed(served)
            last = batch[-1].loaded if batch else None
            if last is not None:
                try:
                    loaded = self._with_changes(last)
                except BundleError as error:
                    outcomes[-1] = error
            return outcomes, None if loaded is self._service.loaded else loaded
        except Exception as error:
            return [error if outcome is None else outcome for outcome in outcomes], None

    def _expire(self, served: Served) -> Served:
        due = self.changes.expired(time.time())
        return changed(served, None, due) if due else served

    def _tried(self, served: Served, record: dict[str, Any]) -> tuple[Served, Any]:
        """What is served with one change. Raises Problem where it does not fit."""
        if record["op"] == "events":
            return served, len(record["events"])
        before, known = served, served.index.size
        try:
            if record["upsert"]:
                table, given = table_of(record["upsert"], served.state.candidates.schema)
                served = changed(served, table, given=given)
            upserted = served.index.size
            if record["delete"]:
                served = changed(served, None, record["delete"])
        except ShortlistError as error:
            raise misfit(before, record["upsert"], error) from None
        size = served.index.size
        self._service.metrics.changes.labels("upsert").inc(len(record["upsert"]))
        self._service.metrics.changes.labels("delete").inc(upserted - size)
        return served, (len(record["upsert"]), upserted - size, size, upserted - known)

    def _logged(self, records: list[dict[str, Any]]) -> bool:
        if self._journal is None:
            return True
        try:
            self._journal.append(records)
        except OSError as error:
            self._service.log.event("log_failed", kind=type(error).__name__, errno=error.errno)
            return False
        return True

    def close(self) -> None:
        """Finish what is under way, then let go of the log."""
        if self._running is not None and not self._running.get_loop().is_closed():
            self._running.cancel()
        self._thread.shutdown(wait=True)
        if self._journal is not None:
            self._journal.close()
