"""Timestamp: values worked by hand."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

import shortlist as sl
from shortlist import DataError, Timestamp

HALF = 0.5**0.5


def encoded(values: pl.Series, train: pl.Series | None = None) -> list[list[float]]:
    feature = Timestamp("at")
    feature.fit(pl.Series([0, 200]) if train is None else train)
    return feature.encode(values).values.tolist()


def waves(values: pl.Series) -> list[float]:
    return encoded(values)[0][:6]


def test_the_day():
    noon, six, nine = dt.datetime(2024, 1, 1, 12), dt.datetime(2024, 1, 1, 6), dt.datetime(2024, 1, 1, 9)
    day = [row[:2] for row in encoded(pl.Series([noon, six, nine]))]
    assert day == [pytest.approx(pair, abs=1e-6) for pair in ([0, -1], [1, 0], [HALF, -HALF])]


def test_the_week_starts_on_monday():
    """Monday 2024-01-01 is its start, Thursday noon its middle, Tuesday 18:00 its first quarter."""
    moments = pl.Series([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 4, 12), dt.datetime(2024, 1, 2, 18)])
    week = [row[2:4] for row in encoded(moments)]
    assert week == [pytest.approx(pair, abs=1e-6) for pair in ([0, 1], [0, -1], [1, 0])]


def test_the_year_has_its_own_length():
    """Of 2023 the middle is 2 July 12:00, of the leap year 2024 it is 2 July 0:00."""
    moments = pl.Series([dt.datetime(2023, 1, 1), dt.datetime(2023, 7, 2, 12), dt.datetime(2024, 7, 2)])
    year = [row[4:6] for row in encoded(moments)]
    assert year == [pytest.approx(pair, abs=1e-6) for pair in ([0, 1], [0, -1], [0, -1])]


def test_the_trend():
    """Of 0 and 200 seconds the mean is 100 and the deviation 100."""
    assert [row[6] for row in encoded(pl.Series([0, 100, 300, None]))] == [-1.0, 0.0, 2.0, 0.0]


def test_null_becomes_zeros():
    assert encoded(pl.Series([None], dtype=pl.Date)) == [[0.0] * 7]


def test_one_moment_in_every_type():
    moment = dt.datetime(2024, 2, 29, 0, 0)
    seconds = pl.Series([1709164800])
    expected = encoded(seconds)
    for unit in ("ms", "us", "ns"):
        assert encoded(pl.Series([moment], dtype=pl.Datetime(unit))) == expected
    assert encoded(pl.Series([moment.date()])) == expected
    assert encoded(seconds.cast(pl.UInt32)) == expected
    berlin = pl.Series([moment]).dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin")
    assert encoded(berlin) == expected


def test_before_1970():
    assert waves(pl.Series([-1])) == pytest.approx(waves(pl.Series([dt.datetime(1969, 12, 31, 23, 59, 59)])))
    assert waves(pl.Series([dt.datetime(1969, 12, 31, 18)]))[:2] == pytest.approx([-1, 0], abs=1e-6)


def test_milliseconds_are_noticed():
    with pytest.raises(DataError, match="such as 1700000000000; are they milliseconds") as error:
        encoded(pl.Series("at", [5, 1_700_000_000_000]))
    assert "pl.from_epoch('at', time_unit=\"ms\")" in error.value.hint


def test_text_is_refused_with_a_hint():
    with pytest.raises(DataError, match=r"Timestamp\('at'\) got a column of type String") as error:
        Timestamp("at").fit(pl.Series(["2024-01-01"]))
    assert "str.to_datetime()" in error.value.hint


def log() -> sl.Dataset:
    rows = {"who": ["a", "b"] * 6, "what": ["x", "y"] * 6, "at": list(range(0, 120_000, 10_000)), "shown": range(12)}
    return sl.Dataset(rows, "who", "what", timestamp="at")


def fitted(feature: sl.features.Feature, data: sl.Dataset) -> None:
    query = sl.Tower(sl.StringLookup("who"), feature, dim=2)
    sl.fit(sl.TwoTower(query, sl.Tower(sl.StringLookup("what"), dim=2)), data, epochs=1, batch_size=4)


@pytest.mark.parametrize(
    "feature", [Timestamp("at"), sl.Normalization("at"), sl.Discretization("at", 3), Timestamp("shown")], ids=repr
)
def test_the_targets_own_time_is_refused(feature: sl.features.Feature) -> None:
    with pytest.raises(sl.ConfigError, match="the time of the interaction to predict") as error:
        fitted(feature, log())
    assert "of_target=True" in error.value.hint


def test_the_targets_own_time_is_read_and_named_when_asked_for() -> None:
    with pytest.warns(
        sl.ShortlistWarning, match=r"Timestamp\('at', of_target=True\).*only on a split by time"
    ) as warned:
        fitted(Timestamp("at", of_target=True), log())
    assert any(one.filename == __file__ for one in warned)
    asked = Timestamp("at", of_target=True)
    asked.fit(log().interactions["at"])
    assert Timestamp.restore(asked.state()).of_target


def test_other_times_are_nobodys_secret() -> None:
    """A time of the query's own, and other context beside the time."""
    data = log()
    users = pl.DataFrame({"who": ["a", "b"], "joined": [5, 6]})
    fitted(Timestamp("joined"), sl.Dataset(data.interactions, "who", "what", timestamp="at", queries=users))
    fitted(sl.Normalization("shown"), data)
