"""Wins by list, an interval over queries, and a p-value that chance keeps."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.language import columns, speaking


def test_wins_by_hand():
    shown = {
        "query": ["ann"] * 4 + ["bob"] * 3 + ["cat"] * 2 + ["dan"] * 2,
        "team": ["old", "new", "new", "old", "new", "old", None, "old", "new", "old", "new"],
        "clicked": [1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0],
    }
    result = sl.preference(shown)
    # ann: new 2, old 1; bob: old 1 (the click of neither counts not); cat: a tie; dan: no click
    assert (result.a, result.b, result.wins_a, result.wins_b, result.ties, result.queries) == ("new", "old", 1, 1, 1, 3)
    assert result.share == 0.5
    assert result.p_value == 1.0
    assert not result.real


def test_lists_of_one_query_are_told_apart_by_their_request():
    shown = {"query": ["ann"] * 4, "at": [1, 1, 2, 2], "team": list("abab"), "clicked": [True, False, False, True]}
    assert sl.preference(shown).ties == 1
    result = sl.preference(shown, request="at")
    assert (result.wins_a, result.wins_b, result.ties) == (1, 1, 0)


def clicks(better: float, queries: int, seed: int) -> pl.DataFrame:
    """Interleaved lists of four, where each place of b is clicked ``better`` times as often as each of a."""
    generator = np.random.default_rng(seed)
    mixed = sl.interleave([["p", "q", "r", "s"]] * queries, [["t", "u", "v", "w"]] * queries, 4, seed=seed)
    frame = mixed.to_frame()
    rate = np.where(frame["team"] == "b", 0.1 * better, 0.1) / frame["place"].to_numpy() ** 0.5
    return frame.with_columns(clicked=pl.Series(generator.random(len(frame)) < rate))


def test_a_better_bundle_is_preferred():
    result = sl.preference(clicks(1.5, 3000, 1))
    assert result.real
    assert 0.5 < result.interval.low < result.share < result.interval.high
    assert "b is preferred" in str(result)


def test_equal_bundles_are_seldom_told_apart():
    results = [sl.preference(clicks(1.0, 100, seed)) for seed in range(60)]
    assert sum(one.real for one in results) <= 9  # 3 expected, a standard deviation of 1.7
    assert sum(one.interval.low <= 0.5 <= one.interval.high for one in results) >= 50


def test_it_reads_well_and_is_plain():
    result = sl.preference(
        clicks(1.5, 500, 1).with_columns(team=pl.col("team").replace({"a": "x" * 60, "b": "y" * 60}))
    )
    assert max(map(len, str(result).splitlines())) <= 80
    assert json.loads(json.dumps(result.to_dict()))["ties"] == result.ties


def test_printed_it_is_in_the_language_in_force():
    result = sl.preference(clicks(1.5, 3000, 1))
    english = str(result)
    with speaking("ko"):
        said = str(result)
    assert said != english
    assert "더 좋아합니다" in said
    assert max(map(columns, said.splitlines())) <= 80
    assert str(result) == english


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ({"query": ["a"], "team": ["x"], "clicked": [1]}, "has 1 bundle: 'x'; two were expected"),
        ({"query": list("aaa"), "team": list("xyz"), "clicked": [1, 1, 1]}, "has 3 bundles"),
        ({"query": list("aa"), "team": list("xy"), "clicked": [0, 0]}, "was clicked"),
        ({"query": list("aa"), "team": list("xy")}, "no column 'clicked'"),
        ({"query": list("aa"), "team": list("xy"), "clicked": [0, 2]}, "true or false"),
        ({"query": list("aa"), "team": list("xy"), "clicked": [None, True]}, "1 null"),
    ],
)
def test_what_is_refused(shown, words):
    with pytest.raises(sl.DataError, match=words):
        sl.preference(shown)


def test_few_queries_that_agree_still_have_an_interval():
    shown = {"query": list("aabbcc"), "team": ["new", "old"] * 3, "clicked": [True, False] * 3}
    result = sl.preference(shown)
    assert result.share == 0.0
    # Wilson 1927 with n = 3 and nothing won: from 0 to z^2 / (n + z^2) = 3.8415 / 6.8415
    np.testing.assert_allclose(result.interval, (0.0, 0.56150), atol=1e-4)
    assert result.p_value > 0.05  # and 0.5 is inside, as it must be then
    alone = sl.preference({"query": ["a", "a"], "team": ["new", "old"], "clicked": [True, False]})
    np.testing.assert_allclose(alone.interval, (0.0, 3.8415 / 4.8415), atol=1e-4)
    assert "nan" not in str(alone)
