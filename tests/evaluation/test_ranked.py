"""Ranked pairs: a truth counts once, weights where they are given, places of truths that tie."""

from __future__ import annotations

import math

import pytest
from tests.evaluation.by_hand import pairs, value

from shortlist.evaluation.metrics import AT_K


def test_a_mean_over_queries_gives_each_query_the_same_say():
    ranked = pairs([1, 12, 13, 14], query=[0, 1, 1, 1])
    assert value("recall", ranked) == pytest.approx((1 + 0) / 2)
    assert value("top", ranked) == pytest.approx(1 / 4)


def test_weights_count_only_where_given():
    ranked = pairs([1, 12, 13, 14], query=[0, 1, 1, 1], weight=[6, 1, 1, 0])
    assert value("top", ranked) == pytest.approx(6 / 8)
    assert value("recall", ranked) == pytest.approx((6 * 1 + 2 * 0) / 8)


def test_a_repeated_truth_counts_once():
    once, twice = pairs([2, 12]), pairs([2, 2, 12], candidate=[0, 0, 1])
    for name in set(AT_K) - {"top"} | {"auc"}:
        assert value(name, once) == pytest.approx(value(name, twice)), name


def test_truths_that_tie_hold_places_of_their_own():
    # three candidates tie at the top, two of them truths: with the other one first, the truths hold places 2 and 3
    assert value("map", pairs([3, 3])) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert value("recall", pairs([3, 3]), 2) == pytest.approx(1 / 2)


@pytest.mark.parametrize("best", [None, [1, 2, 3, 1]])
@pytest.mark.parametrize("name", [*AT_K, "auc"])
def test_a_pair_of_grade_0_is_no_choice(name, best):
    """Query 0 has a 0 at the top and truths at 2 and 3; query 1 has nothing but a 0."""
    with_zeros = pairs([1, 2, 3, 1], query=[0, 0, 0, 1], grade=[0, 2, 1, 0], best=best)
    without = pairs([2, 3], grade=[2, 1], best=best and best[1:3])
    for k in (1, 2, 10):
        assert value(name, with_zeros, k) == pytest.approx(value(name, without, k)), k
    assert math.isnan(value(name, pairs([1], grade=[0])))
