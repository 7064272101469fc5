"""Dataset: ids come back as they came, tables are merged and completed, and every bad table is refused by name."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.data.refusals import refused

from shortlist.data import Dataset
from shortlist.errors import ConfigError, DataError


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


def test_candidates_that_nobody_chose_stay() -> None:
    data = Dataset({"u": ["a"], "c": [2]}, "u", "c", candidates={"c": [3, 2, 1]})
    assert data.candidates["c"].to_list() == [3, 2, 1]
    assert data.notes == ()


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
        ({"u": [True], "c": [1]}, {}, "'u' (query) is of type Boolean", "write the ids as text"),
        ({"u": [b"x"], "c": [1]}, {}, "'u' (query) is of type Binary", "write the ids as text"),
        ({"u": [["x"]], "c": [1]}, {}, "'u' (query) is of type List(String)", "frame.explode('u')"),
        ({"u": [{"a": 1}], "c": [1]}, {}, "'u' (query) is of type Struct", "struct.json_encode()"),
        ({"u": [object()], "c": [1]}, {}, "'u' (query) is of type Object", "[str(one) for one in frame['u']]"),
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


def test_one_column_cannot_be_both() -> None:
    with pytest.raises(ConfigError, match="both 'u'; expected two different columns"):
        Dataset({"u": [1]}, "u", "u")


@pytest.mark.filterwarnings("ignore:the queries table lacked")
@pytest.mark.parametrize("given", [False, True], ids=["ids alone", "with a table"])
def test_each_column_of_ids_is_grouped_once(monkeypatch: pytest.MonkeyPatch, given: bool) -> None:
    """20 million strings take a second: the distinct ids and the doubts about them come from the same counts."""
    rows, looked_at = 1000, []

    def noted(whole: Any) -> Any:
        def call(values: Any, *args: Any, **options: Any) -> Any:
            looked_at.append(len(values))
            return whole(values, *args, **options)

        return call

    for kind, name in ((pl.DataFrame, "group_by"), (pl.Series, "unique"), (pl.Series, "n_unique")):
        monkeypatch.setattr(kind, name, noted(getattr(kind, name)))
    pairs = {"u": [f"u{n % 50}" for n in range(rows)], "c": [f"c{n % 7}" for n in range(rows)]}
    data = Dataset(pairs, "u", "c", queries={"u": ["u3"]} if given else None)
    assert (len(data.queries), len(data.candidates)) == (50, 7)
    assert looked_at.count(rows) == 2
