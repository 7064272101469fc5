"""Groups of rows by the values of a column; by hand."""

from __future__ import annotations

import polars as pl
import pytest

from shortlist.evaluation.segments import by_values


def groups(values: list[object], dtype: pl.DataType | None = None) -> dict[str, list[int]]:
    """The rows of each group that has any."""
    found = by_values(pl.Series(values, dtype=dtype))
    return {name: mask.nonzero()[0].tolist() for name, mask in found if mask.any()}


def test_text_falls_into_its_values() -> None:
    assert groups(["x", "y", "x"]) == {"x": [0, 2], "y": [1]}


def test_a_value_of_several_is_in_the_group_of_each() -> None:
    expected = {"war": [0, 2], "drama": [0, 1]}
    assert groups([["war", "drama"], ["drama"], ["war"]]) == expected
    assert groups(["war|drama", "drama", "war"]) == expected


def test_few_numbers_are_values_and_many_are_quartiles() -> None:
    assert groups([3, 1, 3]) == {"1": [1], "3": [0, 2]}
    quartiles = groups(list(range(40)))
    assert [len(rows) for rows in quartiles.values()] == [10, 10, 10, 10]
    assert sorted(row for rows in quartiles.values() for row in rows) == list(range(40))


@pytest.mark.parametrize(
    "values", [["a", "b", "a"], [["a", "b"], [], ["b"]], list(range(30)), [1, 1, 2], [True, False]]
)
def test_nobody_is_lost_or_made_up(values: list[object]) -> None:
    rows = {row for members in groups(values).values() for row in members}
    assert rows <= set(range(len(values)))
    assert rows >= {row for row, value in enumerate(values) if value != []}
