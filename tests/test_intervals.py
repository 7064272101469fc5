"""Intervals hold what they promise, and comparisons tell a difference from chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shortlist.intervals import PairSums, bootstrap


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
