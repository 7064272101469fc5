"""A pause takes no time, and threads that work at once do not add up."""

from __future__ import annotations

import pytest

from shortlist.serve.clock import Moment


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
