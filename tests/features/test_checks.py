"""What every feature refuses: options, types, numbers that are none."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

import shortlist as sl
from shortlist.features.checks import MAX_ROWS, as_text, check_count, finite, nothing_to_learn, wrong_type

PRICE = sl.Normalization("price")


@pytest.mark.parametrize("value", [0, -1, 1.0, True, None, "3", MAX_ROWS + 1])
def test_counts_are_whole_numbers(value: object) -> None:
    with pytest.raises(sl.ConfigError, match=r"Normalization\('price'\) got size=.*a whole number of at least 1"):
        check_count(PRICE, "size", value)  # type: ignore[arg-type]


def test_counts_that_can_be() -> None:
    check_count(PRICE, "size", 1)
    check_count(PRICE, "size", MAX_ROWS)
    check_count(PRICE, "size", 0, least=0)


def test_finite_numbers_without_nulls() -> None:
    assert finite(PRICE, pl.Series([1, None, 3])).tolist() == [1.0, 3.0]
    assert finite(PRICE, pl.Series([None, None])).tolist() == []


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (pl.Series(["1"]), "cast the column to Float64 first"),
        (pl.Series([True]), "use Category('price')"),
        (pl.Series([dt.date(2024, 1, 1)]), "use Timestamp('price')"),
    ],
)
def test_other_types_say_what_to_use(values: pl.Series, hint: str) -> None:
    with pytest.raises(sl.DataError, match="it takes numbers") as error:
        finite(PRICE, values)
    assert error.value.hint == hint


def test_numbers_that_are_not_finite_are_counted() -> None:
    odd = pl.Series([1.0, float("nan"), float("inf"), float("-inf"), None])
    with pytest.raises(
        sl.DataError,
        match=r"got 1 NaN and 2 infinite values in 5 rows, the first in row 1 \(counted from 0\); it takes",
    ):
        finite(PRICE, odd)


def test_errors_name_the_feature_and_its_column() -> None:
    error = wrong_type(PRICE, pl.Series([b"x"]), "numbers", "cast it")
    assert error.message == "Normalization('price') got a column of type Binary; it takes numbers."
    assert error.hint == "cast it"
    assert "got 1,200 training rows without any value" in nothing_to_learn(PRICE, pl.Series([None] * 1200)).message


def test_categories_are_the_strings_they_stand_for() -> None:
    for dtype in (pl.Categorical, pl.Enum(["a", "b"])):
        assert as_text(pl.Series(["b", None, "a"], dtype=dtype)).to_list() == ["b", None, "a"]
        assert as_text(pl.Series(["b"], dtype=dtype)).dtype == pl.String
    assert as_text(pl.Series([1])).dtype == pl.Int64
