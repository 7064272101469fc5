"""Lanes take turns in one thread; an error ends its own work and no other."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shortlist.serve.baton import Baton
from shortlist.serve.clock import Work
from shortlist.serve.turns import WORKED, Lane, Turns


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns()
    yield made
    made.close()


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No turn takes any: on a busy machine one may take more than the debt after which small work has several."""
    monkeypatch.setattr("shortlist.serve.turns.Work.since", lambda self, earlier: 0.0)


def order_of(turns: Turns, tasks: list[tuple[Lane, str]]) -> list[str]:
    """The names of tasks in the order of their turns; all of them wait before the first is over."""
    done: list[str] = []
    gate = threading.Event()

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            gate.wait(60)
            done.append(name)

        return run

    async def all_of() -> None:
        waiting = [asyncio.ensure_future(turns.take(lane, work(name))) for lane, name in tasks]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*waiting)

    asyncio.run(all_of())
    return done


@pytest.mark.usefixtures("no_time")
def test_small_work_has_every_other_turn(turns: Turns) -> None:
    small = [(Lane.SMALL, f"s{number}") for number in range(3)]
    large = [(Lane.LARGE, f"l{number}") for number in range(4)]
    assert order_of(turns, large + small) == ["l0", "s0", "l1", "s1", "l2", "s2", "l3"]


@pytest.mark.usefixtures("no_time")
def test_long_work_and_filters_share_what_small_work_leaves(turns: Turns) -> None:
    tasks = [
        (Lane.FILTERS, "f0"),
        (Lane.FILTERS, "f1"),
        (Lane.LARGE, "l0"),
        (Lane.LARGE, "l1"),
        (Lane.SMALL, "s0"),
        (Lane.SMALL, "s1"),
    ]
    assert order_of(turns, tasks) == ["f0", "s0", "l0", "s1", "f1", "l1"]


def test_while_small_work_waits_long_work_has_a_quarter_of_its_time(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every turn takes 18 ms. After a long one small work is owed 72 ms, less the 20 ms of half a turn's debt."""
    monkeypatch.setattr("shortlist.serve.turns.Work.since", lambda self, earlier: 0.018)
    small = [(Lane.SMALL, f"s{number}") for number in range(5)]
    large = [(Lane.LARGE, f"l{number}") for number in range(4)]
    assert order_of(turns, large + small) == ["l0", "s0", "s1", "s2", "l1", "s3", "s4", "l2", "l3"]


def test_small_work_alone_takes_all_turns(turns: Turns) -> None:
    assert order_of(turns, [(Lane.SMALL, str(number)) for number in range(5)]) == list("01234")


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), StopIteration()])
def test_an_error_ends_its_own_work(turns: Turns, error: BaseException) -> None:
    def failing() -> Any:
        raise error

    async def both() -> list[Any]:
        return await asyncio.gather(
            turns.take(Lane.LARGE, failing), turns.take(Lane.LARGE, lambda: 7), return_exceptions=True
        )

    failed, done = asyncio.run(both())
    assert isinstance(failed, Exception)
    assert done == 7


def test_work_that_cannot_be_begun_or_handed_over_takes_no_turn(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the system has no thread left: the next in line has its turn."""

    def failing() -> Any:
        raise RuntimeError("can't start new thread")

    async def three() -> list[Any]:
        return await asyncio.gather(
            turns.take_prepared(Lane.SMALL, failing),
            turns.take_prepared(Lane.SMALL, lambda: None),
            turns.take(Lane.SMALL, lambda: 7),
            return_exceptions=True,
        )

    failed, nothing, done = asyncio.run(three())
    assert isinstance(failed, RuntimeError)
    assert (nothing, done) == (None, 7)


def test_nobody_has_a_turn_for_work_that_was_given_up(turns: Turns) -> None:
    ran = []

    async def given_up() -> None:
        gate = threading.Event()
        first = asyncio.ensure_future(turns.take(Lane.LARGE, lambda: gate.wait(60)))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(turns.take(Lane.LARGE, lambda: ran.append(2)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        gate.set()
        await first
        assert await turns.take(Lane.LARGE, lambda: 3) == 3

    asyncio.run(given_up())
    assert ran == []


def test_the_event_loop_goes_first(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work whose turn has come begins when no request is being answered on the loop: not while two are, nor while one is."""
    monkeypatch.setattr("shortlist.serve.turns.PATIENCE", 60.0)
    order: list[str] = []

    async def both() -> None:
        turns.enter()
        turns.enter()
        work = asyncio.ensure_future(turns.take_prepared(Lane.LARGE, lambda: lambda: order.append("thread")))
        for name in ("first", "second"):
            for _ in range(100):
                await asyncio.sleep(0)
            order.append(name)
            turns.leave()
        await work

    asyncio.run(both())
    assert order == ["first", "second", "thread"]
    assert turns.yield_to_loop() == 0.0


def test_a_request_that_waits_for_its_turn_is_not_in_the_way(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shortlist.serve.turns.PATIENCE", 1e9)

    async def one() -> int:
        turns.enter()
        try:
            return await turns.take(Lane.LARGE, lambda: 7)
        finally:
            turns.leave()

    assert asyncio.run(one()) == 7


def test_the_loop_never_waits_for_itself(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads a short body there may yield as the thread does."""
    monkeypatch.setattr("shortlist.serve.turns.PATIENCE", 1e9)
    turns.enter()
    assert turns.yield_to_loop() == 0.0
    turns.leave()


def sliced(turns: Turns, slices: int, small: list[Callable[[], Any]]) -> tuple[list[Any], list[Any]]:
    """What happened in a turn of several slices, next to small work that arrived once it had begun; and the outcomes."""
    done: list[Any] = []
    begun, gate = threading.Event(), threading.Event()

    def long() -> str:
        begun.set()
        gate.wait(60)
        for number in range(slices):
            turns.yield_to_loop()
            done.append(number)
        return "long"

    def noted(work: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            done.append("small")
            return work()

        return run

    async def all_of() -> list[Any]:
        waiting = [asyncio.ensure_future(turns.take(Lane.LARGE, long))]
        await asyncio.get_running_loop().run_in_executor(None, begun.wait, 60)
        waiting += [asyncio.ensure_future(turns.take(Lane.SMALL, noted(work))) for work in small]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    return done, asyncio.run(all_of())


def test_small_work_waits_for_one_slice_of_a_long_turn(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done at the first pause, in the thread of the turn, which continues after it."""
    monkeypatch.setattr("shortlist.serve.turns.SLICE", 0.0)
    done, outcomes = sliced(turns, 5, [threading.get_ident])
    assert done == ["small", 0, 1, 2, 3, 4]
    assert outcomes == ["long", turns._answering]


def test_only_work_of_light_requests_interrupts(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of others has the next turn."""
    monkeypatch.setattr("shortlist.serve.turns.SLICE", 0.0)
    done: list[str] = []
    begun, gate = threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        gate.wait(60)
        turns.yield_to_loop()
        done.append("long")

    async def both() -> None:
        first = asyncio.ensure_future(turns.take(Lane.LARGE, long))
        await asyncio.get_running_loop().run_in_executor(None, begun.wait, 60)
        work = turns.take_prepared(Lane.SMALL, lambda: lambda: done.append("small"), interrupts=False)
        second = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, second)

    asyncio.run(both())
    assert done == ["long", "small"]


def test_a_turn_works_for_a_slice_before_it_pauses_for_small_work(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small work that comes again and again does not stop it."""
    monkeypatch.setattr("shortlist.serve.turns.SLICE", 1e9)
    done, outcomes = sliced(turns, 3, [lambda: 7])
    assert done == [0, 1, 2, "small"]
    assert outcomes == ["long", 7]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), StopIteration()])
def test_an_error_of_small_work_ends_no_turn_that_it_interrupts(
    turns: Turns, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr("shortlist.serve.turns.SLICE", 0.0)

    def failing() -> Any:
        raise error

    done, (long, failed) = sliced(turns, 2, [failing])
    assert (done, long) == (["small", 0, 1], "long")
    assert isinstance(failed, Exception)


def test_small_work_is_not_interrupted_and_has_every_turn_in_the_end(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has its turn at another pause, or after the long one; a pause within small work is not for small work."""
    monkeypatch.setattr("shortlist.serve.turns.SLICE", 0.0)
    inside: list[bool] = []

    def pausing() -> int:
        turns.yield_to_loop()
        inside.append(turns._interruptible)
        return 7

    done, outcomes = sliced(turns, 2, [pausing, pausing])
    assert outcomes == ["long", 7, 7]
    assert inside == [False, False]
    assert done[:2] == ["small", 0]
    assert sorted(map(str, done)) == ["0", "1", "small", "small"]


def test_what_small_work_takes_in_a_long_turn_does_not_count_for_it(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By clocks that small work alone moves, by 100 seconds: they are none of the turn's."""
    monkeypatch.setattr("shortlist.serve.turns.SLICE", 0.0)
    monkeypatch.setattr(
        "shortlist.serve.turns.WORKED", 1e12
    )  # it never rests, which counts among the interruptions, by a real clock
    passed = [0.0]
    monkeypatch.setattr("shortlist.serve.turns.Work.now", lambda *_: Work(*passed * 3))

    def small() -> None:
        passed[0] += 100

    assert sliced(turns, 2, [small])[0] == ["small", 0, 1]
    assert turns.interruptions == 100.0
    assert turns._seconds == 0.0


def test_other_threads_wait_for_small_work(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the one that writes changes does at its pauses; with nothing small it waits for nobody."""
    monkeypatch.setattr("shortlist.serve.turns.PATIENCE", 60.0)
    order: list[str] = []
    begun, gate = threading.Event(), threading.Event()

    def small() -> None:
        begun.set()
        gate.wait(60)
        order.append("small")

    def other() -> None:
        gate.set()
        turns.yield_to_loop()
        order.append("other")
        turns.long_work_done()

    async def both() -> None:
        loop = asyncio.get_running_loop()
        work = asyncio.ensure_future(turns.take(Lane.SMALL, small))
        await loop.run_in_executor(None, begun.wait, 60)
        await asyncio.gather(work, loop.run_in_executor(None, other))
        assert await loop.run_in_executor(None, turns.yield_to_loop) == 0.0

    asyncio.run(both())
    assert order == ["small", "other"]


@pytest.fixture
def rests(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that have rested; from one reading of the clock to the next, each has worked for long enough."""
    rested: list[int] = []
    clock = itertools.count(1)
    monkeypatch.setattr("shortlist.serve.turns.time.perf_counter", lambda: 2 * WORKED * next(clock))
    monkeypatch.setattr("shortlist.serve.turns.time.sleep", lambda seconds: rested.append(threading.get_ident()))
    monkeypatch.setattr("shortlist.serve.turns.LATELY", 1e9)
    monkeypatch.setattr(turns, "_loop_answered", -1e18)
    monkeypatch.setattr(turns, "_small_answered", -1e18)
    return rested


def pause_in_turn(turns: Turns, lane: Lane) -> None:
    """A turn that pauses three times."""
    asyncio.run(turns.take(lane, lambda: [turns.yield_to_loop() for _ in range(3)]))


@pytest.mark.parametrize("lane", [Lane.LARGE, Lane.FILTERS])
def test_long_work_rests_at_its_pauses_where_small_requests_arrive(turns: Turns, rests: list[int], lane: Lane) -> None:
    pause_in_turn(turns, lane)
    assert rests == []  # none has arrived
    turns.loop_answers()
    pause_in_turn(turns, lane)
    assert rests == [turns._answering] * 3


def test_other_threads_rest_too(turns: Turns, rests: list[int]) -> None:
    turns.loop_answers()
    turns.yield_to_loop()
    assert rests == [threading.get_ident()]


def test_a_thread_works_for_a_while_between_two_rests(turns: Turns, rests: list[int]) -> None:
    turns.loop_answers()
    turns._rested[threading.get_ident()] = 1e9
    turns.yield_to_loop()
    assert rests == []


def test_small_work_never_rests_nor_does_what_it_waits_for(turns: Turns, rests: list[int]) -> None:
    turns.loop_answers()
    pause_in_turn(turns, Lane.SMALL)
    turns._no_small.clear()
    turns._thread.submit(turns.yield_to_loop).result()
    assert rests == []


def test_small_work_does_not_rest_in_a_turn_that_it_interrupts(
    turns: Turns, rests: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.serve.turns.SLICE", 0.0)
    turns.loop_answers()
    during: list[int] = []

    def small() -> None:
        before = len(rests)
        turns.yield_to_loop()
        during.append(len(rests) - before)

    done, _ = sliced(turns, 3, [small])
    assert done == ["small", 0, 1, 2]
    assert during == [0]


def test_threads_with_long_work_work_one_at_a_time(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """From pause to pause: a turn, and threads next to it."""
    monkeypatch.setattr(turns, "_baton", Baton(60.0))
    inside = most = 0
    steps: list[int] = []
    begun = threading.Barrier(3)

    def work() -> None:
        nonlocal inside, most
        begun.wait(60)
        for _ in range(20):
            turns.yield_to_loop()
            inside += 1
            most = max(most, inside)
            threading.Event().wait(0.0001)  # others have the interpreter
            steps.append(threading.get_ident())
            inside -= 1
        turns.long_work_done()

    async def all_of() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(turns.take(Lane.LARGE, work), *(loop.run_in_executor(None, work) for _ in range(2)))

    asyncio.run(all_of())
    assert most == 1
    assert len(set(steps)) == 3
    changes = sum(one != other for one, other in itertools.pairwise(steps[:30]))
    assert changes > 15  # none has worked to its end first


def test_small_work_waits_for_no_long_work(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_baton", Baton(1e6))
    turns._baton.take(0)  # by a thread that never pauses
    assert asyncio.run(turns.take(Lane.SMALL, lambda: "done")) == "done"


def test_the_end_of_a_turn_lets_other_long_work_go_on(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_baton", Baton(1e6))
    asyncio.run(turns.take(Lane.LARGE, turns.yield_to_loop))
    assert turns._baton.holder is None
    turns.yield_to_loop()
    turns.long_work_done()
    assert turns._baton.holder is None


def test_requests_that_leave_soon_leave_in_the_next_turn(turns: Turns) -> None:
    async def leave() -> list[bool]:
        for _ in range(3):
            turns.enter()
        turns.leave_soon()
        turns.leave_soon()
        found = [turns._free.is_set()]
        await asyncio.sleep(0)
        found.append(turns._free.is_set())  # one is still there
        turns.leave_soon()
        turns.enter()  # another comes
        await asyncio.sleep(0)
        found.append(turns._free.is_set())
        turns.leave()
        return [*found, turns._free.is_set(), not turns.loop_answers_some]

    assert asyncio.run(leave()) == [False, False, False, True, True]
