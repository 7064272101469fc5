"""Requests that no other meets are answered in the turn of the event loop that reads them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from shortlist.serve import at_once
from shortlist.serve.at_once import CROWDED, FEW, Alone, begun
from shortlist.serve.batching import LOOKS
from shortlist.serve.server import new_loop


def on(loop: asyncio.AbstractEventLoop, work: Callable[[], Any]) -> Any:
    """The value of a call from the loop, outside of all tasks."""
    found: list[Any] = []

    def call() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    async def wait() -> None:
        loop.call_soon(call)
        while not found:
            await asyncio.sleep(0)

    loop.run_until_complete(wait())
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


@pytest.fixture(params=["the server's", "asyncio's"])
def loop(request: pytest.FixtureRequest) -> Any:
    one = new_loop() if request.param == "the server's" else asyncio.new_event_loop()
    yield one
    one.close()


def test_a_task_is_begun_at_once(loop: asyncio.AbstractEventLoop) -> None:
    said: list[str] = []

    async def work() -> None:
        said.append("begun")

    def begin() -> tuple[list[str], bool]:
        task = begun(loop, work())
        return list(said), task.done()

    seen, done = on(loop, begin)
    assert seen == ["begun"]
    assert done


def test_it_goes_on_as_other_tasks_do(loop: asyncio.AbstractEventLoop) -> None:
    future = loop.create_future()

    async def work() -> tuple[int, Any]:
        first = asyncio.current_task()
        value = await future
        await asyncio.sleep(0)
        assert asyncio.current_task() is first
        return value, first

    task: Any = on(loop, lambda: begun(loop, work()))  # type: ignore[arg-type]
    assert not task.done()
    future.set_result(7)
    assert loop.run_until_complete(task) == (7, task)


def test_its_errors_and_its_cancellation_are_its_own(loop: asyncio.AbstractEventLoop) -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def waits() -> None:
        await asyncio.Event().wait()

    failed: Any = on(loop, lambda: begun(loop, fails()))
    with pytest.raises(ValueError, match="no"):
        loop.run_until_complete(failed)
    waiting: Any = on(loop, lambda: begun(loop, waits()))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(waiting)


def test_the_loop_is_as_before_afterwards(loop: asyncio.AbstractEventLoop) -> None:
    order: list[str] = []

    async def work() -> None:
        loop.call_soon(order.append, "later")
        order.append("now")

    on(loop, lambda: (begun(loop, work()), order.append("then")))
    loop.run_until_complete(asyncio.sleep(0))
    assert order == ["now", "then", "later"]


def test_its_context_is_a_copy(loop: asyncio.AbstractEventLoop) -> None:
    name = contextvars.ContextVar("name", default="outside")

    async def work() -> None:
        name.set("inside")

    def begin() -> str:
        begun(loop, work())
        return name.get()

    assert on(loop, begin) == "outside"


class _Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    one = _Clock()
    monkeypatch.setattr(at_once, "time", one)
    return one


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def begins(alone: Alone) -> bool:
    """As from the loop, outside of all tasks."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    asyncio.tasks._leave_task(loop, task)  # type: ignore[attr-defined]
    try:
        return alone.begins(loop)
    finally:
        asyncio.tasks._enter_task(loop, task)  # type: ignore[attr-defined]


async def turns(count: int = LOOKS) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_requests_one_after_the_other_begin_at_once_however_fast(clock: _Clock) -> None:
    async def ask() -> list[bool]:
        alone, found = Alone(), []
        for _ in range(5 * FEW):
            clock.now += CROWDED / 100
            found.append(begins(alone))
            await turns()
        return found

    assert all(run(ask()))


def test_few_requests_begin_at_once_although_they_meet(clock: _Clock) -> None:
    async def ask() -> list[bool]:
        alone, found = Alone(), []
        for _ in range(5):
            clock.now += 2 * CROWDED
            found += [begins(alone) for _ in range(FEW)]
            await turns()
        return found

    assert all(run(ask()))


@pytest.mark.parametrize("apart", range(LOOKS))
def test_many_that_meet_wait_for_each_other(clock: _Clock, apart: int) -> None:
    """Those of one turn, and of turns that follow each other."""

    async def ask() -> list[bool]:
        alone, found = Alone(), []
        for _ in range(3 * FEW):
            clock.now += CROWDED / 100
            found.append(begins(alone))
            await turns(apart)
        return found

    found = run(ask())
    assert all(found[:FEW])
    assert not any(found[FEW:])


def test_they_begin_at_once_again_when_they_are_few(clock: _Clock) -> None:
    async def ask() -> tuple[bool, bool]:
        alone = Alone()
        for _ in range(3 * FEW):
            begins(alone)
        crowded = begins(alone)
        await turns()
        clock.now += 2 * CROWDED
        return crowded, begins(alone)

    assert run(ask()) == (False, True)


def test_none_begins_at_once_inside_of_another_task() -> None:
    async def ask() -> bool:
        return Alone().begins(asyncio.get_running_loop())

    assert not run(ask())


def test_it_is_known_while_one_is_begun() -> None:
    loop, alone = new_loop(), Alone()
    seen: list[bool] = []

    async def work() -> None:
        seen.append(alone.answering)
        await asyncio.sleep(0)
        seen.append(alone.answering)

    task: Any = on(loop, lambda: alone.task(loop, work()))
    loop.run_until_complete(task)
    loop.close()
    assert seen == [True, False]
