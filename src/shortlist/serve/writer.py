"""One writer: changes are checked, brought to the disk, applied, and only then acknowledged. Many share one fsync."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from shortlist.errors import BundleError, ShortlistError
from shortlist.recommender import pipeline
from shortlist.recommender.live import changed
from shortlist.recommender.served import Served
from shortlist.recommender.state import State
from shortlist.recommender.upkeep import Upkeep
from shortlist.serve.change_log import ChangeLog
from shortlist.serve.changes import Changes, Foreseen, table_of
from shortlist.serve.events import Events
from shortlist.serve.kept import Growth
from shortlist.serve.loaded import Loaded
from shortlist.serve.logs import Log
from shortlist.serve.metrics import Metrics
from shortlist.serve.misfits import misfit
from shortlist.serve.preparing import Preparation
from shortlist.serve.problems import Problem
from shortlist.serve.recent import Recent
from shortlist.serve.turns import Turns, raisable
from shortlist.store.allocation import trim

__all__ = ["ChangeWriter"]

AT_ONCE = 256  # changes by one fsync
PAUSE = 1.0  # seconds until the next try, where not even the next changes could be taken
LOOK = 1.0  # seconds between two looks at whether the log is still there
REHEARSED = 10  # items of a list that is answered before others are


class _Task(NamedTuple):
    """A record of the log; another bundle; a function from the state that bundle ``of`` serves to the one that replaces
    it; or a function that looks at the changes between two of them.
    """

    future: asyncio.Future[Any]
    record: dict[str, Any] | None = None
    loaded: Loaded | None = None
    renew: Callable[[Served], Served] | None = None
    of: str = ""
    look: Callable[[Changes], Any] | None = None

    @property
    def alone(self) -> bool:
        """Whether nothing else is done together with it."""
        return self.loaded is not None or self.look is not None


class Answering(Protocol):
    """The parts of a service that a writer needs."""

    log: Log
    metrics: Metrics
    events: Events
    loaded: Loaded
    last_asked: float
    turns: Turns

    def activate(self, loaded: Loaded) -> None:
        """Let ``loaded`` answer from now on."""


class ChangeWriter:
    """Applies changes one after the other to the service's bundle, and to every bundle that takes its place.

    Args:
        service: whose bundle is changed.
        folder: of the log; None for no log.
        most: bytes that may be kept of changes; further ones are refused.

    Attributes:
        working: whether changes are being made.
        done: called in the event loop with changes that are on the disk and applied, in their order, before any of them
            is acknowledged.
        preparation: imports what upserts need.
        recent: the last changes that were in the log at the start, of those that another process sent.
        thread: that makes changes.
    """

    def __init__(self, service: Answering, folder: Path | None, most: int) -> None:
        self._service = service
        self.changes = Changes(service.events)
        self._log = None if folder is None else ChangeLog(folder, self.changes, service)
        self._most = None if folder is None else most
        self._takes_changes = folder is not None
        self._queue: asyncio.Queue[_Task] = asyncio.Queue()
        self._running: asyncio.Task[None] | None = None
        self.thread = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="writer", initializer=service.turns.add_thread
        )
        self.working = False  # whether changes are being made
        self.upkeep: Upkeep | None = None  # of the bundle that answers, once it has changed
        self.preparation = Preparation(service.loaded.served)
        self._expired: list[Any] = []  # candidates that have expired, which is not in the log yet
        self._due: list[Any] = []  # those that are still served
        self.done: Callable[[Sequence[dict[str, Any]]], None] = _no_followers
        self.recent = Recent()
        if self._log is not None:  # else another process counts
            log, figures = self._log, service.metrics
            figures.log_bytes.set_function(lambda: log.size)
            figures.changes_kept.set_function(lambda: self.changes.kept.size)
            figures.changes_limit.set(most)

    def replay(self, follows: Sequence[Mapping[str, Any]] | None = None) -> Loaded:
        """The service's bundle, which has none of the changes, with every change of the log.

        Args:
            follows: the changes of another process's log, if this one has none.

        Raises:
            BundleError: when they do not fit the bundle.
        """
        bare = self._service.loaded
        self._takes_changes = self._log is not None or follows is not None
        self.changes.use_bundle(bare.served)
        if self._log is None:
            if follows is None:
                return bare
            self._apply_all(follows)
            self.changes.expired(time.time())
            return self._with_changes(bare)
        try:
            with _no_collection():
                self._apply_all(self._read(self._log))
            trim()  # what reading took
            self._expired += self.changes.expired(time.time())
            return self._with_changes(bare)
        except BaseException:
            self._log.close(applied=False)
            raise

    def _apply_all(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Apply the records of a log.

        Raises:
            BundleError: when they belong to a bundle whose candidates' ids are in another column.
        """
        try:
            self.changes.apply_all(records)
        except KeyError as error:
            raise _other_tables(error) from None

    def _read(self, log: ChangeLog) -> Iterator[dict[str, Any]]:
        """Every record of the log; the last ones of another process are kept in ``recent``."""
        for record in log.read():
            if "name" in record:
                self.recent.add(record)
            yield record

    def _with_changes(self, loaded: Loaded) -> Loaded:
        """A bundle with all changes so far, which is to be changed from now on.

        Raises:
            BundleError: when they do not fit it.
        """
        changes, column = self.changes, loaded.state.candidate
        if changes.upserted and column != changes.id_column:  # deleted rows too: the next start reads them
            raise _other_tables(KeyError(column))
        try:
            with_changes = loaded.changed(changes.onto(loaded.served) if self._takes_changes else loaded.served)
        except ShortlistError as error:
            raise _other_tables(error) from None
        changes.use_bundle(loaded.served)
        self._rehearse(with_changes)
        return with_changes

    def _rehearse(self, loaded: Loaded) -> None:
        """Answer a list from what is about to answer: what it computes once, and keeps, is not computed on the event loop.

        With a history too, where any list is folded in. An error of this list refuses no change: the log has it already.
        """
        served, query = loaded.served, loaded.about.example_query
        state, pause = served.state, self._service.turns.yield_to_loop
        try:
            pause()
            pipeline.recommend(served, [query], REHEARSED, pause=pause)
            living = _first_living(state)
            if state.query_vectors is not None and served.folds_at_once and living < state.size:
                pause()
                pipeline.recommend(served, [query], REHEARSED, history=[[state.candidate_ids.ids[living]]], pause=pause)
        except ShortlistError:  # the model reads features that only a request has, or answers no such query
            pass
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of native code, too, leaves the change made
            self._service.log.event("writer_failed", kind=type(error).__name__)

    async def change(self, record: dict[str, Any]) -> Any:
        """Bring one change to the disk and into the lists.

        Returns:
            (upserted, deleted, candidates).

        Raises:
            Problem: when it does not fit, or cannot be written.
        """
        return await self._submit(record=record)

    async def swap(self, loaded: Loaded) -> None:
        """Apply all changes so far to another bundle, and answer from it from the next request on.

        Raises:
            BundleError: when the changes do not fit it.
        """
        await self._submit(loaded=loaded)
        self.upkeep = None
        self.preparation.renew(loaded.served)

    async def look(self, at: Callable[[Changes], Any]) -> Any:
        """Call ``at`` with the changes so far, in the writer's thread, and return its result; no change is applied meanwhile."""
        return await self._submit(look=at)

    def start(self) -> None:
        """Start applying changes and deleting expired candidates."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _submit(self, **what: Any) -> Any:
        self.start()
        task = _Task(asyncio.get_running_loop().create_future(), **what)
        await self._queue.put(task)
        return await task.future

    async def _run(self) -> None:
        """Make changes until cancelled: on an error, those who wait get it, and the next have their turn."""
        loop = asyncio.get_running_loop()
        while True:
            batch: list[_Task] = []
            loaded: Loaded | None = None
            try:
                batch = await self._next()
                self.working = True
                try:
                    outcomes, loaded, records = await loop.run_in_executor(self.thread, self._apply, batch)
                finally:
                    self.working = False
                if loaded is not None:
                    self._service.activate(loaded)
                if records:
                    self.done(records)
            except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                outcomes, loaded = [raisable(error)] * len(batch), None
                self._service.log.event("writer_failed", kind=type(error).__name__)
                if not batch:
                    await asyncio.sleep(PAUSE)
            for task, outcome in zip(batch, outcomes, strict=True):
                if task.future.done():
                    continue
                if isinstance(outcome, Exception):
                    task.future.set_exception(outcome)
                else:
                    task.future.set_result(outcome)
            if loaded is not None:
                self._look_after(loaded, loop)

    def _look_after(self, loaded: Loaded, loop: asyncio.AbstractEventLoop) -> None:
        """Check the index; where that cannot begin, as where there is no room for a thread, the next change has it checked."""
        try:
            self._look(loaded, loop)
        except Exception as error:
            self._service.log.event("writer_failed", kind=type(error).__name__)

    def _look(self, loaded: Loaded, loop: asyncio.AbstractEventLoop) -> None:
        """Check the index in its own thread: if it no longer finds enough, it is rebuilt."""
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
        """The tasks that wait, at least one; or none, when a candidate expires or the log is to be checked."""
        due = self.changes.next_expiry
        wait = None if self._log is None else LOOK
        if due is not None:  # LOOK at most: the clock may be set, or the machine may sleep
            wait = min(LOOK, max(0.0, due - time.time()))
        try:
            batch = [await asyncio.wait_for(self._queue.get(), wait)]
        except asyncio.TimeoutError:
            return []
        while len(batch) < AT_ONCE and not batch[-1].alone and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    def _apply(self, batch: list[_Task]) -> tuple[list[Any], Loaded | None, list[dict[str, Any]]]:
        """In the writer's thread: outcomes by task, the bundle to put in place, and the records that are in the log now."""
        outcomes: list[Any] = [None] * len(batch)
        loaded = self._service.loaded
        records: list[dict[str, Any]] = []
        try:
            if self._log is not None:
                self._log.maintain()
            served = self._expire(loaded.served)
            for number, task in enumerate(batch):
                if task.renew is not None and task.of == loaded.bundle:
                    try:
                        served = task.renew(served)
                    except BaseException as error:
                        outcomes[number] = raisable(error)
            served = self._made(served, batch, outcomes, records)
            if self._expired:
                self._logged([])
            if served is not loaded.served:
                loaded = loaded.changed(served)
                self._rehearse(loaded)
            last = batch[-1] if batch else None
            if last is not None and last.loaded is not None:
                try:
                    loaded = self._with_changes(last.loaded)
                except BaseException as error:  # what is in the log is acknowledged anyway
                    outcomes[-1] = raisable(error)
            if last is not None and last.look is not None:
                try:
                    outcomes[-1] = last.look(self.changes)
                except BaseException as error:
                    outcomes[-1] = raisable(error)
            self._due.clear()
            return outcomes, None if loaded is self._service.loaded else loaded, records
        except BaseException as error:  # a panic of native code, too, must not end the thread
            failed = raisable(error)
            return [outcome if isinstance(outcome, Problem) else failed for outcome in outcomes], None, records
        finally:
            self._service.turns.long_work_done()

    def _made(self, served: Served, batch: list[_Task], outcomes: list[Any], logged: list[dict[str, Any]]) -> Served:
        """The served state with those changes of a batch that fit and could be written to the disk.

        Args:
            served: the state before.
            batch: the tasks.
            outcomes: by task; filled here.
            logged: the records that are in the log; filled here.
        """
        before = served
        records: list[dict[str, Any]] = []
        numbers: list[int] = []
        foreseen, growth = Foreseen(self.changes), Growth(self.changes, self._most)
        pause = self._service.turns.yield_to_loop
        for number, task in enumerate(batch):
            if task.record is None:
                continue
            name = task.record.get("name")
            if name in self.changes.outcomes:
                outcomes[number] = self.changes.outcomes[name]
                continue
            try:
                overdue = foreseen.overdue(float(task.record["at"]))
                part = growth.of(task.record, overdue, pause)
                current = changed(served, None, overdue) if overdue else served
                served, outcomes[number] = self._tried(current, task.record)
                records.append(task.record if name is None else {**task.record, "outcome": outcomes[number]})
                numbers.append(number)
                foreseen.add(task.record, pause)
                growth.add(part)
            except Problem as problem:
                outcomes[number] = problem
        if not records:
            return before
        if not self._logged(records) and self._log is not None:
            for number in numbers:
                outcomes[number] = self._log.refusal()
            return before
        logged += records
        for number, record in zip(numbers, records, strict=True):
            self.changes.apply(record, self._service.turns.yield_to_loop)
            self._count(record, outcomes[number])
        return served

    def _expire(self, served: Served) -> Served:
        """The served state without the candidates whose time is up."""
        due = self.changes.expired(time.time())
        self._expired += due
        self._due += due
        return changed(served, None, self._due) if self._due else served

    def _tried(self, served: Served, record: dict[str, Any]) -> tuple[Served, Any]:
        """The served state with one change, and the change's outcome.

        Raises:
            Problem: when it does not fit.
        """
        if record["op"] == "events":
            if self._service.loaded.histories:
                served.prepare_fold_in()  # no request waits for it once it brings choices
            return served, len(record["events"])
        before, known, pause = served, served.index.size, self._service.turns.yield_to_loop
        try:
            if record["upsert"]:
                self.preparation.wait()
                table, given = table_of(record["upsert"], served.state.candidates.schema, pause)
                served = changed(served, table, given=given, pause=pause)
            upserted = served.index.size
            if record["delete"]:
                served = changed(served, None, record["delete"], pause=pause)
        except ShortlistError as error:
            raise misfit(before, record["upsert"], error, pause) from None
        size = served.index.size
        return served, (len(record["upsert"]), upserted - size, size, upserted - known)

    def _count(self, record: dict[str, Any], outcome: Any) -> None:
        """Count a change that is on the disk; one that another process has logged was counted there."""
        if self._log is None:
            return
        counted = self._service.metrics.changes
        if record["op"] == "change":
            counted.labels("upsert").inc(outcome[0])
            counted.labels("delete").inc(outcome[1])
        else:
            counted.labels("event").inc(outcome)

    def _logged(self, records: list[dict[str, Any]]) -> bool:
        """Whether the records are on the disk now, after a record of the candidates that have expired.

        From then on they stay expired, even if the clock is set back.
        """
        if self._log is None:
            self._expired.clear()
            return True
        expired = {"op": "change", "at": time.time(), "upsert": [], "delete": list(self._expired), "expire": []}
        pause = self._service.turns.yield_to_loop
        done = self._log.append([expired, *records] if self._expired else records, pause)
        if done:
            self._expired.clear()
        return done

    def close(self) -> None:
        """Finish what is under way, then close the log."""
        if self._running is not None and not self._running.get_loop().is_closed():
            self._running.cancel()
        self.thread.shutdown(wait=True)
        if self._log is not None:
            self._log.close()


def _first_living(state: State) -> int:
    """The first row of a candidate that is not deleted; how many there are where all are."""
    dead = state.dead
    living = np.flatnonzero(dead != np.arange(len(dead)))
    return int(living[0]) if len(living) else len(dead)


def _no_followers(records: Sequence[dict[str, Any]]) -> None:
    """Nobody follows."""


def _other_tables(error: Exception) -> BundleError:
    """The error of changes that a bundle cannot take."""
    return BundleError(
        f"the logged changes do not fit the bundle: {type(error).__name__}.",
        hint="give this bundle its own --state folder, or serve the bundle that the log was written for",
    )


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection while millions of objects are made that stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
