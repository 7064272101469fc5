"""The first process: it owns the socket, forks the others, watches them, and replaces those that fail."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import selectors
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from shortlist import errors
from shortlist.errors import BundleError, ConfigError, ShortlistError
from shortlist.serve.logs import Log
from shortlist.serve.processes import figures, system
from shortlist.serve.processes.board import NOBODY, Board
from shortlist.serve.processes.channel import Channel, pair
from shortlist.serve.processes.messages import (
    Asked,
    Beat,
    Failed,
    Family,
    Finish,
    Merged,
    NewFollower,
    NewLog,
    Open,
    Publish,
    Published,
    Ready,
    Refused,
    Replace,
    Retire,
    Scrape,
    Swap,
    Swapped,
)
from shortlist.serve.processes.worker import Source, work, write
from shortlist.serve.server import DRAIN
from shortlist.serve.settings import Settings
from shortlist.serve.swap import LOOK, signature

__all__ = ["Plan", "Supervisor"]

TICK = 0.1  # seconds between two looks at everything
RETIRE = 10.0  # seconds that the connections of a worker have, whose place another one has taken
LASTS = 1.0  # seconds that a worker answers, after which its end says nothing about the next one
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds between two starts where workers do not last
WEIGHED = 1.0  # seconds between two looks at the workers' memory
SCRAPED = 1.0  # seconds that processes have to publish their figures


@dataclass(frozen=True)
class Plan:
    """What a supervisor is to run.

    bundle: a folder or a link to one. workers: how many answer. watch: whether to look for another bundle there.
    memory: bytes of its own that a worker may hold, None for any number. silence: seconds without a sign of life after which
    a process is replaced.
    """

    bundle: Path
    workers: int
    settings: Settings
    watch: bool = True
    memory: int | None = None
    silence: float = 10.0
    log_requests: bool = True


@dataclass(eq=False)
class _Child:
    """A process. slot: a worker's number on the board; -1 for the writing process. why: the reason for which it is to go."""

    pid: int
    channel: Channel
    slot: int
    source: Source
    heard: float
    ready: Ready | None = None
    failed: Failed | None = None
    opened: float | None = None
    retiring: bool = False
    why: str | None = None
    asked: list[bytes] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)


@dataclass(eq=False)
class _Scraping:
    """Figures that somebody asked for, until all have published theirs. number: as the asker calls it; mine: as all do."""

    asker: _Child
    number: int
    mine: int
    until: float
    missing: set[_Child]


class _Figures:
    """What the supervisor itself counts."""

    def __init__(self) -> None:
        of = self.registry = CollectorRegistry()
        self.workers = Gauge("shortlist_workers", "Workers that take connections.", registry=of)
        self.ends = Counter(
            "shortlist_worker_replacements", "Workers that were replaced, by the reason.", ["reason"], registry=of
        )
        self.writers = Counter("shortlist_writer_restarts", "Starts of another writing process.", registry=of)
        self.swaps = Counter("shortlist_swaps", "Bundles put in place, and refused.", ["outcome"], registry=of)
        for reason in ("died", "hung", "memory", "log", "bug"):
            self.ends.labels(reason)
        for outcome in ("done", "refused"):
            self.swaps.labels(outcome)


class Supervisor:
    """Runs a plan until SIGTERM or SIGINT; one thread, which never loads a bundle.

    The processes it forks share the code that it has imported. It answers nobody itself and holds no lock, so that little of it
    can fail; if it ends, all others do.
    """

    def __init__(self, plan: Plan, listening: socket.socket, log: Log) -> None:
        self._plan = plan
        self._listening = listening
        self._log = log
        self._board = Board()
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Child] = []  # of the bundle in use
        self._coming: list[_Child] = []  # of the bundle that is to take its place
        self._going: list[_Child] = []  # they take no connections any more
        self._writer: _Child | None = None
        self._source = Source(Path(os.path.realpath(plan.bundle)), plan.bundle.name.removesuffix(".shortlist"))
        self._bundle: Ready | None = None  # of the one in use
        self._signature = signature(plan.bundle)
        self._next_look = self._next_weighing = 0.0
        self._next_start = 0.0
        self._short = 0  # ends in a row of workers that did not last
        self._swapping: Source | None = None
        self._swap_began = 0.0
        self._swap_sent = False
        self._asked: list[bytes] = []
        self._past: list[Family] = []  # what processes that have ended counted
        self._figures = _Figures()
        self._scrapes: list[_Scraping] = []
        self._numbers = itertools.count(1)
        self._stop_by: float | None = None
        self._signals = 0

    # The whole.

    def run(self, announce: Callable[[Ready], None]) -> None:
        """Until a signal says to stop, and all who asked are answered. announce: called once all workers take connections.

        Raises ShortlistError where the first ones cannot start.
        """
        gc.collect()
        gc.freeze()  # what is imported stays, in pages that all processes share
        with self._hearing_signals():
            try:
                if self._plan.settings.state is not None:
                    self._writer = self._start_writer()
                self._workers.append(self._start_worker(self._source))
                self._until(lambda: self._bundle is not None)
                while self._stop_by is None and any(one.opened is None for one in self._wanted):
                    self._turn()
                if self._stop_by is None:
                    assert self._bundle is not None
                    announce(self._bundle)
                self._next_look = time.monotonic() + LOOK
                while not self._ended:
                    self._turn()
            finally:
                for one in self._everybody:
                    system.kill(one.pid)

    def _until(self, done: Callable[[], bool]) -> None:
        while not done() and self._stop_by is None:
            self._turn()

    @property
    def _everybody(self) -> list[_Child]:
        writer = [] if self._writer is None else [self._writer]
        return [*writer, *self._workers, *self._coming, *self._going]

    @property
    def _wanted(self) -> list[_Child]:
        """Workers of the bundle in use that are to stay."""
        return [one for one in self._workers if one.why is None]

    @property
    def _ended(self) -> bool:
        return self._stop_by is not None and not self._everybody

    def _turn(self) -> None:
        """Hear what there is to hear, then see what there is to do."""
        for one in self._everybody:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if one.channel.pending else 0)
            self._selector.modify(one.channel.socket, events, one)
        for key, events in self._selector.select(TICK):
            child: _Child | None = key.data
            if child is None:
                self._took_signals()
                continue
            if child.channel.closed:
                continue
            if events & selectors.EVENT_WRITE:
                child.channel.flush()
            if events & selectors.EVENT_READ:
                self._hear(child)
        self._see_to_all(time.monotonic())

    def _hear(self, child: _Child) -> None:
        try:
            messages = child.channel.read()
        except EOFError:
            self._ends(child)
            return
        child.heard = time.monotonic()
        for message, _ in messages:
            self._take(child, message)

    def _see_to_all(self, now: float) -> None:
        self._end_scrapes(now)
        for one in self._everybody:
            if now - one.heard > self._plan.silence and one.why != "hung":
                one.why = "hung"
                system.kill(one.pid)
        if self._stop_by is not None:
            self._see_to_the_end(now)
            return
        if self._plan.memory is not None and now >= self._next_weighing:
            self._next_weighing = now + WEIGHED
            self._weigh()
        if self._bundle is not None:
            self._see_to_workers(now)
        self._figures.workers.set(sum(one.opened is not None for one in self._workers))

    def _see_to_workers(self, now: float) -> None:
        if now >= self._next_start:
            if self._writer is None and self._plan.settings.state is not None:
                self._restart_writer()
            elif len(self._wanted) < self._plan.workers:
                self._workers.append(self._start_worker(self._source))
        self._retire_replaced()
        if self._plan.watch and self._swapping is None and now >= self._next_look:
            self._next_look = now + LOOK
            self._look()

    # Signals and the end.

    @contextlib.contextmanager
    def _hearing_signals(self) -> Any:
        heard, wake = socket.socketpair()
        heard.setblocking(False)
        wake.setblocking(False)
        self._selector.register(heard, selectors.EVENT_READ, None)
        self._heard = heard
        before = {one: signal.signal(one, self._signalled) for one in (signal.SIGTERM, signal.SIGINT)}
        fd = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(fd)
            for one, handler in before.items():
                signal.signal(one, handler)
            self._selector.close()
            heard.close()
            wake.close()

    def _signalled(self, number: int, frame: Any) -> None:
        self._signals += 1

    def _took_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._heard.recv(1024):
                pass
        if self._signals and self._stop_by is None:
            self._stop_by = time.monotonic() + self._plan.settings.drain_seconds + DRAIN + 5.0
            self._log.event("stopping")
            for one in self._everybody:
                if one is not self._writer:
                    system.end(one.pid)
        elif self._signals > 1:  # whoever asks twice does not want to wait
            for one in self._everybody:
                system.kill(one.pid)

    def _see_to_the_end(self, now: float) -> None:
        assert self._stop_by is not None
        if now > self._stop_by:
            for one in self._everybody:
                system.kill(one.pid)
        if self._writer is not None and self._everybody == [self._writer] and self._writer.why is None:
            self._writer.why = "finished"
            self._writer.channel.send(Finish())

    # Starting.

    def _start_worker(self, source: Source) -> _Child:
        used = {one.slot for one in (*self._workers, *self._coming, *self._going)}
        slot = next(number for number in itertools.count() if number not in used)
        ends = None
        if self._plan.settings.state is not None:
            ends = pair()
            if self._writer is not None:
                self._writer.channel.send(NewFollower(slot), [ends[1].fileno()])
            ends[1].close()  # where there is no writing process, this worker sees that at once
        child = self._forked(
            slot,
            source,
            lambda channel: work(
                source,
                self._plan.settings,
                Log(system.Lines(), self._plan.log_requests),
                channel,
                self._listening,
                (self._board, slot, 3 * self._plan.workers + 2),
                ends[0] if ends else None,
                self._asked,
            ),
        )
        if ends:
            ends[0].close()
        return child

    def _start_writer(self) -> _Child:
        """The writing process, with ways to all workers that answer."""
        followers = []
        for one in (*self._workers, *self._going):
            if one.opened is not None:
                mine, its = pair()
                followers.append((mine, one.slot))
                one.channel.send(NewLog(), [its.fileno()])
                its.close()
        source, settings = self._source, self._plan.settings
        child = self._forked(
            -1, source, lambda channel: write(source, settings, Log(system.Lines()), channel, followers)
        )
        for end, _ in followers:
            end.close()
        return child

    def _restart_writer(self) -> None:
        """Another writing process; workers that had not heard all of the last one begin again."""
        for one in (*self._workers, *self._coming):
            if one.opened is None and one.why is None:
                one.why = "log"
                system.kill(one.pid)
        self._writer = self._start_writer()
        self._figures.writers.inc()

    def _forked(self, slot: int, source: Source, do: Callable[[Channel], int]) -> _Child:
        mine, its = pair()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads: those of libraries, which sleep
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                mine.close()
                self._become_child(parent, ignores_signals=slot < 0)
                code = do(Channel(its))
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 1
            except BaseException:  # a bug of ours
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        its.close()
        child = _Child(pid, Channel(mine), slot, source, time.monotonic())
        self._selector.register(mine, selectors.EVENT_READ, child)
        return child

    def _become_child(self, parent: int, ignores_signals: bool) -> None:
        """Let go of what is the supervisor's alone."""
        signal.set_wakeup_fd(-1)
        handler = signal.SIG_IGN if ignores_signals else signal.SIG_DFL
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handler)
        system.die_with(parent)
        for one in self._everybody:
            one.channel.socket.close()
        self._selector.close()
        if ignores_signals:
            self._listening.close()

    # What processes say.

    def _take(self, child: _Child, message: Any) -> None:
        if isinstance(message, Beat):
            return
        if isinstance(message, Asked):
            self._asked = message.requests
        elif isinstance(message, Published):
            child.families = message.families
            for one in self._scrapes:
                if one.mine == message.number:
                    one.missing.discard(child)
            self._end_scrapes(time.monotonic())
        elif isinstance(message, Scrape):
            self._scrape(child, message.number)
        elif isinstance(message, Ready):
            child.ready = message
            if child is not self._writer:
                self._is_ready(child, message)
        elif isinstance(message, Failed):
            child.failed = message
        elif isinstance(message, Replace):
            if child.why is None:
                child.why = message.why
        elif isinstance(message, Swapped):
            self._swapped()
        else:
            assert isinstance(message, Refused)
            self._refuse(message.kind, message.message)

    def _is_ready(self, child: _Child, ready: Ready) -> None:
        if child in self._coming:
            self._is_coming(child, ready)
            return
        if self._bundle is None:
            self._bundle = ready
            self._source = Source(self._source.path, self._source.name, verified=True)
            self._check_memory(child)
        if ready.bundle != self._bundle.bundle:  # another one was put there since
            child.why = "bundle"
            system.kill(child.pid)
            return
        self._open(child)

    def _open(self, child: _Child) -> None:
        child.opened = time.monotonic()
        self._board.set(child.slot, 0)
        child.channel.send(Open())

    # Ends.

    def _ends(self, child: _Child) -> None:
        """A process has ended, or talks no more."""
        system.kill(child.pid)
        code = system.reaped(child.pid)
        self._selector.unregister(child.channel.socket)
        child.channel.close()
        self._past = figures.merged([self._past, figures.kept(child.families)])
        for one in self._scrapes:
            one.missing.discard(child)
        if child is self._writer:
            self._writer_ended(child, code)
            return
        self._board.set(child.slot, NOBODY)
        if child in self._going:
            self._going.remove(child)
        elif child in self._coming:
            self._coming.remove(child)
            if self._stop_by is None:
                self._coming_ended(child)
        else:
            self._workers.remove(child)
            if self._stop_by is None:
                self._worker_ended(child, code)

    def _worker_ended(self, child: _Child, code: int) -> None:
        failed = child.failed
        if self._bundle is None:
            if self._writer is not None and self._writer.failed is not None:
                failed = self._writer.failed
            if failed is not None and failed.kind == "EOFError":
                return  # the writing process says why
            raise _error_of(failed, f"a worker could not start (exit code {code}).")
        reason = child.why or "died"
        lasted = child.opened is not None and time.monotonic() - child.opened >= LASTS
        self._pause(lasted or reason in ("log", "bundle"))
        if child.opened is not None:
            self._figures.ends.labels(reason).inc()
        self._log.event(
            "worker_ended",
            worker=child.slot,
            reason=reason,
            code=code,
            **({} if failed is None else {"kind": failed.kind, "message": failed.message}),
        )

    def _pause(self, lasted: bool) -> None:
        """When the next one may start: at once, and after longer and longer where they do not last."""
        self._short = 0 if lasted else self._short + 1
        pause = 0.0 if self._short < 2 else min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._short - 2))
        self._next_start = time.monotonic() + pause

    def _writer_ended(self, child: _Child, code: int) -> None:
        self._writer = None
        if self._stop_by is not None and child.why == "finished":
            return
        if self._bundle is None:
            raise _error_of(child.failed, f"the writing process could not start (exit code {code}).")
        if self._stop_by is not None and not self._everybody:
            return
        self._pause(child.ready is not None)
        self._log.event("writer_ended", reason=child.why or "died", code=code)
        if self._swap_sent:
            self._refuse("RuntimeError", "the writing process ended meanwhile.")

    # Memory.

    def _weigh(self) -> None:
        assert self._plan.memory is not None
        for one in self._workers:
            if one.opened is not None and one.why is None and system.own_memory(one.pid) > self._plan.memory:
                one.why = "memory"

    def _check_memory(self, child: _Child) -> None:
        limit = self._plan.memory
        needs = system.own_memory(child.pid) if limit is not None else 0
        if limit is not None and needs > limit:
            raise ConfigError(
                f"--max-memory is {limit >> 20} MiB; a worker holds {needs >> 20} MiB of its own once it is loaded.",
                hint="give it more, or leave --max-memory out",
            )

    def _retire_replaced(self) -> None:
        """Those that are to go, once the others take connections."""
        wanted = self._wanted
        if len(wanted) < self._plan.workers or any(one.opened is None for one in wanted):
            return
        for one in [one for one in self._workers if one.why is not None and one.opened is not None]:
            if one.why == "hung":
                continue
            assert one.why is not None
            self._figures.ends.labels(one.why).inc()
            self._log.event("worker_replaced", worker=one.slot, reason=one.why)
            self._pause(lasted=time.monotonic() - (one.opened or 0.0) >= LASTS)
            self._retire(one)

    def _retire(self, child: _Child) -> None:
        self._workers.remove(child)
        self._going.append(child)
        self._board.set(child.slot, NOBODY)
        child.channel.send(Retire(RETIRE))

    # Another bundle.

    def _look(self) -> None:
        now = signature(self._plan.bundle)
        if now is None or now == self._signature:
            return
        self._signature = now
        self._swapping = Source(Path(now[0]), self._source.name)
        self._swap_began = time.monotonic()
        self._coming.append(self._start_worker(self._swapping))

    def _is_coming(self, child: _Child, ready: Ready) -> None:
        assert self._bundle is not None
        assert self._swapping is not None
        if ready.bundle == self._bundle.bundle:
            self._give_up_swap()
        elif ready.strings != self._bundle.strings:
            self._refuse("ShortlistError", "the bundle's ids have another type than the ids served until now.")
        elif len(self._coming) < self._plan.workers:
            source = Source(self._swapping.path, self._swapping.name, verified=True)
            while len(self._coming) < self._plan.workers:
                self._coming.append(self._start_worker(source))
        elif all(one.ready is not None for one in self._coming):
            if self._writer is None:
                if self._plan.settings.state is None:
                    self._swapped()
                else:
                    self._refuse("RuntimeError", "the writing process ended meanwhile.")
            else:
                self._swap_sent = True
                self._writer.channel.send(Swap(str(self._swapping.path)))

    def _swapped(self) -> None:
        """The new workers take over, the old ones answer what they have begun."""
        if self._swapping is None:
            return
        old, self._workers, self._coming = self._workers, self._coming, []
        self._source = Source(self._swapping.path, self._swapping.name, verified=True)
        self._bundle = self._workers[0].ready
        assert self._bundle is not None
        for one in self._workers:
            self._open(one)
        self._workers += old
        for one in old:
            if one.opened is None:
                one.why = "bundle"
                system.kill(one.pid)
            else:
                self._retire(one)
        seconds = round(time.monotonic() - self._swap_began, 3)
        self._swapping, self._swap_sent = None, False
        self._figures.swaps.labels("done").inc()
        self._log.event("swapped", bundle=self._bundle.bundle, seconds=seconds)

    def _coming_ended(self, child: _Child) -> None:
        if self._swapping is None:
            return
        failed = child.failed
        if child.why == "log" or (failed is not None and failed.kind == "EOFError"):
            self._signature = None  # the writing process ended meanwhile: try again
            self._give_up_swap()
        elif failed is not None:
            self._refuse(failed.kind, failed.message)
        else:
            self._refuse("RuntimeError", "a worker ended while it loaded the bundle.")

    def _refuse(self, kind: str, reason: str) -> None:
        if self._swapping is None:
            return
        self._figures.swaps.labels("refused").inc()
        self._log.event("swap_refused", kind=kind, reason=reason)
        self._give_up_swap()

    def _give_up_swap(self) -> None:
        self._swapping, self._swap_sent = None, False
        for one in self._coming:
            one.why = "bundle"
            system.kill(one.pid)
        self._going += self._coming
        self._coming = []

    # Figures.

    def _scrape(self, asker: _Child, number: int) -> None:
        """Have all processes publish their figures, for one of them."""
        mine = next(self._numbers)
        asked = {one for one in self._everybody if one.ready is not None and one.why != "hung"}
        self._scrapes.append(_Scraping(asker, number, mine, time.monotonic() + SCRAPED, asked))
        for one in asked:
            one.channel.send(Publish(mine))

    def _end_scrapes(self, now: float) -> None:
        for one in [one for one in self._scrapes if not one.missing or now > one.until]:
            self._scrapes.remove(one)
            mine = figures.families_of(self._figures.registry)
            families = figures.merged([self._past, mine, *(child.families for child in self._everybody)])
            one.asker.channel.send(Merged(one.number, families))


def _error_of(failed: Failed | None, otherwise: str) -> ShortlistError:
    """The error of a process that could not start, as if it had been raised here."""
    if failed is None:
        return BundleError(otherwise, hint="the lines above say more")
    kind = getattr(errors, failed.kind, None)
    if isinstance(kind, type) and issubclass(kind, ShortlistError) and kind is not errors.MissingExtraError:
        return kind(failed.message, hint=failed.hint)
    return BundleError(f"a process could not start: {failed.kind}: {failed.message}", hint=failed.hint)
