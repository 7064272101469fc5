"""A table as it was and as it is now."""

from __future__ import annotations

import polars as pl
import pytest

import shortlist as sl
from shortlist.data.merged_tables import united_rows, united_table


def test_known_rows_keep_their_places_and_take_newer_values() -> None:
    before = pl.DataFrame({"id": [3, 1], "age": [30, 10], "old": ["c", "a"]})
    now = pl.DataFrame({"id": [2, 1, 3], "age": [20, 11, None]})
    both = united_table(before, now, "id")
    assert both.rows() == [(3, 30, "c"), (1, 11, "a"), (2, 20, None)]


def test_rows_of_what_was_given_are_found() -> None:
    before = pl.DataFrame({"id": [3, 1, 7], "old": ["c", "a", "g"]})
    now = pl.DataFrame({"id": [2, 1, 9, 3], "new": [20, 10, None, 30]})
    both, rows = united_rows(before, now, "id")
    assert both.rows() == [(3, "c", 30), (1, "a", 10), (7, "g", None), (2, None, 20), (9, None, None)]
    assert rows.tolist() == [3, 1, 4, 0]
    alone, rows = united_rows(before.select("id"), pl.DataFrame({"id": [5]}), "id")
    assert (alone["id"].to_list(), rows.tolist()) == ([3, 1, 7, 5], [3])
    widened, _ = united_rows(before, pl.DataFrame({"id": [5], "new": [1]}), "id")
    assert widened.columns == ["id", "old", "new"]


def test_other_types_are_refused() -> None:
    before = pl.DataFrame({"id": [1], "age": [30]})
    with pytest.raises(sl.DataError, match="ids 'id' are of type String; before they were Int64"):
        united_table(before, pl.DataFrame({"id": ["1"]}), "id")
    with pytest.raises(sl.DataError, match="'age' is of type String; before it was Int64"):
        united_table(before, pl.DataFrame({"id": [1], "age": ["30"]}), "id")
