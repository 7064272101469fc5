"""Distinct ids from a sample: exact where everything is read, and between its two ends otherwise."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.data.shards.estimate import Estimate, Sample, distinct, sample_of
from shortlist.data.source import find


def pieces(*parts: list[str]) -> tuple[pl.DataFrame, ...]:
    return tuple(pl.DataFrame({"id": part}, schema={"id": pl.String}) for part in parts)


def test_an_estimate_says_whether_it_was_counted() -> None:
    assert str(Estimate(1200, 1200, 1200)) == "1,200"
    assert Estimate(5, 5, 5).exact
    assert str(Estimate(1200, 1000, 2000)) == "about 1,200 (1,000 to 2,000)"
    assert not Estimate(5, 4, 6).exact


def test_the_whole_column_is_counted() -> None:
    sample = Sample(pieces(["a", "b"], ["b", "c"], ["c"]), rows=5)
    assert sample.whole
    assert distinct(sample, "id") == Estimate(3, 3, 3)


def test_few_pieces_tell_what_they_hold() -> None:
    assert distinct(Sample(pieces(["a"], ["b"]), rows=100), "id") == Estimate(2, 2, 2)


def test_the_same_ids_in_every_piece_are_all_there_are() -> None:
    estimate = distinct(Sample(pieces(*[["a", "b", "c"]] * 16), rows=48 * 100), "id")
    assert estimate.low <= 3 <= estimate.high
    assert estimate.value == 3


def test_ids_of_their_own_in_every_piece_go_on_as_a_line() -> None:
    """Ten new ids a piece, of which one may be cut in two by the next piece's beginning: nine for each of 1,600 pieces."""
    parts = [[f"{piece}-{number}" for number in range(10)] for piece in range(16)]
    estimate = distinct(Sample(pieces(*parts), rows=16_000), "id")
    assert estimate.value == estimate.high == 9 * 1600
    assert estimate.low > 160


def test_a_sample_is_spread_and_everything_where_there_is_no_more(tmp_path: Path) -> None:
    pl.DataFrame({"id": range(1000)}).write_parquet(tmp_path / "a.parquet")
    source = find(tmp_path / "a.parquet", reading=sl.Reading(), ids=("id",))
    whole = sample_of(source, 1000)
    assert whole.whole
    assert whole.frame["id"].to_list() == list(range(1000))
    some = sample_of(source, 100)
    assert some.rows == 1000
    assert not some.whole
    assert len(some.pieces) == 64
    found = some.frame["id"].to_list()
    assert found[0] == 0
    assert found[-1] == 999
    with pytest.raises(sl.ConfigError, match="at least 1"):
        sample_of(source, 0)
