"""Normalization and Discretization: values worked by hand."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist import ConfigError, DataError, Discretization, Normalization

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def normalized(train: list[object], values: list[object]) -> list[float]:
    feature = Normalization("x")
    feature.fit(pl.Series("x", train))
    return feature.encode(pl.Series("x", values)).values[:, 0].tolist()


def test_mean_and_deviation_of_the_population():
    """Of 1, 1, 5, 5 the mean is 3 and every distance from it 2."""
    assert normalized([1, 1, None, 5, 5], [1, 3, 5, 9, None]) == [-1.0, 0.0, 1.0, 3.0, 0.0]


def test_decimals_and_wide_integers():
    assert normalized([Decimal("0.5"), Decimal("2.5")], [Decimal("1.5"), Decimal("4.5")]) == [0.0, 3.0]
    assert normalized([2**62, 2**61], [2**62, 2**61]) == [1.0, -1.0]


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e308, -7.0])
def test_a_constant_column_becomes_zeros(constant: float):
    assert normalized([constant] * 3, [constant, 5.0, None]) == [0.0, 0.0, 0.0]


def test_the_widest_range_stays_finite():
    """Of -m, 0, m the deviation is m · sqrt(2/3)."""
    most = float(np.finfo(np.float64).max)
    assert normalized([-most, 0.0, most], [most, -most]) == pytest.approx([1.5**0.5, -(1.5**0.5)])


def test_far_outliers_are_clipped():
    assert normalized([-1.0, 1.0], [1e300, -1e300, 1e5]) == [1e6, -1e6, 1e5]


def test_a_large_offset_keeps_small_differences():
    assert normalized([1e15, 1e15 + 2], [1e15, 1e15 + 1, 1e15 + 2]) == [-1.0, 0.0, 1.0]


def test_the_indicator_marks_nulls():
    feature = Normalization("x", indicator=True)
    feature.fit(pl.Series([1, 3, None]))
    assert feature.encode(pl.Series([3, None, 2])).values.tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]


@given(st.lists(FINITE, min_size=1, max_size=50))
def test_training_values_come_out_with_mean_0_and_deviation_1_or_0(values: list[float]):
    encoded = np.array(normalized(values, values))
    assert abs(encoded.mean()) < 1e-3 * max(1.0, np.abs(encoded).max())
    assert encoded.std() == pytest.approx(1.0, abs=1e-3) or not encoded.any()


@pytest.mark.parametrize("kind", [Normalization, Discretization])
def test_numbers_must_be_finite(kind: type[Normalization]):
    feature = kind("x")
    with pytest.raises(DataError, match="2 NaN and 1 infinite value in 5 rows") as error:
        feature.fit(pl.Series([float("nan"), float("nan"), float("-inf"), 1.0, None]))
    assert "fill_nan(None)" in error.value.hint


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (pl.Series([True]), "use Category('x')"),
        (pl.Series(["2020-01-01"]).str.to_date(), "use Timestamp('x')"),
        (pl.Series(["1"]), "cast the column to Float64 first"),
    ],
)
def test_hints(values: pl.Series, hint: str):
    with pytest.raises(DataError) as error:
        Normalization("x").fit(values)
    assert error.value.hint == hint


def bins(train: list[object], count: int) -> list[int]:
    feature = Discretization("x", count)
    feature.fit(pl.Series("x", train))
    return feature.encode(pl.Series("x", train)).values.tolist()


def test_bins_hold_equally_many():
    assert bins([4, 1, 3, 2], 2) == [2, 1, 2, 1]
    assert bins([1, 2, 3, 4], 4) == [1, 2, 3, 4]
    assert np.bincount(bins(list(range(1000)), 10)).tolist() == [0] + [100] * 10


def test_repeated_values_share_a_bin():
    assert bins([0, 0, 0, 0, 0, 0, 0, 5], 4) == [1] * 8  # the lowest value of each quarter is 0
    assert bins([0, 0, 0, 0, 5, 5, 7, None], 4) == [1, 1, 1, 1, 2, 2, 2, 0]
    assert bins([3, 3, 3], 10) == [1, 1, 1]
    assert bins([1, 2], 10) == [1, 2]


def test_outside_the_training_range_is_an_outer_bin():
    feature = Discretization("x", 2)
    feature.fit(pl.Series([1, 2, 3, 4]))
    encoded = feature.encode(pl.Series([-1e300, 2.9, 3.0, 1e300, None]))
    assert (encoded.values.tolist(), encoded.cardinality) == ([1, 1, 2, 2, 0], 3)


def test_given_boundaries_stay_and_belong_to_the_bin_above():
    feature = Discretization("age", boundaries=[18, 65.5])
    feature.fit(pl.Series([1, 2, 3]))
    encoded = feature.encode(pl.Series([17.99, 18, 65, 65.5, None]))
    assert (encoded.values.tolist(), encoded.cardinality) == ([1, 2, 2, 3, 0], 4)


@pytest.mark.parametrize("boundaries", [[2, 1], [1, 1], [float("nan")], [1, float("inf")], [[1, 2]]])
def test_boundaries_must_rise(boundaries: list[float]):
    with pytest.raises(ConfigError, match="strictly increasing"):
        Discretization("x", boundaries=boundaries)


@pytest.mark.parametrize("count", [0, 1, 2.5, True])
def test_there_are_at_least_two_bins(count: object):
    with pytest.raises(ConfigError, match=f"bins={count}"):
        Discretization("x", count)


def test_bins_or_boundaries():
    with pytest.raises(ConfigError, match="give one of them"):
        Discretization("x", 10, boundaries=[1])


@given(st.lists(FINITE, min_size=1, max_size=60), st.integers(2, 12))
def test_learned_bins_keep_the_order_and_none_is_empty(values: list[float], count: int):
    codes = np.array(bins(list(values), count))
    assert (np.diff(codes[np.argsort(values)]) >= 0).all()
    assert set(codes.tolist()) == set(range(1, codes.max() + 1))
    assert codes.max() <= count
