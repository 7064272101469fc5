"""Dataset: ids come back as they came, tables are merged and completed, and every bad table is refused by name."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import Dataset, Events
from shortlist.errors import ConfigError, DataError, ShortlistWarning

ODD = ["", " ", "1", "01", "é", "e\u0301", "用户", "🙂", "a\x00b", "null", "NaN", "x" * 100_000]
LARGE = [2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0, -1]
texts = st.text(max_size=20) | st.sampled_from(ODD)
numbers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(LARGE)


def refused(*args: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        Dataset(*args, **{"query": "u", "candidate": "c"} | options)
    assert caught.value.hint, "every refusal says what to do"
    return caught.value


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")  # ids that look wrong are meant
@given(st.lists(st.tuples(texts, numbers), min_size=1, max_size=30))
def test_odd_ids_come_back_through_their_rows(pairs: list[tuple[str, int]]) -> None:
    data = Dataset({"u": [u for u, _ in pairs], "c": [c for _, c in pairs]}, "u", "c")
    assert data.queries.schema["u"] == pl.String
    assert data.candidates.schema["c"] == pl.Int64
    assert data.queries["u"][data.query_rows].to_list() == [u for u, _ in pairs]
    assert data.candidates["c"][data.candidate_rows].to_list() == [c for _, c in pairs]
    assert data.queries["u"].to_list() == sorted({u for u, _ in pairs}, key=str.encode)
    assert data.candidates["c"].to_list() == sorted({c for _, c in pairs})


@pytest.mark.parametrize("dtype", [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64])
def test_integer_types_stay(dtype: Any) -> None:
    data = Dataset(pl.DataFrame({"u": [3, 1], "c": [2, 2]}, schema={"u": dtype, "c": dtype}), "u", "c")
    assert data.queries["u"].dtype == data.candidates["c"].dtype == data.interactions["u"].dtype == dtype
    assert data.queries["u"].to_list() == [1, 3]


def test_python_integers_on_both_sides_of_the_signed_range() -> None:
    data = Dataset([{"u": "a", "c": 1}, {"u": "a", "c": 2**64 - 1}], "u", "c")
    assert data.candidates.schema["c"] == pl.UInt64
    assert data.candidates["c"].to_list() == [1, 2**64 - 1]


def test_the_same_digits_in_both_columns_stay_apart() -> None:
    data = Dataset({"u": ["1", "2"], "c": [1, 2]}, "u", "c")
    assert data.queries["u"].to_list() == ["1", "2"]
    assert data.candidates["c"].to_list() == [1, 2]


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["b", "a"])])
def test_categories_become_strings(dtype: Any) -> None:
    frame = pl.DataFrame({"u": ["b", "a"], "c": [1, 2]}).with_columns(pl.col("u").cast(dtype))
    data = Dataset(frame, "u", "c", queries=frame.select("u"))
    assert data.interactions["u"].dtype == data.queries["u"].dtype == pl.String
    assert data.queries["u"].to_list() == ["b", "a"]


def test_row_numbers_are_int32_and_kept() -> None:
    data = Dataset({"u": ["b", "a", "b"], "c": [5, 5, 4]}, "u", "c")
    assert data.query_rows.dtype == data.candidate_rows.dtype == np.int32
    assert data.query_rows.tolist() == [1, 0, 1]
    assert data.candidate_rows.tolist() == [1, 1, 0]
    assert data.query_rows is data.query_rows


def test_context_weight_and_timestamp_are_kept() -> None:
    rows = {"u": [1, 2], "c": [1, 2], "w": [1, 3], "t": ["2024-01-02", "2024-01-03"], "device": ["tv", None]}
    data = Dataset(rows, "u", "c", timestamp="t", weight="w")
    assert data.weights is not None
    assert data.weights.dtype == np.float32
    assert data.weights.tolist() == [1.0, 3.0]
    assert isinstance(data.interactions["t"].dtype, pl.Datetime)
    assert data.interactions["device"].to_list() == ["tv", None]
    assert Dataset(rows, "u", "c").weights is None


def test_rows_with_the_same_id_are_merged_and_counted() -> None:
    users = {"u": ["b", "a", "b", "b"], "age": [1, 2, 3, 4]}
    films = {"name": ["x", "y"], "c": [7, 7]}
    data = Dataset({"u": ["a"], "c": [7]}, "u", "c", queries=users, candidates=films)
    assert data.queries.rows() == [("b", 1), ("a", 2)]
    assert data.candidates.rows() == [("x", 7)]
    assert data.notes == (
        "2 query rows had the u of an earlier row and merged into it (4 rows, 2 queries)",
        "1 candidate row had the c of an earlier row and merged into it (2 rows, 1 candidates)",
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


def test_candidates_that_nobody_chose_stay() -> None:
    data = Dataset({"u": ["a"], "c": [2]}, "u", "c", candidates={"c": [3, 2, 1]})
    assert data.candidates["c"].to_list() == [3, 2, 1]
    assert data.notes == ()


def test_integers_of_another_width_take_the_type_of_the_interactions() -> None:
    narrow = pl.DataFrame({"c": [1, 2]}, schema={"c": pl.Int16})
    data = Dataset({"u": ["a"], "c": [1]}, "u", "c", candidates=narrow)
    assert data.candidates["c"].dtype == pl.Int64
    log = pl.DataFrame({"u": ["a"], "c": [1]}, schema={"u": pl.String, "c": pl.Int8})
    error = refused(log, candidates={"c": [1, 300]})
    assert error.message == "'c' is Int8 in the interactions table and Int64 in the candidates table; " + (
        "expected one type in both."
    )


def test_with_interactions_shares_both_tables() -> None:
    data = Dataset({"u": ["a", "b"], "c": [1, 2], "w": [1.0, 2.0]}, "u", "c", weight="w")
    part = data.with_interactions(data.interactions.tail(1))
    assert part.queries is data.queries
    assert part.candidates is data.candidates
    assert part.query_rows.tolist() == [1]
    assert part.weights is not None
    assert part.weights.tolist() == [2.0]
    assert len(part) == 1


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pl.DataFrame({"u": ["a"], "x": [1]}), "no column 'c'"),
        (pl.DataFrame({"u": ["a"], "c": ["1"]}), "of type String; expected Int64"),
        (pl.DataFrame({"u": ["a"], "c": [1]}).clear(), "is empty"),
    ],
)
def test_with_interactions_refuses_other_columns(frame: pl.DataFrame, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        Dataset({"u": ["a"], "c": [1]}, "u", "c").with_interactions(frame)
    assert caught.value.hint


def test_an_unknown_id_is_found_when_rows_are_asked_for() -> None:
    other = Dataset({"u": ["a"], "c": [1]}, "u", "c").with_interactions(pl.DataFrame({"u": ["a", "z"], "c": [1, 1]}))
    with pytest.raises(DataError, match="1 interaction with a 'u' that is not in its table, such as 'z'"):
        other.query_rows  # noqa: B018


def test_a_dataset_is_frozen_and_survives_pickling() -> None:
    data = Dataset({"u": ["a", "b"], "c": [1, 2]}, "u", "c")
    with pytest.raises(AttributeError):
        data.query = "c"  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(data))
    assert again.interactions.equals(data.interactions)
    assert repr(again) == repr(data) == "Dataset(2 interactions · 2 queries · 2 candidates)"


@pytest.mark.parametrize(
    ("rows", "options", "came", "hint"),
    [
        ({"user": [1], "c": [1]}, {"query": "usr"}, "no column 'usr', which was given as the query", "'user'"),
        (
            {"u": [1], "c": [1]},
            {"timestamp": "time"},
            "no column 'time', which was given as the timestamp",
            "known: c, u",
        ),
        ({"u": [1], "c": [1]}, {"weight": "w"}, "no column 'w', which was given as the weight", "known"),
        (
            {"u": ["a", None, None], "c": [1, 2, 3]},
            {},
            "2 nulls in 'u' (query), the first in row 1 (counted from 0); every row must",
            "drop_nulls('u')",
        ),
        (
            {"u": ["a"], "c": [1.0]},
            {},
            "'c' (candidate) is of type Float64; ids are strings or integers",
            "cast(pl.Int64)",
        ),
        ({"u": ["a"] * 2, "c": [1.0, float("nan")]}, {}, "1 of them NaN, the first in row 1", "drop the missing ids"),
        ({"u": [True], "c": [1]}, {}, "'u' (query) is of type Boolean", "cast the column"),
        ({"u": [b"x"], "c": [1]}, {}, "'u' (query) is of type Binary", "cast the column"),
        ({"u": [["x"]], "c": [1]}, {}, "'u' (query) is of type List(String)", "cast the column"),
        ({"u": [], "c": []}, {}, "interactions table is empty; expected at least one row", "how it was made"),
        ([], {}, "interactions table is empty; expected at least one row", "how it was made"),
        (
            {"u": ["a"], "c": [1]},
            {"candidates": {"c": ["1"]}},
            "Int64 in the interactions table and String in the",
            "cast",
        ),
        ({"u": ["a"], "c": [1]}, {"candidates": {"d": [1]}}, "the candidates table has no column 'c'", "known: d"),
        ({"u": ["a"], "c": [1]}, {"queries": {"u": ["a", None]}}, "the queries table has 1 null in 'u'", "drop_nulls"),
        ({"u": ["a"], "c": [1]}, {"queries": {"u": []}}, "the queries table is empty", "how it was made"),
    ],
)
def test_bad_ids_and_tables(rows: Any, options: dict[str, Any], came: str, hint: str) -> None:
    error = refused(rows, **options)
    assert came in error.message
    assert hint in str(error.hint)


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
        (["1", "2"], "is text; expected numbers"),
        (["1", "two"], "is text, such as 'two', the first in row 1 (counted from 0); expected numbers"),
        ([True, False], "is of type Boolean; expected numbers"),
    ],
)
def test_bad_weights(values: list[Any], came: str) -> None:
    assert came in refused({"u": ["a", "b"], "c": [1, 2], "w": values}, weight="w").message


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0, 1e300, None])
def test_bad_weights_are_left_out_by_the_condition_that_the_error_gives(bad: float | None) -> None:
    table = {"u": ["a", "b"], "c": [1, 2], "w": [1.0, bad]}
    hint = str(refused(table, weight="w").hint)
    where = hint.partition("Events(where='")[2].partition("')")[0]
    assert len(Dataset(table, "u", "c", weight="w", events=Events(where=where))) == 1


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


def test_one_column_cannot_be_both() -> None:
    with pytest.raises(ConfigError, match="both 'u'; expected two different columns"):
        Dataset({"u": [1]}, "u", "u")
