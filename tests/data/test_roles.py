"""Ids, times and weights are checked, and the tables of both sides are made of distinct ids."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from tests.data.refusals import refused

from shortlist.data import Dataset, Events
from shortlist.errors import DataError, ShortlistWarning


def test_rows_with_the_same_id_are_merged_and_counted() -> None:
    users = {"u": ["b", "a", "b", "b"], "age": [1, 2, 3, 4]}
    films = {"name": ["x", "y"], "c": [7, 7]}
    data = Dataset({"u": ["a"], "c": [7]}, "u", "c", queries=users, candidates=films)
    assert data.queries.rows() == [("b", 1), ("a", 2)]
    assert data.candidates.rows() == [("x", 7)]
    assert data.notes == (
        "2 query rows had the u of an earlier row and merged into it (4 rows, 2 queries)",
        "1 candidate row had the c of an earlier row and merged into it (2 rows, 1 candidate)",
    )


def test_ids_that_a_table_lacks_are_added_with_a_counted_warning() -> None:
    log = {"u": ["a"] * 6, "c": [9, 5, 4, 3, 2, 1]}
    with pytest.warns(ShortlistWarning, match=r"candidates table lacked 5 interacted ids \(1, 2, 3, …\)") as caught:
        data = Dataset(log, "u", "c", candidates={"c": [9], "name": ["x"]})
    assert caught[0].filename == __file__
    assert data.candidates.rows() == [(9, "x"), (1, None), (2, None), (3, None), (4, None), (5, None)]
    assert data.candidate_rows.tolist() == [0, 5, 4, 3, 2, 1]
    assert data.notes == ("the candidates table lacked 5 interacted ids (1, 2, 3, …); added with null features",)
    with pytest.warns(ShortlistWarning, match=r"queries table lacked 1 interacted id \('a'\)"):
        Dataset(log, "u", "c", queries={"u": ["b"]})


def test_integers_of_another_width_take_the_type_of_the_interactions() -> None:
    narrow = pl.DataFrame({"c": [1, 2]}, schema={"c": pl.Int16})
    data = Dataset({"u": ["a"], "c": [1]}, "u", "c", candidates=narrow)
    assert data.candidates["c"].dtype == pl.Int64
    log = pl.DataFrame({"u": ["a"], "c": [1]}, schema={"u": pl.String, "c": pl.Int8})
    error = refused(log, candidates={"c": [1, 300]})
    assert error.message == "'c' is Int8 in the interactions table and Int64 in the candidates table; " + (
        "expected one type in both."
    )


@pytest.mark.parametrize(
    ("values", "came"),
    [
        (
            [-1.0, 1.0],
            "has 1 bad value (null, negative, or not finite in float32), the first in row 0 (counted from 0); expected",
        ),
        ([None, float("inf")], "has 2 bad values"),
        ([float("nan"), 1e300], "has 2 bad values"),
        ([0, 0], "is zero in every row"),
        ([1e-300, 0.0], "has no weight that is above 0 in float32, whose least number above 0 is 1.4e-45"),
        (["1", "2"], "is text; expected numbers"),
        (["1", "two"], "is text, such as 'two', the first in row 1 (counted from 0); expected numbers"),
        ([True, False], "is of type Boolean; expected numbers"),
    ],
)
def test_bad_weights(values: list[Any], came: str) -> None:
    assert came in refused({"u": ["a", "b"], "c": [1, 2], "w": values}, weight="w").message


@pytest.mark.parametrize(
    ("values", "came"),
    [
        ([1, None], "has 1 bad value (null, NaN, infinite, or in no year from 1 to 9999), the first in row 1"),
        ([float("nan"), float("inf")], "has 2 bad values"),
        (["yesterday", "today"], "is text that could not be read as dates and times"),
        ([True, False], "is of type Boolean; expected numbers, dates or datetimes"),
    ],
)
def test_bad_timestamps(values: list[Any], came: str) -> None:
    assert came in refused({"u": ["a", "b"], "c": [1, 2], "t": values}, timestamp="t").message


def test_a_table_of_other_ids_is_named() -> None:
    log = {"u": ["a", "b"], "c": [1, 2]}
    with pytest.warns(
        ShortlistWarning, match=r"none of its own ids \(such as 100\) occurs there: are they written in another way"
    ):
        Dataset(log, "u", "c", candidates={"c": [100, 101], "name": ["x", "y"]})


@pytest.mark.parametrize(("column", "roles"), [("at", {"timestamp": "at"}), ("w", {"weight": "w"})])
def test_the_condition_of_the_hint_leaves_the_bad_rows_out(column: str, roles: dict[str, str]) -> None:
    log = {"u": [1, 2, 3, 4, 5], "c": [1] * 5, column: [1.0, float("nan"), float("inf"), None, float("-inf")]}
    with pytest.raises(DataError) as caught:
        Dataset(log, "u", "c", **roles)
    hint = str(caught.value.hint)
    condition = hint[hint.index('--where "') + 9 :].partition('"')[0]
    assert Dataset(log, "u", "c", **roles, events=Events(where=condition)).interactions["u"].to_list() == [1]
