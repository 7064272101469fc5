"""Requests that arrive together, answered together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from shortlist.errors import ShortlistError
from shortlist.recommender import Recommendation
from shortlist.serve.metrics import Metrics
from shortlist.serve.problems import Problem
from shortlist.serve.reading import Ask, Group, misfit
from shortlist.serve.settings import Limits

__all__ = ["Batcher"]

INLINE = 0.002  # seconds: what takes less is answered on the event loop itself, which a thread's hand-over would double


class _Waiting(NamedTuple):
    group: Group
    asks: Sequence[Ask]
    future: asyncio.Future[list[Recommendation]]
    since: float


class Batcher:
    """Joins what is asked while the event loop reads its sockets, or while the last batch is being answered.

    Nothing waits for company: a lone request is answered at once, and the more come, the larger the batches (up to
    ``limits.batch`` queries). A request that alone would take longer than ``INLINE``, by the pace of the last ones, goes to
    a thread with what can join it, so that the loop continues to read. Requests that are quick are answered on the loop, all
    that wait in one batch: parts of it would hold up the loop for as long, and each part costs what a batch costs. Where the
    queue would take longer than ``limits.wait_seconds``, ``ask`` raises Problem 503 at once.
    """

    def __init__(
        self, answer: Callable[[Group, Sequence[Ask]], list[Recommendation]], limits: Limits, metrics: Metrics,
        pool: Executor,
    ) -> None:  # fmt: skip
        self._answer = answer
        self._limits = limits
        self._metrics = metrics
        self._pool = pool
        self._waiting: list[_Waiting] = []
        self._queries = 0
        self._scheduled = False
        self._busy = self._finishing = False
        self._pace = 0.0005  # seconds a query, of the last batches

    async def ask(self, group: Group, asks: Sequence[Ask]) -> list[Recommendation]:
        """The lists of ``asks``. Raises Problem."""
        wait = self._queries * self._pace
        if not self._finishing and wait > self._limits.wait_seconds:
            raise Problem(
                503,
                "the server is overloaded.",
                retry_after=max(1, round(wait)),
                hint="wait for the seconds in Retry-After",
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Recommendation]] = loop.create_future()
        self._waiting.append(_Waiting(group, asks, future, time.perf_counter()))
        self._queries += len(asks)
        if not self._scheduled and not self._busy:
            self._scheduled = True
            loop.call_soon(self._flush)
        return await future

    def finish(self) -> None:
        """From now on nobody is refused: no more will come, and what has come is to be answered."""
        self._finishing = True

    def _flush(self) -> None:
        """Answer what waits: at once where that is quick, else in a thread and then what has come meanwhile."""
        self._scheduled = False
        while self._waiting and not self._busy:
            first = self._waiting[0]
            inline = len(first.asks) * self._pace <= INLINE and not first.group.chosen  # the first fold-in takes longer
            batch = self._next(self._limits.batch)
            count = sum(len(one.asks) for one in batch)
            if inline:
                self._done(batch, count, *self._timed(batch, time.perf_counter))
            else:
                try:
                    future = asyncio.get_running_loop().run_in_executor(
                        self._pool, self._timed, batch, time.thread_time
                    )
                except RuntimeError as error:  # no room for another thread
                    self._done(batch, count, [error] * len(batch), 0.0)
                    continue
                self._busy = True
                future.add_done_callback(
                    lambda done, batch=batch, count=count: self._back(batch, count, done.result())  # type: ignore[misc]
                )

    def _back(self, batch: list[_Waiting], count: int, outcome: tuple[list[Any], float]) -> None:
        self._busy = False
        self._done(batch, count, *outcome)
        self._flush()

    def _next(self, most: int) -> list[_Waiting]:
        """The first that waits, and what may be answered with it, up to ``most`` queries."""
        waiting = self._waiting
        key = waiting[0].group.key()
        if key is None:
            self._waiting = waiting[1:]
            return waiting[:1]
        batch, left, count = [], [], 0
        for one in waiting:
            fits = count == 0 or count + len(one.asks) <= most
            if fits and one.group.key() == key:
                batch.append(one)
                count += len(one.asks)
            else:
                left.append(one)
        self._waiting = left
        return batch

    def _timed(self, batch: list[_Waiting], clock: Callable[[], float]) -> tuple[list[Any], float]:
        """For each request its lists, or the error that it alone has; and the seconds taken, by ``clock``.

        In a thread the clock is the thread's own: while the loop is busy, a thread waits for the interpreter far longer
        than it works, and by that pace nothing would ever be answered on the loop again.
        """
        started, begun = time.perf_counter(), clock()
        for one in batch:
            self._metrics.wait.observe(started - one.since)
        outcomes = self._outcomes(batch)
        return outcomes, clock() - begun

    def _outcomes(self, batch: list[_Waiting]) -> list[Any]:
        try:
            found = self._answer(batch[0].group, [ask for one in batch for ask in one.asks])
        except ShortlistError as error:
            if len(batch) > 1:  # one of them does not fit: the others shall not suffer for it
                return [outcome for one in batch for outcome in self._outcomes([one])]
            where = batch[0].group.filters[2] if batch[0].group.filters else None
            return [misfit(batch[0].group.loaded, error, batch[0].asks, where)]
        except BaseException as error:  # a bug of ours, for the app to log and to answer with 500
            failed = error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
            return [failed] * len(batch)
        outcomes, at = [], 0
        for one in batch:
            outcomes.append(found[at : at + len(one.asks)])
            at += len(one.asks)
        return outcomes

    def _done(self, batch: list[_Waiting], count: int, outcomes: list[Any], seconds: float) -> None:
        self._queries -= count
        self._pace += 0.1 * (seconds / max(count, 1) - self._pace)
        self._metrics.batch.observe(count)
        self._metrics.answer.observe(seconds)
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.future.done():
                continue
            if isinstance(outcome, Exception):
                one.future.set_exception(outcome)
            else:
                one.future.set_result(outcome)
