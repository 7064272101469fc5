"""The process that writes the log of changes: it checks each change, logs it, sends it to the workers, and then acknowledges it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec
from prometheus_client import Gauge

from shortlist.serve.problems import Problem, drop_traceback
from shortlist.serve.processes.channel import Channel
from shortlist.serve.processes.messages import (
    Applied,
    Change,
    Follow,
    Join,
    Joined,
    Outcome,
    Pulse,
    Records,
    Snapshot,
    StartOver,
)
from shortlist.serve.service import Service
from shortlist.serve.shortage import shortage

__all__ = ["Hub"]

PULSE = 1.0  # seconds between checks that the log is still being written


class _Follower:
    """A worker, as the hub sees it.

    Attributes:
        channel: to it.
        slot: its number.
        counts: whether changes wait for it.
        follows: whether it is sent changes.
        applied: the position up to which it has them.
    """

    def __init__(self, channel: Channel, slot: int, counts: bool) -> None:
        self.channel = channel
        self.slot = slot
        self.counts = counts
        self.follows = False
        self.applied = -1


class Hub:
    """The writing process as workers see it.

    A change has a position: how many the hub has handed out by then, counted from its start. It is acknowledged when it
    is on the disk, and every worker that counts has applied it or has ended.

    Args:
        service: whose ``writer`` checks and logs.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._writer = service.writer
        self._writer.done = self._hand_out
        self._followers: list[_Follower] = []
        self._position = 0
        self._positions: dict[str, int] = {}  # of changes that are handed out and not acknowledged
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._recent = self._writer.recent
        self._under_way: set[str] = set()  # names of changes
        self._tasks: set[asyncio.Task[None]] = set()
        self._lag = Gauge(
            "shortlist_worker_lag_changes",
            "Changes in the log that a worker does not have yet.",
            ["worker"],
            registry=service.metrics.registry,
        )

    def add(self, end: socket.socket, slot: int, counts: bool = False) -> None:
        """Add a worker.

        Args:
            end: the socket to it.
            slot: its number.
            counts: whether it answers already.
        """
        one = _Follower(Channel(end), slot, counts)
        self._followers.append(one)
        one.channel.attach(lambda message, _: self._take(one, message), lambda: self._closed(one))

    def _closed(self, one: _Follower) -> None:
        self._followers.remove(one)
        with contextlib.suppress(KeyError):
            self._lag.remove(str(one.slot))
        self._acknowledge()

    def _take(self, one: _Follower, message: Any) -> None:
        if isinstance(message, Change):
            name = message.record["name"]
            if name not in self._under_way:  # else it was sent again before its worker followed
                self._under_way.add(name)
                self._begin(self._change(one, message.record))
        elif isinstance(message, Applied):
            if one.follows:  # else it means a position of the writing process before
                one.applied = message.position
                self._acknowledge()
        elif isinstance(message, Follow):
            self._begin(self._snapshot(one) if message.fresh else self._resume(one, message.last))
        else:
            assert isinstance(message, Join)
            one.counts = True
            one.channel.send(Joined(self._position))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Changes.

    async def _change(self, one: _Follower, record: dict[str, Any]) -> None:
        name = record["name"]
        outcome = await self._outcome(name, record)
        self._under_way.discard(name)
        one.channel.send(outcome)

    async def _outcome(self, name: str, record: dict[str, Any]) -> Outcome:
        try:
            value = await self._writer.change(record)
        except Problem as problem:
            drop_traceback(problem)
            return _refused(name, problem)
        except Exception as error:  # no memory; or a bug of ours, which the worker answers with 500
            self._service.log.event("error", kind=type(error).__name__, where="writing")
            short = shortage(error, writes=True)
            return Outcome(name) if short is None else _refused(name, short)
        await self._everywhere(self._positions.pop(name, self._position))
        return Outcome(name, value)

    def _hand_out(self, records: Sequence[dict[str, Any]]) -> None:
        for record in records:
            self._position += 1
            self._positions[record["name"]] = self._position
        content = Channel.encoded(Records(self._position, [self._recent.add(record) for record in records]))
        for one in self._followers:
            if one.follows:
                one.channel.send_encoded(content)
        self._note_lag()

    async def _everywhere(self, position: int) -> None:
        """Return when every worker that counts has the changes up to ``position``."""
        if self._floor() >= position:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((position, future))
        await future

    def _floor(self) -> int:
        return min((one.applied for one in self._followers if one.counts), default=self._position)

    def _acknowledge(self) -> None:
        floor = self._floor()
        while self._waiting and self._waiting[0][0] <= floor:
            self._waiting.popleft()[1].set_result(None)
        self._note_lag()

    def _note_lag(self) -> None:
        for one in self._followers:
            if one.counts:
                self._lag.labels(str(one.slot)).set(self._position - max(0, one.applied))

    # Workers that begin to follow.

    async def _snapshot(self, one: _Follower) -> None:
        """Send the contents of the log; from there on the worker is sent each change."""
        content = await self._writer.look(lambda changes: Channel.encoded(Snapshot(list(changes.records()))))
        one.channel.send_encoded(content)
        one.channel.send(Records(self._position, []))
        one.follows = True

    async def _resume(self, one: _Follower, last: str | None) -> None:
        """Send the changes that a worker of the previous writing process does not have."""
        names = await self._writer.look(lambda changes: list(changes.outcomes))
        missing = self._after(last, names)
        if missing is None:
            one.counts = False
            one.channel.send(StartOver())
            self._acknowledge()
        else:
            one.channel.send(Records(self._position, missing))
            one.follows = one.counts = True

    def _after(self, last: str | None, names: list[str]) -> list[msgspec.Raw] | None:
        """The changes after the one called ``last``; None if some of them are no longer known.

        Args:
            last: the name of a change; None for the start.
            names: of all known changes, in their order.
        """
        if last is not None:
            if last not in names:
                return None
            names = names[names.index(last) + 1 :]
        return self._recent.of(names)

    async def pulse(self) -> None:
        """Report to the workers again and again that the log is still being written, as long as it is."""
        while True:
            await self._writer.look(lambda _: None)
            for one in self._followers:
                one.channel.send(Pulse())
            await asyncio.sleep(PULSE)


def _refused(name: str, problem: Problem) -> Outcome:
    parts = problem.status, problem.detail, problem.field, problem.hint, problem.retry_after, problem.reason
    return Outcome(name, problem=parts)
