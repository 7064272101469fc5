"""Planted leaks are found, clean splits are not accused, and what cannot be a test is refused."""

from __future__ import annotations

import doctest
import sys
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.errors import DataError
from shortlist.evaluation import LEAKS, audit

DAY = 86_400
START = 900_000_000


def names(train: sl.Dataset, test: sl.Dataset, **options: Any) -> list[str]:
    found = [finding.name for finding in audit(train, test, **options)]
    assert found == sorted(found, key=LEAKS.index)
    return found


def log(rows: int = 60, **tables: Any) -> sl.Dataset:
    """Row i: user i mod 6 chose film i at second i; no pair twice."""
    frame = {"u": [i % 6 for i in range(rows)], "c": list(range(rows)), "t": list(range(rows))}
    return sl.Dataset(frame, "u", "c", timestamp="t", **tables)


def halves(data: sl.Dataset, test: list[int]) -> tuple[sl.Dataset, sl.Dataset]:
    rest = [row for row in range(len(data)) if row not in test]
    return data.with_interactions(data.interactions[rest]), data.with_interactions(data.interactions[test])


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(sys.modules["shortlist.evaluation.audit"]) == (0, 6)


def test_a_cut_in_time_is_clean() -> None:
    assert names(*sl.split_by_time(log())) == []
    assert names(*sl.split_by_time(log(), at=3)) == []


def test_the_future_in_training() -> None:
    """Rows 3 and 50 are the test: all training rows but 0, 1 and 2 are later than row 3; both users chose again later
    (row 9, row 56)."""
    (finding,) = audit(*halves(log(), [3, 50]))
    assert finding.name == "future_in_training"
    assert dict(finding.figures) == {"rows": 55, "share": 55 / 58, "own": 2}
    assert "split_by_time" in finding.hint


def test_last_choices_leak_the_future_of_others_alone() -> None:
    uneven = sl.Dataset({"u": [0, 0, 1, 1], "c": [1, 2, 3, 4], "t": [1, 2, 3, 4]}, "u", "c", timestamp="t")
    (finding,) = audit(*sl.split_last(uneven))
    assert dict(finding.figures) == {"rows": 1, "share": 0.5, "own": 0}


def test_planted_duplicates_and_repeats() -> None:
    frame = pl.DataFrame({"u": [1, 1, 2, 1, 1, 2], "c": [7, 8, 7, 7, 8, 9], "t": [1, 2, 3, 4, 2, 5]})
    data = sl.Dataset(frame, "u", "c", timestamp="t")
    found = {finding.name: finding.figures for finding in audit(*halves(data, [3, 4, 5]))}
    assert found["duplicates"] == {"rows": 1, "share": 1 / 3}  # 1 chose 8 at 2 in both
    assert found["repeated_pairs"] == {"rows": 1, "share": 1 / 3}  # 1 chose 7 at 1 and at 4
    timeless = sl.Dataset(frame.drop("t"), "u", "c")
    assert names(*halves(timeless, [3, 4, 5])) == ["duplicates"]
    assert names(*halves(timeless, [5])) == []


@pytest.mark.parametrize("kind", ["seconds", "dates", "datetimes"])
def test_a_feature_from_after_the_cut(kind: str) -> None:
    """Users' last visit, over all data; sign-up is before, and a film may come out later if nobody chose it before."""
    seconds = np.array([START + i * DAY for i in range(60)])

    def as_kind(values: Any) -> pl.Series:
        series = pl.Series(values)
        if kind == "seconds":
            return series
        return pl.from_epoch(series) if kind == "datetimes" else pl.from_epoch(series).dt.date()

    frame = pl.DataFrame({"u": [i % 6 for i in range(60)], "c": list(range(60)), "t": as_kind(seconds)})
    users = pl.DataFrame({"u": range(6), "last": as_kind(seconds[54:] + DAY), "joined": as_kind([START - DAY] * 6)})
    films = pl.DataFrame({"c": range(60), "out": as_kind(seconds - DAY), "length": range(60)})
    data = sl.Dataset(frame, "u", "c", timestamp="t", queries=users, candidates=films)
    at = {"seconds": START + 40 * DAY, "dates": date(1998, 8, 19), "datetimes": datetime(1998, 8, 19)}[kind]
    train, test = sl.split_by_time(data, at=at)
    (finding,) = audit(train, test)
    assert finding.name == "later_features"
    assert "'last'" in finding.message
    assert finding.figures["share"] == 1.0


@pytest.mark.parametrize(
    ("what", "feature"),
    [
        ("count", pl.len()),
        ("mean of stars", pl.mean("stars")),
        ("max of stars", pl.max("stars")),
        ("sum of stars", pl.sum("stars")),
    ],
)
def test_a_statistic_over_train_and_test(what: str, feature: pl.Expr) -> None:
    generator = np.random.default_rng(3)
    frame = pl.DataFrame({"u": generator.integers(12, size=300), "c": generator.integers(15, size=300)})
    frame = frame.with_columns(stars=pl.Series(generator.random(300).cumsum()), t=pl.int_range(300)).unique(["u", "c"])
    whole = frame.group_by("c").agg(feature.alias("feature"))
    data = sl.Dataset(frame.sort("t"), "u", "c", timestamp="t", candidates=whole.sort("c"))
    train, test = sl.split_by_time(data, test=0.3)
    (finding,) = audit(train, test)
    assert finding.name == "whole_data_features"
    assert finding.message == f"the candidates' 'feature' is the {what} over train and test together"

    honest = train.interactions.group_by("c").agg(feature.alias("feature")).sort("c")
    clean = sl.Dataset(
        frame.sort("t"),
        "u",
        "c",
        timestamp="t",
        candidates=data.candidates.select("c").join(honest, on="c", how="left"),
    )
    assert names(*sl.split_by_time(clean, test=0.3)) == []


def test_only_what_the_towers_read_is_a_leak_of_the_model() -> None:
    users = pl.DataFrame({"u": range(6), "last": [START + i * DAY for i in range(55, 61)]})
    frame = {"u": [i % 6 for i in range(60)], "c": list(range(60)), "t": [START + i * DAY for i in range(60)]}
    data = sl.Dataset(frame, "u", "c", timestamp="t", queries=users)
    train, test = sl.split_by_time(data)

    def tower(*features: Any) -> sl.TwoTower:
        return sl.TwoTower(sl.Tower(*features, dim=4), sl.Tower(sl.IntegerLookup("c"), dim=4))

    by_id = tower(sl.IntegerLookup("u"))
    assert names(train, test) == ["later_features"]
    assert names(train, test, model=by_id) == []
    knowing = tower(sl.IntegerLookup("u", dim=4), sl.Normalization("last"), sl.Timestamp("t"))
    assert names(train, test, model=knowing) == ["later_features", "target_context"]
    assert "including the time of the choice" in audit(train, test, model=knowing)[-1].message


def test_refusals() -> None:
    data = log()
    train, test = sl.split_by_time(data)
    with pytest.raises(DataError, match="are later than all test interactions"):
        audit(test, train)
    with pytest.raises(DataError, match="all 60 test interactions are also in the training data"):
        audit(data, data)
    text = sl.Dataset({"u": ["1", "2"], "c": [1, 2]}, "u", "c")
    with pytest.raises(DataError, match="no id can occur in both"):
        audit(train, text)
    with pytest.raises(DataError, match="query is 'u' and the test's 'user'"):
        audit(train, sl.Dataset({"user": [1], "c": [1]}, "user", "c"))
    dated = sl.Dataset({"u": [1], "c": [1], "day": [date(2020, 1, 1)]}, "u", "c", timestamp="day")
    with pytest.raises(DataError, match="cannot be compared"):
        audit(train, dated)
