"""Settings of ranked lists, against lists that are worked by hand."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

import shortlist as sl
from shortlist.errors import ConfigError, DataError

ROWS = [  # who, what, day, weight
    ("ann", "a", 0, 1.0), ("ann", "b", 8, 1.0), ("bob", "a", 1, 1.0), ("bob", "c", 8, 1.0), ("cat", "a", 2, 1.0),
    ("cat", "c", 7, 1.0), ("cat", "d", 8, 0.0),
]  # fmt: skip


def dataset(timestamp: str | None = "day", dates: bool = False) -> sl.Dataset:
    """a was chosen three times long ago, c twice and b once lately; what weighs nothing was not chosen, and nobody chose e."""
    frame = pl.DataFrame(ROWS, schema=["who", "what", "day", "weight"], orient="row")
    if dates:
        frame = frame.with_columns(pl.lit(date(2026, 1, 1)).dt.offset_by(pl.format("{}d", "day")).alias("day"))
    queries = {"who": ["ann", "bob", "cat"], "land": ["kr", "fi", "fi"], "size": [1.5, 2.5, 3.5]}
    candidates = {"what": ["a", "b", "c", "d", "e"], "year": [2001, 2003, None, 2003, 2002], "name": list("vwxyz")}
    return sl.Dataset(
        frame, "who", "what", timestamp=timestamp, weight="weight", queries=queries, candidates=candidates
    )


def listed(found: sl.RankedList) -> list[list[str]]:
    return [
        ["abcde"[row] for row in found.rows[low:high]]
        for low, high in zip(found.offsets[:-1].tolist(), found.offsets[1:].tolist(), strict=True)
    ]


def test_popular() -> None:
    assert listed(sl.Popular().fit(dataset())) == [["a", "c", "b"]]
    assert listed(sl.Popular(length=2).fit(dataset())) == [["a", "c"]]
    by_land = sl.Popular(by="land", least=3).fit(dataset())
    assert (by_land.values, listed(by_land)) == (("fi",), [["a", "c", "b"], ["a", "c"]])
    assert sl.Popular(by="land", least=2).fit(dataset()).values == ("fi", "kr")
    assert repr(by_land) == "RankedList(popular: 3 of 5 candidates, by 'land': 1 segment)"


@pytest.mark.parametrize("dates", [False, True])
def test_recent_halves_with_every_half_life(dates: bool) -> None:
    # half-life of two days: a 2^-4 + 2^-3.5 + 2^-3, b 1, c 1 + 2^-0.5
    assert listed(sl.Recent(half_life=2).fit(dataset(dates=dates))) == [["c", "b", "a"]]
    assert listed(sl.Recent(half_life=1000).fit(dataset(dates=dates))) == [["a", "c", "b"]]
    assert listed(sl.Recent().fit(dataset(dates=dates))) == [["c", "b", "a"]]
    assert listed(sl.Recent(half_life=2, by="land", least=1).fit(dataset(dates=dates)))[1:] == [["c", "a"], ["b", "a"]]


def test_newest() -> None:
    assert listed(sl.Newest("year").fit(dataset())) == [["b", "d", "e", "a"]]
    assert listed(sl.Newest("year", length=2).fit(dataset())) == [["b", "d"]]
    assert listed(sl.Newest().fit(dataset())) == [["b", "c", "a"]]  # by the first interaction
    assert listed(sl.Newest().fit(dataset(timestamp=None))) == [["c", "b", "a"]]  # by the place in the table


def test_what_cannot_be() -> None:
    for settings in (sl.Popular, sl.Recent, sl.Newest):
        with pytest.raises(DataError, match="a Dataset was expected"):
            settings().fit([1])
        with pytest.raises(ConfigError, match="length=0"):
            settings(length=0)
    with pytest.raises(DataError, match="needs timestamps"):
        sl.Recent().fit(dataset(timestamp=None))
    with pytest.raises(DataError, match="no column 'lend'"):
        sl.Popular(by="lend").fit(dataset())
    with pytest.raises(DataError, match="of type Float64"):
        sl.Popular(by="size").fit(dataset())
    with pytest.raises(DataError, match="of type String"):
        sl.Newest("name").fit(dataset())
    for bad in (lambda: sl.Popular(by=1), lambda: sl.Newest(column=1), lambda: sl.Recent(half_life=0)):
        with pytest.raises(ConfigError):
            bad()
