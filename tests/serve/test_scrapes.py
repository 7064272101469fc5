"""Requests for metrics share one text, and leave the server its time."""

from __future__ import annotations

import asyncio
from typing import Any

from shortlist.serve import scrapes as module
from shortlist.serve.scrapes import Scrapes


def test_those_who_ask_meanwhile_share_the_next_text() -> None:
    """1 is being gathered when four ask: they get 2, which is gathered after they have asked."""

    async def ask() -> list[Any]:
        count, go = 0, asyncio.Event()

        async def gather() -> bytes:
            nonlocal count
            count += 1
            mine = count
            await go.wait()
            return b"%d" % mine

        scrapes = Scrapes(gather)
        first = asyncio.create_task(scrapes.text())
        while not count:
            await asyncio.sleep(0)
        others = [asyncio.create_task(scrapes.text()) for _ in range(4)]
        gone = asyncio.create_task(scrapes.text())
        await asyncio.sleep(0)
        gone.cancel()  # does not take it from the others
        go.set()
        return await asyncio.gather(first, *others)

    assert asyncio.run(ask()) == [b"1", b"2", b"2", b"2", b"2"]


def test_they_take_a_fiftieth_of_the_time(monkeypatch: Any) -> None:
    """A text that takes 2 ms: the next is gathered 98 ms later; one that takes 10 s, a second later. An error changes nothing."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        clock[0] += seconds

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: clock[0])
        monkeypatch.setattr(module.asyncio, "sleep", sleep)

        async def gather() -> bytes:
            clock[0] += took[0]
            if took[0] == 10.0:
                raise RuntimeError
            return b""

        scrapes = Scrapes(gather)
        await scrapes.text()
        assert slept == []
        await scrapes.text()
        assert slept == [0.098]
        took[0] = 10.0
        (error,) = await asyncio.gather(scrapes.text(), return_exceptions=True)
        assert isinstance(error, RuntimeError)
        took[0] = 0.002
        await scrapes.text()
        assert slept == [0.098, 0.098, 1.0]

    clock, took = [100.0], [0.002]
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(ask())
    finally:
        monkeypatch.undo()
        loop.close()


def test_one_text_is_handed_out_to_a_few_in_each_turn() -> None:
    """Nine wait, and one of them leaves: no turn of the loop has more replies than ``AT_ONCE``, and they come in order."""

    async def ask() -> None:
        got: list[int] = []
        go = asyncio.Event()

        async def gather() -> bytes:
            await go.wait()
            return b""

        async def one(number: int) -> None:
            await scrapes.text()
            got.append(number)

        scrapes = Scrapes(gather)
        asking = [asyncio.create_task(one(number)) for number in range(9)]
        await asyncio.sleep(0)
        asking[5].cancel()
        go.set()
        before = most = 0
        while not all(task.done() for task in asking):
            await asyncio.sleep(0)
            most, before = max(most, len(got) - before), len(got)
        assert got == [0, 1, 2, 3, 4, 6, 7, 8]
        assert most <= module.AT_ONCE

    asyncio.run(ask())
