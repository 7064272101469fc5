"""Hashing: buckets by the value alone, spread evenly."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shortlist import ConfigError, DataError, Hashing


def hashing(values: pl.Series, buckets: int = 1000) -> Hashing:
    feature = Hashing("id", buckets)
    feature.fit(values)
    return feature


def test_buckets_start_at_one_and_null_is_zero():
    """10031052685804127575 mod 1000 = 575."""
    encoded = hashing(pl.Series(["x"])).encode(pl.Series(["ann", None]))
    assert (encoded.values.tolist(), encoded.cardinality) == ([576, 0], 1001)
    assert hashing(pl.Series(["x"]), 1).encode(pl.Series(["", "a", None])).values.tolist() == [1, 1, 0]


def test_values_spread_evenly():
    """Of 100,000 consecutive ids in 100 buckets each gets 1000, give or take 5 of its deviation of 31."""
    for values in (pl.Series(range(100_000)), pl.Series([f"user_{number}" for number in range(100_000)])):
        counts = np.bincount(hashing(values, 100).encode(values).values, minlength=101)
        assert counts[0] == 0
        assert np.abs(counts[1:] - 1000).max() < 160


def test_the_width_of_an_integer_does_not_matter():
    feature = hashing(pl.Series([1]))
    expected = feature.encode(pl.Series([5, 7])).values.tolist()
    for dtype in (pl.Int8, pl.UInt16, pl.UInt64, pl.Int128):
        assert feature.encode(pl.Series([5, 7], dtype=dtype)).values.tolist() == expected
    categories = hashing(pl.Series(["x"])).encode(pl.Series(["ann"], dtype=pl.Categorical))
    assert categories.values.tolist() == [576]


def test_integers_beyond_64_bits():
    with pytest.raises(DataError, match="neither Int64 nor UInt64 can hold, such as 1180591620717411303424"):
        hashing(pl.Series([1])).encode(pl.Series([2**70], dtype=pl.Int128))


def test_strings_and_integers_differ():
    with pytest.raises(DataError, match="Int64; it takes strings, as in training") as error:
        hashing(pl.Series(["1"])).encode(pl.Series("id", [1]))
    assert "cast the column to String" in error.value.hint
    with pytest.raises(DataError, match="String; it takes integers, as in training"):
        hashing(pl.Series([1])).encode(pl.Series("id", ["1"]))


@pytest.mark.parametrize("buckets", [0, -5, 1.5, None, True, 2**31])
def test_buckets_must_be_a_positive_whole_number(buckets: object):
    with pytest.raises(ConfigError, match=f"buckets={buckets}"):
        Hashing("id", buckets)
