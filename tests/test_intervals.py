"""Intervals hold what they promise, and comparisons tell a difference from chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shortlist.intervals import PairSums, bootstrap, interval_of, p_in_words


def sums(values) -> PairSums:
    return PairSums(np.asarray(values, np.float64), np.ones(len(values)))


def test_covers_the_truth_about_as_often_as_promised():
    generator = np.random.default_rng(7)
    inside = 0
    for _ in range(200):
        low, high = bootstrap({"m": sums(generator.random(150) < 0.3)}, resamples=300)["m"]
        inside += low <= 0.3 <= high
    assert 178 <= inside <= 199  # 190 expected, a standard deviation of 3


def test_width_is_that_of_a_mean():
    values = np.random.default_rng(1).normal(size=4000)
    low, high = bootstrap({"m": sums(values)})["m"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(4000), rel=0.1)


def test_queries_without_pairs_are_never_drawn():
    one = PairSums(np.array([1.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0]))
    low, high = bootstrap({"m": one})["m"]
    assert (low, high) == (0.0, 1.0)


def test_one_query_has_no_interval():
    assert all(math.isnan(end) for end in bootstrap({"m": sums([1.0])})["m"])
    assert bootstrap({}) == {}


def test_the_same_seed_gives_the_same_interval():
    one = {"m": sums(np.random.default_rng(0).random(50))}
    assert bootstrap(one, seed=3) == bootstrap(one, seed=3) != bootstrap(one, seed=4)


@pytest.mark.parametrize("lost", [[], [math.nan], [math.inf, -math.inf, math.nan]])
def test_an_interval_is_the_middle_of_the_values_that_are_numbers(lost: list[float]):
    assert interval_of(np.array([*range(41), *lost])) == pytest.approx((1, 39))


@pytest.mark.parametrize("drawn", [[], [0.5], [0.5, math.nan], [math.nan, math.nan]])
def test_fewer_than_two_values_have_no_interval(drawn: list[float]):
    assert interval_of(np.array(drawn)).ends == (None, None)


@pytest.mark.parametrize(
    ("p", "said"), [(1.0, "p = 1.000"), (0.0494, "p = 0.049"), (0.001, "p = 0.001"), (0.0009, "p < 0.001")]
)
def test_a_p_value_in_words(p: float, said: str):
    assert p_in_words(p) == said
