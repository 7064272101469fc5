"""Requests that arrive together are answered together; long ones are cut, so that others have turns in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from shortlist.errors import MissingExtraError, ShortlistError
from shortlist.recommender.fold_in import COMPETITORS
from shortlist.recommender.served import Served
from shortlist.serve.clock import Moment, Stopwatch
from shortlist.serve.metrics import Metrics
from shortlist.serve.problems import Problem
from shortlist.serve.reading import Ask, Group, misfit
from shortlist.serve.settings import Limits
from shortlist.serve.turns import TURN, Lane, Turns, raisable

__all__ = ["Batcher", "Paces", "Take"]

INLINE = 0.002  # seconds: what takes less is answered on the event loop itself; handing it to a thread would take as long again
WRITTEN = 4096  # values that ``take`` may write on the event loop, in about a millisecond; a turn has twice as many
SLICES = 8  # of a piece, of about a millisecond each, between which the event loop goes first
LOOKS = 2  # turns of the event loop for which a batch waits at most, each only if requests have arrived in it
FORGET = 0.1  # of the difference between a pace and the last measurement
QUERY, ITEM, PRODUCT = 5e-4, 2e-6, 3e-10  # seconds of a query, an item and a multiplication, until they are measured
FEATURES = 5e-4  # and of a query's features
CHOSEN, COMPETING, REACH = (
    1e-4,
    5e-8,
    2.5e-9,
)  # and of folding in what it chose, for each competitor and each of its numbers
READ = 8_000_000  # numbers of all vectors from which exact search mostly waits for memory: two queries take hardly longer than one
RULED, EXPLAINED = 2e-5, 5e-5  # and of an item of a list with rules, or with a reason

Take: TypeAlias = "Callable[[int, list[Any]], None]"


class Paces:
    """Seconds that a query takes, by the kind of its group, measured on the last ones."""

    def __init__(self) -> None:
        self._of: dict[Any, float] = {}

    def of(self, group: Group) -> float:
        """Seconds per query; for a kind that was not asked yet, estimated from the numbers that it multiplies."""
        measured = self._of.get(group.kind())
        return _guess(group) if measured is None else measured

    def measured(self, group: Group, seconds: float) -> None:
        """Record what a query of a batch took."""
        before = self.of(group)
        if len(self._of) > 1024:  # kinds are few; features that clients choose make more
            self._of.clear()
        self._of[group.kind()] = before + FORGET * (seconds - before)


def _guess(group: Group) -> float:
    item = ITEM + RULED * (group.ruled is not None) + EXPLAINED * group.explain
    index = group.loaded.served.index
    seconds = QUERY + item * group.k + FEATURES * bool(group.features)
    if group.chosen:
        seconds += CHOSEN + min(index.size, COMPETITORS) * (COMPETING + REACH * index.dim)
    if _is_exact(group):
        seconds += PRODUCT * index.size * index.dim
    return seconds


def _is_exact(group: Group) -> bool:
    """Whether each query is multiplied with all candidates."""
    return group.wants != "vectors" and (group.exact or group.loaded.served.index.exact)


def _reads_all(group: Group) -> bool:
    """Whether a query mostly waits until the vectors of all candidates are read."""
    index = group.loaded.served.index
    return _is_exact(group) and group.open is None and group.rows is None and index.size * index.dim >= READ


class _Waiting(NamedTuple):
    group: Group
    asks: Sequence[Ask]
    future: asyncio.Future[list[Any]]
    since: float
    cost: float  # seconds, as expected


class Batcher:
    """Joins what is asked while the event loop reads its sockets, or while others have their turn.

    A lone request is answered at once; where others arrive while it waits for its turn, they join it, for ``LOOKS`` turns
    of the loop at most. So batches grow with the number of requests (up to ``limits.batch`` queries). The cost of a request is estimated before it waits: its queries times the pace of their
    kind.

    1. A request that takes less than ``INLINE`` is answered on the loop, all that wait in one batch: parts of it would
       hold up the loop for as long, and each part costs what a batch costs.
    2. One that takes up to a turn goes to the thread (``turns``), with those that can join it.
    3. A longer one, or one with a long reply, is cut into pieces of a turn each, by the pace of its own last piece.

    When a request would wait for its turn longer than ``limits.wait_seconds``, ``ask`` raises Problem 503 at once.

    Args:
        answer: answers the queries of one group.
        limits: the server's limits.
        metrics: where batches are counted.
        turns: the thread for what is too long for the loop.
        others: whether other threads than that one work.
        prepare: computes what a bundle's folding in needs before its first vector, while others are answered.
    """

    def __init__(
        self,
        answer: Callable[[Group, Sequence[Ask]], list[Any]],
        limits: Limits,
        metrics: Metrics,
        turns: Turns,
        others: Callable[[], bool] = lambda: False,
        prepare: Callable[[Served], Awaitable[None]] | None = None,
    ) -> None:
        self.paces = Paces()
        self._prepare = prepare
        self._answer = answer
        self._limits = limits
        self._metrics = metrics
        self._turns = turns
        self._quick: list[_Waiting] = []
        self._slow: list[_Waiting] = []
        self._watch = Stopwatch(lambda: turns.running or others())
        self._long = 0  # requests that are being answered in pieces
        self._expected = [0.0, 0.0]  # seconds of what waits: of what is not quick, and of what is
        self.arrived: Callable[[], int] = lambda: 0  # requests that have begun until now
        self.at_once: Callable[[], bool] = lambda: False  # whether no other request can join one that is asked now
        self._seen = self._looks = 0  # how many had when the batch was looked at last, and how often it was
        self._flushing = self._finishing = False
        self._slow_tasks: set[asyncio.Task[None]] = set()

    async def ask(self, group: Group, asks: Sequence[Ask], take: Take, *, values: int = 1, light: bool = True) -> None:
        """Answer ``asks``, and call ``take`` with each part of the answers and the position of its first.

        Args:
            group: what the queries have in common.
            asks: the queries.
            take: gets the answers.
            values: how many values ``take`` writes for one answer; if there are many in all, it is called in the thread.
            light: whether the queries brought little themselves, so that they take as long as others of their kind.

        Raises:
            Problem: when the queries do not fit, or would wait too long.
        """
        if not light:
            group = group._replace(light=False)
        at_once = not group.chosen or group.loaded.served.folds_at_once
        if not at_once and self._prepare is not None and group.loaded.served.fold_in_is_unprepared:
            await self._prepare(group.loaded.served)
        pace = self.paces.of(group)
        if (len(asks) > 1 and len(asks) > self._fitting(group, pace)) or len(asks) * values > WRITTEN:
            await self._in_pieces(group, asks, take, values)
            return
        cost = len(asks) * pace
        quick = light and cost <= INLINE and at_once
        self._check_wait(self._expected[quick] * (2 if not quick and self._turns.others else 1))
        loop = asyncio.get_running_loop()
        one = _Waiting(group, asks, loop.create_future(), time.perf_counter(), cost)
        if quick and self.at_once() and not self._quick:
            self._turns.loop_answers()
            self._answer_all([one])
            take(0, one.future.result())
            return
        self._expected[quick] += cost
        try:
            self._enqueue(one, quick, loop)
            if quick:
                found = await one.future
            else:
                with self._turns.off_loop():
                    found = await one.future
        finally:
            self._expected[quick] -= cost
        take(0, found)

    def finish(self) -> None:
        """From now on nothing is refused: no more will arrive, and what is here is to be answered."""
        self._finishing = True

    def _fitting(self, group: Group, pace: float) -> int:
        """Queries of one turn: as many as take no longer, but one at the least, or two that read all vectors together."""
        least = min(2, self._limits.batch) if _reads_all(group) else 1
        return max(least, min(self._limits.batch, int(TURN / max(pace, 1e-9))))

    def _check_wait(self, wait: float) -> None:
        """Check the expected wait.

        Raises:
            Problem: for a request that would wait too long.
        """
        if not self._finishing and wait > self._limits.wait_seconds:
            raise Problem(
                503,
                "the server is overloaded.",
                retry_after=max(1, round(wait)),
                hint="wait for the seconds in Retry-After",
            )

    # In pieces.

    async def _in_pieces(self, group: Group, asks: Sequence[Ask], take: Take, values: int) -> None:
        self._check_wait(self._long * TURN)
        self._long += 1
        since, pace, at = time.perf_counter(), self.paces.of(group), 0
        try:
            size = min(self._fitting(group, pace), max(1, 2 * WRITTEN // max(values, 1)))
            while at < len(asks):
                piece = asks[at : at + size]
                seconds, done = await self._turns.take(Lane.LARGE, partial(self._piece, group, piece, take, at))
                if at == 0:
                    self._metrics.wait.observe(max(0.0, time.perf_counter() - since - seconds))
                size = min(self._fitting(group, seconds / done), 2 * size)
                at += done
        finally:
            self._long -= 1

    def _piece(self, group: Group, asks: Sequence[Ask], take: Take, at: int) -> tuple[float, int]:
        """Answer a piece of a request, in the thread.

        While others are answered now and then, it is taken in slices: between two of them the event loop goes first, and
        the piece ends where a request of one turn waits.

        Returns:
            The seconds taken, by the writing too; and how many queries were answered.
        """
        begun, waited, done = Moment.now(), -self._turns.interruptions, 0
        size = (
            max(1, len(asks) // (SLICES // 2 if group.features else SLICES)) if self._turns.others_lately else len(asks)
        )
        try:
            for first in range(0, len(asks), size):
                waited += self._turns.yield_to_loop()
                used = self._turns.work()
                found = self._answer(group, asks[first : first + size])
                self._measure(group, len(found), self._turns.work().since(used))
                for number, answer in enumerate(found, start=at + first):
                    waited += self._turns.yield_to_loop()
                    take(number, [answer])
                done += len(found)
                if self._turns.waiting(Lane.SMALL):
                    break
        except ShortlistError as error:
            raise misfit(error) from None
        waited += self._turns.interruptions
        return max(0.0, Moment.now().since(begun) - waited), done

    # In batches.

    def _enqueue(self, one: _Waiting, quick: bool, loop: asyncio.AbstractEventLoop) -> None:
        if quick:
            self._quick.append(one)
            self._turns.loop_answers()
            if not self._flushing:
                self._flush_soon(loop)
        else:
            self._slow.append(one)
            task = loop.create_task(
                self._turn(one.group.light)
            )  # each waits in the lane, so that it is seen how many do
            self._slow_tasks.add(task)
            task.add_done_callback(self._slow_tasks.discard)

    def _flush_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flushing, self._seen, self._looks = True, self.arrived(), 0
        loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Answer one batch of quick requests; the loop looks at its sockets before the next.

        Requests that have arrived meanwhile join the batch: two small batches take longer than one.
        """
        if self._looks < LOOKS and self.arrived() != self._seen:
            self._seen, self._looks = self.arrived(), self._looks + 1
            asyncio.get_running_loop().call_soon(self._flush)
            return
        self._flushing = False
        waiting = [one for one in self._quick if not one.future.done()]
        if not waiting:
            self._quick = []
            return
        batch, self._quick = _joined(waiting, self._limits.batch)
        self._answer_all(batch)
        if self._quick:
            self._flush_soon(asyncio.get_running_loop())

    def _answer_all(self, batch: list[_Waiting]) -> None:
        """Answer a batch on the loop."""
        self._observe_wait(batch)
        begun = self._watch.start()
        outcomes = self._outcomes(batch)
        self._done(batch, outcomes, self._watch.since(begun))

    async def _turn(self, light: bool) -> None:
        """Answer, in one turn, the request that has waited longest and those that can join it; a light one may interrupt."""
        batch: list[_Waiting] = []

        def begin() -> Callable[[], tuple[list[Any], float]] | None:
            self._slow = [one for one in self._slow if not one.future.done()]
            if not self._slow:  # the others have joined, or have been given up
                return None
            group = self._slow[0].group
            joined, self._slow = _joined(self._slow, self._fitting(group, self.paces.of(group)))
            batch.extend(joined)
            return partial(self._timed, batch)

        try:
            found = await self._turns.take_prepared(Lane.SMALL, begin, interrupts=light)
        except Exception as error:
            found = [error] * len(batch), 0.0
        if batch:
            self._done(batch, *found)

    def _timed(self, batch: list[_Waiting]) -> tuple[list[Any], float]:
        """For each request its answers, or the error that it alone has; and the seconds taken, in a thread."""
        self._observe_wait(batch)
        used = self._turns.work()
        outcomes = self._outcomes(batch)
        return outcomes, self._turns.work().since(used)

    def _observe_wait(self, batch: list[_Waiting]) -> None:
        now = time.perf_counter()
        for one in batch:
            self._metrics.wait.observe(now - one.since)

    def _outcomes(self, batch: list[_Waiting]) -> list[Any]:
        try:
            found = self._answer(batch[0].group, [ask for one in batch for ask in one.asks])
        except ShortlistError as error:
            if len(batch) == 1 or isinstance(error, MissingExtraError):  # all of them lack it
                return [misfit(error)] * len(batch)
            middle = len(batch) // 2  # one of them does not fit: answer the others without it
            return self._outcomes(batch[:middle]) + self._outcomes(batch[middle:])
        except BaseException as error:  # a bug of ours, for the app to log and to answer with 500
            return [raisable(error)] * len(batch)
        outcomes, at = [], 0
        for one in batch:
            outcomes.append(found[at : at + len(one.asks)])
            at += len(one.asks)
        return outcomes

    def _done(self, batch: list[_Waiting], outcomes: list[Any], seconds: float) -> None:
        self._measure(batch[0].group, sum(len(one.asks) for one in batch), seconds)
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.future.done():
                continue
            if isinstance(outcome, Exception):
                one.future.set_exception(outcome)
            else:
                one.future.set_result(outcome)

    def _measure(self, group: Group, count: int, seconds: float) -> None:
        self.paces.measured(group, seconds / max(count, 1))
        self._metrics.batch.observe(count)
        self._metrics.answer.observe(seconds)


def _joined(waiting: list[_Waiting], most: int) -> tuple[list[_Waiting], list[_Waiting]]:
    """The first that waits with those that may be answered with it, up to ``most`` queries; and the others."""
    key = waiting[0].group.key()
    if key is None:
        return waiting[:1], waiting[1:]
    batch, left, count = [], [], 0
    for one in waiting:
        fits = count == 0 or count + len(one.asks) <= most
        if fits and one.group.key() == key:
            batch.append(one)
            count += len(one.asks)
        else:
            left.append(one)
    return batch, left
