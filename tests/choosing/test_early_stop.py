"""When a contender's training ends: hand-worked figures."""

import math

import numpy as np
import pytest

import shortlist as sl
from shortlist.choosing.early_stop import Watch
from shortlist.choosing.trial import Figure
from shortlist.intervals import PairSums
from shortlist.train.epochs import Epoch


def figure(*found: float) -> Figure:
    """Of queries with one pair each, of which such shares are found."""
    sums = PairSums(np.array(found), np.ones(len(found)))
    return Figure(float(np.mean(found)), sums, 0.0)


class Trial:
    """Gives one figure after another."""

    def __init__(self, *figures: Figure) -> None:
        self.figures = list(figures)

    def measure(self, model: object) -> Figure:
        return self.figures.pop(0)


def ended_after(watch: Watch, measurements: int) -> int | None:
    """The measurement after which the watch ended the training, or None."""
    for number in range(1, measurements + 1):
        watch.measure(None)
        if watch.ends(Epoch(number, 1.0, 1.0, 0.1, 10, {"figure": 0.0})):
            return number
    return None


def test_two_measurements_without_a_gain_end_it() -> None:
    values = (0.100, 0.150, 0.1504, 0.1506, 0.2)  # 0.1504 and 0.1506 are within half a percent of 0.150
    watch = Watch(Trial(*(figure(one, one) for one in values)), None, math.inf, True)
    assert ended_after(watch, 5) == 4


def test_one_measurement_without_a_gain_does_not() -> None:
    values = (0.100, 0.150, 0.150, 0.160, 0.160, 0.170, 0.2)
    watch = Watch(Trial(*(figure(one, one) for one in values)), None, math.inf, True)
    assert ended_after(watch, 7) is None


def test_what_cannot_reach_the_best_ends_after_three() -> None:
    best = figure(*[0.5, 0.52] * 50)
    rising = [
        figure(*[value, value + 0.02] * 50) for value in (0.1, 0.2, 0.21, 0.22)
    ]  # 2 · 0.01 to come, 0.29 are missing
    assert ended_after(Watch(Trial(*rising), best, math.inf, True), 4) == 3
    reachable = [
        figure(*[value, value + 0.02] * 50) for value in (0.1, 0.2, 0.35, 0.45)
    ]  # 2 · 0.15 to come, 0.15 missing
    assert ended_after(Watch(Trial(*reachable), best, math.inf, True), 4) is None


def test_a_difference_within_its_error_is_no_reason() -> None:
    """Of two queries one is found by each: the lead's error is larger than the lead."""
    watch = Watch(Trial(*[figure(0.0, 0.9)] * 3), figure(1.0, 0.0), math.inf, True)
    for _ in range(3):
        watch.measure(None)
    assert not watch.behind


def test_the_time_that_is_left_ends_it() -> None:
    watch = Watch(Trial(figure(0.1, 0.1)), None, 0.0, True)
    with pytest.raises(sl.TrainingError, match="took longer than was left of the budget \\(50% done\\)"):
        watch.on_batch(1, 2)
    watch.measure(None)
    watch.on_batch(2, 2)  # something was measured: the epoch's end decides
    assert watch.ends(Epoch(1, 1.0, 1.0, 0.1, 10, {}))
