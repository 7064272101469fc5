"""A request's filters, before it is answered: their cost is estimated and bounded, and they are computed in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from shortlist.data.conditions import UNREADABLE
from shortlist.errors import ShortlistError
from shortlist.recommender.eligible import Open, opened
from shortlist.serve.clock import Moment
from shortlist.serve.loaded import Loaded
from shortlist.serve.problems import Problem
from shortlist.serve.settings import Limits
from shortlist.serve.turns import TURN, Lane, Turns

__all__ = ["Filtering"]

FEW = 100  # ids that are looked up on the event loop
PATIENCE = 50  # times as long as a condition takes it lets cheaper ones go first
CONDITION, CHARACTER, COMPARISON = 1e-3, 1e-5, 3e-9  # seconds, as expected, of reading a condition, and of computing it
PARTS = 4  # of a condition's piece, each in a turn of its own, while small requests are answered too
FORGET = 0.1  # of the difference between what turns took and what the last one did

T = TypeVar("T")


class Filtering:
    """Computes what requests leave open. A condition takes turns with other conditions and with the requests themselves.

    Args:
        limits: the server's limits.
        turns: the thread for conditions.
    """

    def __init__(self, limits: Limits, turns: Turns) -> None:
        self._limits = limits
        self._turns = turns
        self._under_way = 0
        self._turn = TURN  # seconds that a condition's turn takes

    async def open(
        self, loaded: Loaded, allow: Sequence[Any] | None, deny: Sequence[Any] | None, where: str | None
    ) -> Open | None:
        """The candidates that a request leaves open; None if it filters nothing.

        Raises:
            Problem: for a condition that cannot be read, costs too much, or would wait too long.
        """
        if (allow, deny, where) == (None, None, None):
            return None
        met = None if where is None else await self.met(loaded, where, "$.where")
        if len(allow or ()) + len(deny or ()) <= FEW:
            return opened(loaded.state, allow, deny, met)
        return await self._turns.take(Lane.FILTERS, lambda: opened(loaded.state, allow, deny, met))

    async def met(self, loaded: Loaded, where: str, field: str) -> Any:
        """The rows that meet a condition.

        Args:
            loaded: the bundle.
            where: the condition.
            field: the request's field that has it.

        Raises:
            Problem: as ``open``.
        """
        known = loaded.state.conditions.known(where)
        if known is not None:
            return known
        if self._under_way * max(TURN, self._turn) > self._limits.wait_seconds:
            raise Problem(503, "the server is overloaded.", retry_after=1, hint="wait for the seconds in Retry-After")
        self._under_way += 1
        try:
            return await self._computed(loaded, where, field)
        finally:
            self._under_way -= 1

    async def _computed(self, loaded: Loaded, where: str, field: str) -> Any:
        """The rows that meet a condition, in turns: cheap ones before new expensive ones."""
        begun, reading = time.perf_counter(), CONDITION + CHARACTER * len(where)
        try:
            due = begun + PATIENCE * reading
            evaluation = await self._take(lambda: loaded.state.conditions.begin(where), due)
            while not evaluation.is_read:
                await self._take(evaluation.read, due)
            if evaluation.cost > self._limits.filter:
                raise Problem(
                    422,
                    f"the condition costs {evaluation.cost:,} comparisons on this catalogue; at most "
                    f"{self._limits.filter:,} were expected.",
                    field,
                    hint="use fewer operators; like and functions of texts count as many",
                )
            due += PATIENCE * COMPARISON * evaluation.cost
            while not await self._take(partial(evaluation.step, PARTS if self._turns.others_lately else 1), due):
                pass
        except ShortlistError as error:
            hint = error.hint or f"columns: {', '.join(loaded.about.columns)}"
            raise Problem(422, error.plain or UNREADABLE, field, hint=hint) from None
        return evaluation.rows

    async def _take(self, work: Callable[[], T], due: float) -> T:
        """The value of ``work``, done at its turn, which is measured."""

        def measured() -> T:
            begun = Moment.now()
            try:
                return work()
            finally:
                self._turn += FORGET * (Moment.now().since(begun) - self._turn)

        return await self._turns.take(Lane.FILTERS, measured, due)
