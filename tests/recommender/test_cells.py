"""Values that do not fit, by halves; and plain values that are never converted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shortlist as sl
from shortlist.recommender.cells import Columns, misfits, of_one_kind


def no_negatives(values: Sequence[int]) -> None:
    if any(value < 0 for value in values):
        raise ValueError


@given(st.lists(st.integers(-1, 8)), st.integers(1, 5))
def test_the_first_misfits_are_found(values: list[int], most: int) -> None:
    assert misfits(values, no_negatives, most) == [place for place, one in enumerate(values) if one < 0][:most]


@pytest.mark.parametrize("place", [0, 1, 500, 1023])
def test_one_misfit_costs_three_looks_at_all_values(place: int) -> None:
    values = [1] * 1024
    values[place] = -1
    looked = []

    def check(some: Sequence[int]) -> None:
        looked.append(len(some))
        no_negatives(some)

    assert misfits(values, check, 20) == [place]
    assert sum(looked) <= 3 * 1024


def test_values_that_fit_only_apart_are_named_where_they_meet() -> None:
    def alike(values: Sequence[Any]) -> None:
        if len({type(value) for value in values}) > 1:
            raise TypeError

    assert misfits([1, 2, "a", "b"], alike, 20) == [2]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([[1], [0.5, None], None], [[1.0], [0.5, None], None]),
        ([1, None], [1, None]),
        ([], []),
        (["a", None], ["a", None]),
        ([[], ["a"]], [[], ["a"]]),
    ],
)
def test_integers_become_floats_where_floats_are(values: list[Any], expected: list[Any]) -> None:
    found = of_one_kind(values)
    assert found == expected
    assert [type(one) for one in found] == [type(one) for one in expected]
    assert pl.Series(found, strict=True).to_list() == expected


@pytest.mark.parametrize("values", [[1, "a"], [1, True], ["a", ["a"]], [["a"], [1]], [[1, True]], [[0.5], ["a"]]])
def test_other_mixtures_are_refused(values: list[Any]) -> None:
    with pytest.raises(TypeError):
        of_one_kind(values)


def test_columns_ask_every_feature_that_reads_them() -> None:
    age, bins = sl.Normalization("age"), sl.Discretization("age", boundaries=[18])
    age.fit(pl.Series([20, 40]))
    columns = Columns({"age": age, "bins": bins})
    columns.check(pl.Series("age", [1, None]))
    columns.check(pl.Series("other", ["x"]))
    with pytest.raises(sl.DataError):
        columns.check(pl.Series("age", ["x"]))
