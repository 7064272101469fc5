"""A worker's channel to the writing process: it sends changes there, and applies logged ones."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shortlist.serve.problems import Problem
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

__all__ = ["Following"]

WAIT = 30.0  # seconds until a change that is not written is given up
LATE = 5.0  # seconds without a pulse after which the log counts as stuck


class Following:
    """One worker's end.

    Changes that the writing process has not acknowledged when it ends are sent to the next one under the same names, by
    which it recognises those that are in the log already.

    Args:
        end: the socket to the writing process.
        replace: called with the reason when this worker can no longer follow the log.
    """

    def __init__(self, end: socket.socket, replace: Callable[[str], None]) -> None:
        self._channel = Channel(end)
        self._replace = replace
        self._last: str | None = None  # the name of the last change that was applied
        self._open: dict[str, tuple[dict[str, Any], asyncio.Future[Any]]] = {}  # sent, and not acknowledged
        self._batches: asyncio.Queue[Records] = asyncio.Queue()
        self._applied = -1
        self._last_message = time.monotonic()
        self._has_written = True  # whether the writing process has sent a message
        self._caught_up: asyncio.Future[None] | None = None
        self._joined_at: int | None = None
        self._applying: asyncio.Task[None] | None = None
        self._closed = False
        self.retiring = False

    def snapshot(self) -> Sequence[Mapping[str, Any]]:
        """The contents of the log, once the writing process has read it; waits for them.

        Raises:
            EOFError: when that process has ended.
        """
        self._channel.send(Follow(fresh=True))
        found: list[dict[str, Any]] | None = None
        while found is None:
            for message, fds in self._channel.wait():
                if isinstance(message, Snapshot):
                    found = message.records
                else:
                    self._take(message, fds)
        for record in found:
            for name in record.get("named", ()):
                self._last = name
        return found

    async def start(self, service: Service) -> None:
        """Follow from now on; return when every change is here that was acknowledged without this worker."""
        self._service = service
        self._caught_up = asyncio.get_running_loop().create_future()
        self._applying = asyncio.create_task(self._apply_all())
        self._channel.attach(self._take, self._lost)
        self._channel.send(Join())
        await self._caught_up

    def renew(self, end: socket.socket) -> None:
        """Follow another writing process."""
        if self._closed:
            end.close()
            return
        self._channel.close()
        self._channel = Channel(end)
        self._channel.attach(self._take, self._lost)
        self._batches.put_nowait(Records(-1, []))  # changes that the old one sent are applied first
        if self._has_written:  # else one after the other fails, and nothing is written
            self._last_message = time.monotonic()
        self._has_written = False

    @property
    def alive(self) -> bool:
        """Whether changes are still being written."""
        return time.monotonic() - self._last_message < LATE

    async def change(self, record: dict[str, Any]) -> Any:
        """Have a change written.

        Returns:
            Its outcome, once every worker has it.

        Raises:
            Problem: when it does not fit, or is not written in time.
        """
        name = secrets.token_hex(8)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        record = {**record, "name": name}
        self._open[name] = record, future
        self._channel.send(Change(record))
        try:
            return await asyncio.wait_for(future, WAIT)
        except asyncio.TimeoutError:
            raise Problem(
                503,
                "the change was not acknowledged in time; it may have been made.",
                retry_after=5,
                reason="late",
                hint="send it again",
            ) from None
        finally:
            self._open.pop(name, None)

    def _take(self, message: Any, _: list[int]) -> None:
        self._last_message, self._has_written = time.monotonic(), True
        if isinstance(message, Records):
            self._batches.put_nowait(message)
        elif isinstance(message, Outcome):
            self._settle(message)
        elif isinstance(message, Joined):
            self._joined_at = message.position
            self._check_caught_up()
        elif isinstance(message, StartOver):
            self._replace("log")
        else:
            assert isinstance(message, Pulse)

    def _settle(self, outcome: Outcome) -> None:
        _, future = self._open.get(outcome.name, (None, None))
        if future is None or future.done():
            return
        if outcome.problem is not None:
            status, detail, field, hint, retry_after, reason = outcome.problem
            future.set_exception(Problem(status, detail, field, hint, retry_after, reason=reason))
        elif outcome.value is None:
            future.set_exception(RuntimeError("the writing process failed"))
        else:
            future.set_result(outcome.value)

    def _lost(self) -> None:
        """The writing process has ended: changes that it did not acknowledge are sent again to the next one."""

    async def _apply_all(self) -> None:
        try:
            while True:
                batch = await self._batches.get()
                if batch.position < 0:
                    self._resume()
                else:
                    await self._apply_batch(batch)
        except Exception:  # a bug of ours: the other processes wait for this worker
            self._replace("bug")
            raise

    async def _apply_batch(self, batch: Records) -> None:
        outcomes = await asyncio.gather(*map(self._apply, batch.records), return_exceptions=True)
        failed = [one for one in outcomes if isinstance(one, BaseException)]
        if failed and not self.retiring:
            if self._caught_up is not None and not self._caught_up.done():
                self._caught_up.set_exception(failed[0])
            else:
                self._replace("log")
        if batch.records:
            self._last = batch.records[-1]["name"]
        self._applied = batch.position
        self._channel.send(Applied(batch.position))
        self._check_caught_up()

    async def _apply(self, record: dict[str, Any]) -> None:
        if record["op"] == "change":  # a bundle that is being replaced may lack a column
            columns = self._service.loaded.state.candidates.schema
            rows = [{name: value for name, value in row.items() if name in columns} for row in record["upsert"]]
            record = {**record, "upsert": rows}
        await self._service.writer.change(record)

    def _resume(self) -> None:
        """Follow the new writing process, once all messages of the last are applied, and send it the open changes."""
        self._applied = -1
        self._channel.send(Follow(False, self._last))
        for record, _ in self._open.values():
            self._channel.send(Change(record))

    def _check_caught_up(self) -> None:
        waiting = self._caught_up
        if waiting is None or waiting.done() or self._joined_at is None:
            return
        if self._applied >= self._joined_at:
            waiting.set_result(None)

    def close(self) -> None:
        """Stop following: no change waits for this worker from now on, and it applies none."""
        self._closed = True
        if self._applying is not None:
            self._applying.cancel()
        self._channel.close()
