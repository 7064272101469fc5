"""The processes of one server as the supervisor holds them: how they start, report and end."""

from __future__ import annotations

import contextlib
import errno
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

from shortlist.serve.logs import Log
from shortlist.serve.processes import system
from shortlist.serve.processes.board import NOT_ACCEPTING, SLOTS, Board
from shortlist.serve.processes.channel import Channel, pair
from shortlist.serve.processes.messages import Failed, Family, NewFollower, NewLog, Open, Ready, Retire
from shortlist.serve.processes.worker import Source, work, write
from shortlist.serve.settings import Settings
from shortlist.store.allocation import keep_together

__all__ = ["SIGNALS", "Child", "Children", "Plan"]

RETIRE = 10.0  # seconds that the connections of a replaced worker have
WRITER = -1  # the slot of the process that writes
SIGNALS = (
    (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if hasattr(signal, "SIGHUP") else ()
)  # there is no fork without


@dataclass(frozen=True)
class Plan:
    """The processes that a supervisor runs.

    Attributes:
        bundle: a folder or a link to one.
        workers: how many answer.
        settings: of the server.
        watch: whether to look for another bundle there.
        memory: bytes of its own that a worker may hold, None for any number.
        silence: seconds without a sign of life after which a process is replaced.
        log_requests: whether replies are logged.
    """

    bundle: Path
    workers: int
    settings: Settings
    watch: bool = True
    memory: int | None = None
    silence: float = 10.0
    log_requests: bool = True


@dataclass(eq=False)
class Child:
    """A process.

    Attributes:
        pid: of the system.
        channel: to it.
        slot: a worker's number on the board, or ``WRITER``.
        source: the bundle that it loads.
        last_message: when it gave its last sign of life.
        ready: its report once it has loaded the bundle.
        failed: its report if it could not.
        opened: since when it accepts connections.
        end_reason: the reason to end it.
        families: the figures that it published last.
    """

    pid: int
    channel: Channel
    slot: int
    source: Source
    last_message: float
    ready: Ready | None = None
    failed: Failed | None = None
    opened: float | None = None
    end_reason: str | None = None
    families: list[Family] = field(default_factory=list)


class Children:
    """All processes of a plan.

    Workers of the next bundle are in ``starting`` until they take over.

    Attributes:
        workers: of the bundle in use.
        retiring: workers that no longer accept connections.
        writer: the process that writes, if there is a log.
        listening: the socket that workers accept connections from.
        asked: the latest requests, to warm workers up with.
    """

    def __init__(self, plan: Plan, listening: socket.socket, log: Log) -> None:
        self._plan = plan
        self.listening = listening
        self._log = log
        self._board = Board()
        self.selector = selectors.DefaultSelector()
        self.workers: list[Child] = []
        self.starting: list[Child] = []
        self.retiring: list[Child] = []
        self.writer: Child | None = None
        self.asked: list[bytes] = []

    @property
    def running(self) -> list[Child]:
        """All processes that have not ended."""
        writer = [] if self.writer is None else [self.writer]
        return [*writer, *self.workers, *self.starting, *self.retiring]

    @property
    def wanted(self) -> list[Child]:
        """Workers of the bundle in use that are not to end."""
        return [one for one in self.workers if one.end_reason is None]

    @property
    def logs(self) -> bool:
        """Whether there is a log, and a process that writes it."""
        return self._plan.settings.state is not None

    # Starting.

    def start_worker(self, source: Source) -> Child:
        """Start another worker; it accepts no connections before ``open``.

        Raises:
            OSError: when the system has no room for it.
        """
        used = {one.slot for one in (*self.workers, *self.starting, *self.retiring)}
        slot = next(number for number in itertools.count() if number not in used)
        if slot >= SLOTS:  # replaced ones that have not ended yet hold the others
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        plan = self._plan
        with contextlib.ExitStack() as ours:  # descriptors that belong to the child alone, once it is forked
            follow = None
            if self.logs:
                follow, its = (ours.enter_context(end) for end in pair())
                if self.writer is not None:
                    self.writer.channel.send(NewFollower(slot), [its.fileno()])
                its.close()  # where there is no writing process, this worker sees that at once

            def do(channel: Channel) -> int:
                log = Log(system.Lines(), plan.log_requests)
                share = self._board, slot
                return work(source, plan.settings, log, channel, self.listening, share, follow, self.asked)

            return self._forked(slot, source, do)

    def start_writer(self, source: Source) -> Child:
        """Start the process that writes, with channels to all workers that answer.

        Raises:
            OSError: when the system has no room for it.
        """
        with contextlib.ExitStack() as ours:
            followers = []
            for one in (*self.workers, *self.retiring):
                if one.opened is not None:
                    mine, its = (ours.enter_context(end) for end in pair())
                    followers.append((mine, one.slot))
                    one.channel.send(NewLog(), [its.fileno()])
                    its.close()

            def do(channel: Channel) -> int:
                return write(source, self._plan.settings, Log(system.Lines()), channel, followers)

            self.writer = self._forked(WRITER, source, do)
        return self.writer

    def _forked(self, slot: int, source: Source, do: Callable[[Channel], int]) -> Child:
        mine, its = pair()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(
                OSError, ValueError, AttributeError
            ):  # a full disk, or closed: the next one starts
                stream.flush()
        parent = os.getpid()
        mask = signal.pthread_sigmask(
            signal.SIG_BLOCK, SIGNALS
        )  # the child would lose one before it has its own handlers
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # there are threads: those of libraries, which sleep
                pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            mine.close()
            its.close()
            raise
        if pid == 0:
            code = 1
            try:
                mine.close()
                self._become_child(parent, writes=slot == WRITER)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                code = do(Channel(its))
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 1
            except BaseException:  # a bug of ours
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        its.close()
        child = Child(pid, Channel(mine), slot, source, time.monotonic())
        self.selector.register(mine, selectors.EVENT_READ, child)
        self._log.event("process_started", pid=pid, **({"writes": True} if slot == WRITER else {"worker": slot}))
        return child

    def _become_child(self, parent: int, writes: bool) -> None:
        """Close files of the supervisor. The process that writes ignores signals, and so outlives the workers."""
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            ignored = writes or number == signal.SIGHUP
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
        system.die_with(parent)
        keep_together()
        for one in self.running:
            one.channel.socket.close()
        self.selector.close()
        if writes:
            self.listening.close()

    # Serving.

    def open(self, child: Child) -> None:
        """Let a worker accept connections."""
        child.opened = time.monotonic()
        self._board.open(child.slot)
        child.channel.send(Open())

    def retire(self, child: Child) -> None:
        """Let a worker answer the requests that it has, and end."""
        self.workers.remove(child)
        self.retiring.append(child)
        self._board.set(child.slot, NOT_ACCEPTING)
        child.channel.send(Retire(RETIRE))

    def kill(self, child: Child, why: str) -> None:
        """End a process at once."""
        child.end_reason = why
        system.kill(child.pid)

    # Hearing.

    def messages(self, seconds: float) -> list[tuple[Child | None, int]]:
        """The processes that have sent something within so many seconds; None for the signals' socket."""
        for one in self.running:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if one.channel.pending else 0)
            self.selector.modify(one.channel.socket, events, one)
        return [(key.data, events) for key, events in self.selector.select(seconds)]

    def reap(self, child: Child) -> int:
        """Release a process that has ended, or whose channel is closed.

        Returns:
            Its exit code.
        """
        system.kill(child.pid)
        code = system.reaped(child.pid)
        self.selector.unregister(child.channel.socket)
        child.channel.close()
        if child.slot != WRITER:
            self._board.set(child.slot, NOT_ACCEPTING)
        return code
