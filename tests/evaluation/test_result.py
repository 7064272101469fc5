"""What an evaluation and a comparison are as plain values and as text; by hand."""

from __future__ import annotations

import json
import math

import polars as pl
import pytest

import shortlist as sl
from shortlist.evaluation.result import Comparison, Evaluation, Segment
from shortlist.intervals import Interval

FOUND = Evaluation(
    {"model": {"seen_in": {"top_5": 0.5}}},
    pairs=1200,
    queries=300,
    candidates=40,
    new_queries=2,
    new_candidates=0,
    seconds=1.5,
    intervals={"model": {"seen_in": {"top_5": Interval(0.25, 0.75)}}},
    segments=[Segment("land", "north", "model", "seen_in", 4, 2, {"top_5": 0.5}, {"top_5": Interval(0.0, 1.0)})],
    skipped={"ease": "too large"},
)


def test_plain_values_hold_what_was_asked_for_and_no_clock() -> None:
    plain = json.loads(json.dumps(FOUND.to_dict()))
    assert plain == {
        "model": {"seen_in": {"top_5": 0.5}},
        "pairs": 1200,
        "queries": 300,
        "candidates": 40,
        "new_queries": 2,
        "new_candidates": 0,
        "intervals": {"model": {"seen_in": {"top_5": [0.25, 0.75]}}},
        "segments": [
            {"name": "land", "group": "north", "scorer": "model", "seen": "seen_in", "pairs": 4, "queries": 2,
             "figures": {"top_5": 0.5}, "intervals": {"top_5": [0.0, 1.0]}},
        ],
        "skipped": {"ease": "too large"},
    }  # fmt: skip
    bare = Evaluation({"model": {}}, 1, 1, 1, 0, 0, 0.0).to_dict()
    assert list(bare) == ["model", "pairs", "queries", "candidates", "new_queries", "new_candidates"]


def test_one_line_says_how_much_was_measured() -> None:
    assert FOUND.headline() == (
        "1,200 test pairs of 300 queries against 40 candidates (2 with a query new to the model, 0 with a new candidate)"
    )
    assert FOUND["model"]["seen_in"]["top_5"] == 0.5
    assert FOUND.notes == ()


@pytest.mark.parametrize(
    ("p_value", "real", "chance"), [(0.0001, True, "p < 0.001"), (0.049, True, "p = 0.049"), (0.05, False, "p = 0.050")]
)
def test_a_difference_is_real_below_five_in_a_hundred(p_value: float, real: bool, chance: str) -> None:
    one = Comparison("top_10", 0.25, 0.375, 0.125, Interval(0.0625, 0.1875), p_value, 1200)
    assert one.real is real
    verdict = "a real difference" if real else "no difference beyond chance"
    assert str(one) == (
        f"top_10: 0.2500 → 0.3750 (+0.1250, 95% +0.0625 to +0.1875, {chance}, 1,200 queries): {verdict}"
    )


def test_where_there_is_no_interval_its_ends_are_null() -> None:
    train = sl.Dataset({"u": ["a", "b", "b"], "i": ["x", "x", "y"], "c": ["s", "s", "t"]}, "u", "i")
    test = sl.Dataset({"u": ["a"], "i": ["y"]}, "u", "i")
    found = sl.evaluate(sl.popularity(train), test, ks=(1,), intervals=True, segments=["warm_cold"])
    plain = found.to_dict()
    ends = [
        one for by_seen in plain["intervals"].values() for by_metric in by_seen.values() for one in by_metric.values()
    ]
    ends += [one for segment in plain["segments"] for one in segment["intervals"].values()]
    assert ends
    assert all(one == [None, None] for one in ends)
    frame = found.to_frame()
    assert frame["low"].null_count() == frame["high"].null_count() == frame.height
    assert math.isnan(found.intervals["model"]["seen_in"]["top_1"].low)
    nan = float("nan")
    one = Comparison("top_1", 0.5, 0.5, 0.0, Interval(nan, nan), 1.0, 1).to_frame()
    assert one["low"].null_count() == one["high"].null_count() == 1
    assert one["low"].dtype == pl.Float64
