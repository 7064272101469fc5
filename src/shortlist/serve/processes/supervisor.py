"""The first process: it owns the socket, forks the others, watches them, and replaces those that fail."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from shortlist import errors
from shortlist.errors import BundleError, ConfigError, ShortlistError
from shortlist.serve import page
from shortlist.serve.journal import NAME
from shortlist.serve.logs import Log
from shortlist.serve.processes import system
from shortlist.serve.processes.children import SIGNALS, Child, Children, Plan
from shortlist.serve.processes.messages import (
    Asked,
    Beat,
    Failed,
    Finish,
    Published,
    Ready,
    Refused,
    Replace,
    Scrape,
    Stop,
    Swapped,
)
from shortlist.serve.processes.scraping import Scraping
from shortlist.serve.processes.swapping import Swapping
from shortlist.serve.server import DRAIN
from shortlist.serve.settings import Settings

__all__ = ["Supervisor"]

TICK = 0.1  # seconds between two looks at everything
LASTS = 1.0  # seconds that a worker answers, after which its end says nothing about the next one
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between two starts where workers do not last
MEMORY_CHECK = 1.0  # seconds between two looks at the workers' memory
GROWN = 1.25  # times what a worker holds once it is loaded: below that another one would hold hardly less
FINISHED = ("finished", "stopped")  # reasons to end the writing process, which did not fail
STOOD_STILL = 1.0  # seconds between two looks at everything, beyond which this process was stopped


class Supervisor:
    """Runs a plan until SIGTERM or SIGINT; one thread, which never loads a bundle.

    The processes that it forks share the code that it has imported. It answers no requests and holds no lock, so that
    little of it can fail; if it ends, all others do.
    """

    def __init__(self, plan: Plan, listening: socket.socket, log: Log) -> None:
        self._plan = plan
        self._log = log
        self._children = Children(plan, listening, log)
        self._scraping = Scraping(self._children)
        self._swapping = Swapping(plan, self._children, self._scraping, log)
        self._next_memory_check = self._next_start = 0.0
        self._last_look = time.monotonic()
        self._needs = 0  # bytes of its own that the last worker held once it was loaded
        self._limit_is_low = False  # whether that is too near to the limit, which is logged
        self._short_lived = 0  # ends in a row of workers that did not last
        self._stop_by: float | None = None
        self._signals = 0
        self._interrupted = False  # by SIGINT
        self._drains = True  # whether workers are ready no more, and answer for a while, before they stop
        self._reload_asked = False

    def run(self, announce: Callable[[Ready], None]) -> None:
        """Run until a signal says to stop, and all requests are answered.

        Args:
            announce: called once all workers accept connections.

        Raises:
            ShortlistError: when the first workers cannot start.
        """
        _prepare_for_all(self._plan.settings)
        gc.collect()
        gc.freeze()  # imported code stays in pages that all processes share
        children = self._children
        with self._handling_signals():
            try:
                if children.logs:
                    children.start_writer(self._swapping.source)
                children.workers.append(children.start_worker(self._swapping.source))
                while self._stop_by is None and not self._complete:
                    self._turn()
                if self._swapping.ready is not None and self._stop_by is None:
                    announce(self._swapping.ready)
                while self._stop_by is None or children.running:
                    self._turn()
            finally:
                for one in children.running:
                    system.kill(one.pid)

    @property
    def _complete(self) -> bool:
        """Whether all planned workers accept connections."""
        wanted = self._children.wanted
        return len(wanted) == self._plan.workers and all(one.opened is not None for one in wanted)

    def _turn(self) -> None:
        """Read messages, then start and end processes as needed."""
        found = self._children.messages(TICK)
        for child, events in sorted(found, key=lambda one: one[0] is not None):  # a signal may be why a worker ended
            if child is None:
                self._handle_signals()
            elif not child.channel.closed:
                if events & selectors.EVENT_WRITE:
                    child.channel.flush()
                if events & selectors.EVENT_READ:
                    self._read(child)
        self._check_all(time.monotonic())

    def _read(self, child: Child) -> None:
        try:
            messages = child.channel.read()
        except EOFError:
            self._ended(child)
            return
        child.last_message = time.monotonic()
        for message, _ in messages:
            self._take(child, message)

    def _check_all(self, now: float) -> None:
        children = self._children
        self._scraping.answer(now)
        self._leave_out_pause(now)
        for one in children.running:
            if now - one.last_message > self._plan.silence and one.end_reason != "hung":
                children.kill(one, "hung")
        self._scraping.counts.workers.set(sum(one.opened is not None for one in children.workers))
        if self._stop_by is not None:
            self._check_stopping(now, self._stop_by)
            return
        if self._plan.memory is not None and now >= self._next_memory_check:
            self._next_memory_check = now + MEMORY_CHECK
            self._check_workers_memory(self._plan.memory)
        if self._swapping.ready is not None:
            if now >= self._next_start:
                try:
                    self._fill_up()
                except OSError as error:  # no memory, or too many processes: the others continue
                    self._log.event("start_failed", errno=error.errno)
                    self._pause(lasted=False)
            self._retire_replaced()
            if self._plan.watch:
                self._swapping.check(now)

    def _leave_out_pause(self, now: float) -> None:
        """Count no process as silent for a time in which this one did not run: a container that is paused stops them all."""
        passed, self._last_look = now - self._last_look, now
        if passed > STOOD_STILL:
            for one in self._children.running:
                one.last_message = min(now, one.last_message + passed)

    def _fill_up(self) -> None:
        """Start missing processes, one at a time."""
        children = self._children
        if children.writer is None and children.logs:
            for one in (*children.workers, *children.starting):  # they wait for messages of the last one
                if one.opened is None and one.end_reason is None:
                    children.kill(one, "log")
            children.start_writer(self._swapping.source)
            self._scraping.counts.writers.inc()
        elif len(children.wanted) < self._plan.workers:
            children.workers.append(children.start_worker(self._swapping.source))

    # Messages.

    def _take(self, child: Child, message: Any) -> None:
        if isinstance(message, Beat):
            return
        if isinstance(message, Asked):
            self._children.asked = message.requests
        elif isinstance(message, Published):
            self._scraping.published(child, message)
        elif isinstance(message, Scrape):
            self._scraping.ask(child, message.number)
        elif isinstance(message, Ready):
            child.ready = message
            if self._stop_by is None and child is not self._children.writer:
                self._is_ready(child, message)
        elif isinstance(message, Failed):
            child.failed = message
        elif isinstance(message, Replace):
            child.end_reason = child.end_reason or message.why
        elif isinstance(message, Swapped):
            if self._stop_by is None:
                self._swapping.writer_swapped(message.bundle)
        else:
            assert isinstance(message, Refused)
            self._swapping.writer_refused(message.bundle, message.kind, message.message)

    def _is_ready(self, child: Child, ready: Ready) -> None:
        swapping = self._swapping
        if self._plan.memory is not None:
            self._check_memory(child, self._plan.memory)
        if child in self._children.starting:
            swapping.is_ready(ready)
            return
        if swapping.ready is None:
            swapping.first(ready)
        assert swapping.ready is not None
        if child in self._children.workers and ready.bundle == swapping.ready.bundle:
            self._children.open(child)
        else:  # another bundle was put there since, and will be looked at
            self._children.kill(child, "bundle")

    # Ends.

    def _ended(self, child: Child) -> None:
        children, stopping = self._children, self._stop_by is not None
        code = children.reap(child)
        self._scraping.ended(child)
        if child is children.writer:
            children.writer = None
            if child.end_reason not in FINISHED:
                self._writer_ended(child, code)
        elif child in children.retiring:
            children.retiring.remove(child)
            self._finished_or_cut_off(child, code)
        elif child in children.starting:
            children.starting.remove(child)
            if not stopping:
                self._swapping.ended(child)
        else:
            children.workers.remove(child)
            if stopping:
                self._finished_or_cut_off(child, code)
            else:
                self._worker_ended(child, code)

    def _worker_ended(self, child: Child, code: int) -> None:
        failed = child.failed
        if self._swapping.ready is None:
            if failed is not None and failed.kind == "EOFError":
                return  # the writing process says why
            raise _error_of(failed, f"a worker could not start (exit code {code}).")
        reason = child.end_reason or "died"
        lasted = child.opened is not None and time.monotonic() - child.opened >= LASTS
        replaced = reason == "bundle" and child.source is not self._swapping.source  # else the next one is no better
        self._pause(lasted or replaced or reason == "log")
        if child.opened is not None:
            self._scraping.counts.replaced.labels(reason).inc()
        self._log_end(child, reason, code)

    def _finished_or_cut_off(self, child: Child, code: int) -> None:
        """A worker has ended that was to end once its requests are answered. If it was killed or crashed before, that is
        logged and counted; no other one starts in its place.
        """
        if child.opened is None or code == 0:
            return
        reason = child.end_reason if child.end_reason in ("hung", "stopped") else "died"
        if reason != "stopped":
            self._scraping.counts.replaced.labels(reason).inc()
        self._log_end(child, reason, code)

    def _log_end(self, child: Child, reason: str, code: int) -> None:
        failed = child.failed
        error = {} if failed is None else {"kind": failed.kind, "message": failed.message}
        self._log.event("worker_ended", worker=child.slot, reason=reason, code=code, **error)

    def _writer_ended(self, child: Child, code: int) -> None:
        if self._swapping.ready is None:
            if self._stop_by is not None:
                return
            raise _error_of(child.failed, f"the writing process could not start (exit code {code}).")
        self._pause(child.ready is not None)
        error = {} if child.failed is None else {"kind": child.failed.kind, "message": child.failed.message}
        self._log.event("writer_ended", reason=child.end_reason or "died", code=code, **error)
        if self._stop_by is None:
            self._swapping.writer_ended()

    def _pause(self, lasted: bool) -> None:
        """When the next one may start: at once, and later and later while they do not last."""
        self._short_lived = 0 if lasted else self._short_lived + 1
        pause = 0.0 if self._short_lived < 2 else min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._short_lived - 2))
        self._next_start = time.monotonic() + pause

    # Memory.

    def _check_workers_memory(self, limit: int) -> None:
        most = max(limit, int(GROWN * self._needs))
        for one in self._children.wanted:
            if one.opened is not None and system.own_memory(one.pid) > most:
                one.end_reason = "memory"

    def _check_memory(self, child: Child, limit: int) -> None:
        """Note what a worker holds once it is loaded.

        Raises:
            ConfigError: when the limit is too low for the bundle alone. If its log has grown since, the server starts
                nevertheless: nothing was wrong when it was started last.
        """
        needs = self._needs = system.own_memory(child.pid)
        if needs > limit and self._swapping.ready is None and not self._has_changes:
            raise ConfigError(
                f"--max-memory is {limit >> 20} MiB; a worker holds {needs >> 20} MiB of its own once it is loaded.",
                hint="give it more, or leave --max-memory out",
            )
        low = GROWN * needs > limit
        if low and not self._limit_is_low:
            self._log.event("memory_limit_low", limit=limit >> 20, needs=needs >> 20)
        self._limit_is_low = low

    @property
    def _has_changes(self) -> bool:
        """Whether the log of changes has any."""
        state = self._plan.settings.state
        with contextlib.suppress(OSError):
            return state is not None and (state / NAME).stat().st_size > 0
        return False

    def _retire_replaced(self) -> None:
        """Retire the workers to be replaced, once the others accept connections."""
        if not self._complete:
            return
        for one in [one for one in self._children.workers if one.end_reason not in (None, "hung", "bundle")]:
            if one.opened is None:
                continue
            assert one.end_reason is not None
            self._scraping.counts.replaced.labels(one.end_reason).inc()
            self._log.event("worker_replaced", worker=one.slot, reason=one.end_reason)
            self._pause(lasted=time.monotonic() - one.opened >= LASTS)
            self._children.retire(one)

    # Signals and the end.

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        receiver, sender = socket.socketpair()
        receiver.setblocking(False)
        sender.setblocking(False)
        self._signal_socket = receiver
        self._children.selector.register(receiver, selectors.EVENT_READ, None)
        fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)  # first: each signal is to wake it
        before = {one: signal.signal(one, self._signalled) for one in SIGNALS}
        try:
            yield
        finally:
            signal.set_wakeup_fd(fd)
            for one, handler in before.items():
                signal.signal(one, handler)
            self._children.selector.close()
            receiver.close()
            sender.close()

    def _signalled(self, number: int, frame: Any) -> None:
        if number == signal.SIGHUP and not os.isatty(2):  # at a terminal it says that this is closed
            self._reload_asked = True
        else:
            self._signals += 1
            self._interrupted = self._interrupted or number == signal.SIGINT

    def _handle_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._signal_socket.recv(1024):
                pass
        children = self._children
        if self._reload_asked:
            self._reload_asked = False
            self._swapping.recheck()
        if not self._signals:
            return
        now = time.monotonic()
        if self._stop_by is None:
            self._stop_by = now + self._plan.settings.drain_seconds + DRAIN + 5.0
            self._log.event("stopping")
            children.listening.close()  # it stays open in workers, until the last one has accepted all connections
            for one in children.running:
                if one is not children.writer:
                    system.end(one.pid)
        if self._drains and (self._interrupted or self._signals > 1):
            self._drains = False
            self._stop_by = min(self._stop_by, now + DRAIN + 5.0)
            for one in children.running:
                if one is not children.writer:
                    one.channel.send(Stop())
        if self._signals > 2:  # a third signal means: do not wait
            for one in children.running:
                children.kill(one, "stopped")

    def _check_stopping(self, now: float, stop_by: float) -> None:
        """End the writing process when no worker is left that could send a change; until then there has to be one."""
        children = self._children
        writer, running = children.writer, children.running
        if now > stop_by or self._signals > 2:
            for one in running:
                children.kill(one, "stopped")
        elif writer is None:
            if children.logs and now >= self._next_start and any(one.opened is not None for one in running):
                try:
                    children.start_writer(self._swapping.source)
                    self._scraping.counts.writers.inc()
                except OSError as error:
                    self._log.event("start_failed", errno=error.errno)
                    self._pause(lasted=False)
        elif running == [writer] and writer.end_reason is None:
            writer.end_reason = "finished"
            if writer.ready is None:  # nobody waits for it any more
                system.kill(writer.pid)
            else:
                writer.channel.send(Finish())


def _prepare_for_all(settings: Settings) -> None:
    """Import and make what workers would import and make for themselves, each in memory of its own."""
    for name in ("numpy.ma", "numpy.random", "uvicorn.lifespan.on", "uvloop"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if settings.page:
        page.files(settings.items, settings.people)


def _error_of(failed: Failed | None, otherwise: str) -> ShortlistError:
    """The error of a process that could not start, as if it had been raised here."""
    if failed is None:
        return BundleError(otherwise, hint="the lines above say more")
    kind = getattr(errors, failed.kind, None)
    if isinstance(kind, type) and issubclass(kind, ShortlistError) and kind is not errors.MissingExtraError:
        return kind(failed.message, hint=failed.hint)
    return BundleError(f"a process could not start: {failed.kind}: {failed.message}", hint=failed.hint)
