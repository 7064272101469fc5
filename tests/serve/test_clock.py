"""A pause takes no time, and threads that work at once do not add up."""

from __future__ import annotations

import pytest

from shortlist.serve import clock
from shortlist.serve.clock import Moment, Stopwatch, Work


@pytest.mark.parametrize(
    ("wall", "processor", "seconds"),
    [
        (0.030, 0.002, 0.002),  # stopped for 28 ms
        (0.010, 0.018, 0.010),  # two threads
        (0.010, 0.010, 0.010),
        (0.0, 0.001, 0.0),
        (-0.1, 0.001, 0.0),  # a clock that was set back
    ],
)
def test_what_passes_is_the_lesser_of_both_clocks(wall: float, processor: float, seconds: float) -> None:
    assert Moment(5 + wall, 7 + processor).since(Moment(5, 7)) == pytest.approx(seconds)


def test_now_is_later_than_before() -> None:
    first = Moment.now()
    sum(range(10_000))
    assert Moment.now().since(first) >= 0
    assert Moment.now().wall > first.wall


@pytest.mark.parametrize(
    ("wall", "processor", "seconds", "looks"),
    [
        (0.003, 0.5, 0.003, 0),  # short work: nobody looks
        (0.030, 0.002, 0.002, 1),  # stopped for 28 ms
        (0.010, 0.018, 0.010, 1),
    ],
)
def test_short_work_is_timed_with_few_looks_at_the_processor_time(
    monkeypatch: pytest.MonkeyPatch, wall: float, processor: float, seconds: float, looks: int
) -> None:
    now, looked = [5.0, 7.0], []
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clock.time, "process_time", lambda: (looked.append(1), now[1])[1])
    watch = Stopwatch()
    looked.clear()
    begun = watch.start()
    now[:] = [5 + wall, 7 + processor]
    assert watch.since(begun) == pytest.approx(seconds)
    assert len(looked) == looks
    now[0] = 6.0
    watch.start()  # a while after the last look
    assert len(looked) == looks + 1


def test_while_other_threads_work_the_time_of_this_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now, own, others = [5.0], [2.0], [False]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clock.time, "thread_time", lambda: own[0])
    watch = Stopwatch(lambda: others[0])
    begun = watch.start()
    now[0], own[0] = 5.003, 2.001
    assert watch.since(begun) == pytest.approx(0.003)
    others[0] = True
    assert watch.since(begun) == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("wall", "own", "process", "loop", "seconds"),
    [
        (0.010, 0.009, 0.009, 0.0, 0.009),  # this thread alone
        (0.020, 0.009, 0.019, 0.010, 0.009),  # the loop works too, and both wait for each other
        (0.100, 0.003, 0.180, 0.001, 0.100),  # native threads search for it
        (0.100, 0.003, 0.060, 0.001, 0.059),  # one does, while the process is stopped for a while
        (0.050, 0.002, 0.002, 0.0, 0.002),  # stopped for 48 ms
        (-0.1, 0.001, 0.001, 0.0, 0.0),  # a clock that was set back
    ],
)
def test_the_work_of_a_thread_is_its_own_and_that_of_native_threads(
    monkeypatch: pytest.MonkeyPatch, wall: float, own: float, process: float, loop: float, seconds: float
) -> None:
    now = [5.0, 1.0, 7.0, 2.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clock.time, "thread_time", lambda: now[1])
    monkeypatch.setattr(clock.time, "process_time", lambda: now[2])
    monkeypatch.setattr(clock.time, "clock_gettime", lambda clock: now[3])
    begun = Work.now(11)
    now[:] = [5 + wall, 1 + own, 7 + process, 2 + loop]
    assert Work.now(11).since(begun) == pytest.approx(seconds)


def test_without_a_loop_or_its_clock_the_work_is_counted_too() -> None:
    for loop in (None, clock.clock_of_this_thread()):
        first = Work.now(loop)
        sum(range(10_000))
        assert Work.now(loop).since(first) >= 0


def test_the_work_of_a_thread_is_not_that_of_other_python_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 9 seconds of the process 2 are the loop's and 3 the writer's: 4 remain, of which this thread has 1. A thread that has
    ended counts for nothing."""
    now = {"process": 20.0, 11: 5.0, 12: 7.0}

    def clock_gettime(one: int) -> float:
        if one not in now:
            raise OSError(22, "Invalid argument")
        return now[one]

    own = [1.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: 10 * own[0])
    monkeypatch.setattr(clock.time, "thread_time", lambda: own[0])
    monkeypatch.setattr(clock.time, "process_time", lambda: now["process"])
    monkeypatch.setattr(clock.time, "clock_gettime", clock_gettime)
    begun = Work.now(11, [12, 13])
    now.update({"process": 29.0, 11: 7.0, 12: 10.0})
    own[0] = 2.0
    assert Work.now(11, [12, 13]).since(begun) == 4.0
    assert Work.now(11, [12, 13]).less(begun) == Work(10.0, 1.0, 4.0)
    assert Work.now(11, [12, 13]).less(begun).plus(begun) == Work.now(11, [12, 13])
