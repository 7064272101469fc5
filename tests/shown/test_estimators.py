"""The sums of the off-policy estimators on a log of two queries, worked by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from shortlist.data.id_map import IdMap
from shortlist.shown.estimators import Sums, effective
from shortlist.shown.examination import Examination
from shortlist.shown.impressions import Impressions
from shortlist.shown.new_lists import NewLists

LOOKED = Examination([1.0, 0.5])


@pytest.fixture
def log() -> Impressions:
    """Query 0 was shown a, b twice and clicked a once, b once; query 1 was shown b, c once and clicked b."""
    return Impressions(
        query=np.array([0, 0, 0, 0, 1, 1]),
        candidate=np.array([0, 1, 0, 1, 1, 2]),
        place=np.array([1, 2, 1, 2, 1, 2]),
        clicked=np.array([1.0, 0, 0, 1, 1, 0]),
        lists=np.array([2, 1]),
        query_ids=IdMap(pl.Series([0, 1])),
        candidate_ids=IdMap(pl.Series(["a", "b", "c"])),
        table=pl.DataFrame(),
    )


def new_lists(second: int) -> NewLists:
    """Query 0 would be shown b and ``second``, query 1 b and a."""
    return NewLists(
        query=np.array([0, 0, 1, 1]),
        candidate=np.array([1, second, 1, 0]),
        place=np.array([1, 2, 1, 2]),
        unshown=pl.Series([]),
    )


def test_sums_of_each_query(log: Impressions) -> None:
    """b moves from place 2 to 1 for query 0, so that each of its rows counts 1 / 0.5; a and c are not in the new lists."""
    sums = Sums.of(log, new_lists(2), LOOKED, None, k=2, seed=0)
    assert sums.weights.tolist() == [0, 2, 0, 2, 1, 0]
    assert sums.lists.tolist() == [2, 1]
    assert sums.clicks.tolist() == [2, 1]
    assert sums.weighted.tolist() == [2, 1]
    assert sums.supported.tolist() == [2, 1]
    assert sums.asked.tolist() == [2 * 1.5, 1.5]
    assert sums.support == pytest.approx(2 / 3)


def test_clicks_count_in_the_first_places(log: Impressions) -> None:
    assert Sums.of(log, new_lists(2), LOOKED, None, k=1, seed=0).clicks.tolist() == [1, 1]


def test_propensities_divide_the_weights(log: Impressions) -> None:
    sums = Sums.of(log, new_lists(2), LOOKED, np.array([0.5, 0.5, 0.5, 0.25, 0.5, 0.5]), k=2, seed=0)
    assert sums.weights.tolist() == [0, 4, 0, 8, 2, 0]


def rate(clicks: int, looks: Fraction, mean: Fraction) -> Fraction:
    """A candidate's click rate, drawn towards the mean by ten examinations."""
    return (clicks + 10 * mean) / (looks + 10)


@pytest.mark.parametrize(("second", "liked_second"), [(2, Fraction(40, 63)), (-1, Fraction(2, 3))])
def test_doubly_robust_terms(log: Impressions, second: int, liked_second: Fraction) -> None:
    """Each query's rates are those of the other one, whatever the seed: with two queries, each is a part.

    Of query 1: b clicked in 1 look, c not in ½, so 2/3 on average; of query 0: a in 2 looks once, b in 1 once, also 2/3.
    A candidate that was never shown has the mean.
    """
    half, mean = Fraction(1, 2), Fraction(2, 3)
    b, a = rate(1, Fraction(1), mean), rate(1, Fraction(2), mean)
    assert rate(0, half, mean) == Fraction(40, 63)
    first = 2 * (b + half * liked_second) + 2 * (0 - half * b) + 2 * (1 - half * b)
    other = (b + half * a) + (1 - b)
    for seed in (0, 1):
        sums = Sums.of(log, new_lists(second), LOOKED, None, k=2, seed=seed)
        assert sums.robust.tolist() == pytest.approx([float(first), float(other)])


def test_values_are_sums_over_queries(log: Impressions) -> None:
    """Clicks and IPS: 3 / 3 lists; SNIPS: a rate of 3 / 3 times 4.5 / 3 looks asked for; support 3 / 4.5."""
    shown, ips, snips, robust, support = Sums.of(log, new_lists(2), LOOKED, None, k=2, seed=0).values()
    assert [shown, ips, snips, support] == pytest.approx([1, 1, 1.5, 2 / 3])
    assert robust == pytest.approx((float(Fraction(40, 63)) + 2 + 23 / 72 + 1) / 3)


def test_effective_size() -> None:
    assert effective(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert effective(np.zeros(3)) == 0
