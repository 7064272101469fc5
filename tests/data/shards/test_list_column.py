"""Lists of row numbers, one row's after another's."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shortlist.data.shards import ListColumn, as_lists


def lists(column: ListColumn) -> list[list[int]]:
    return [column.values[column.offsets[row] : column.offsets[row + 1]].tolist() for row in range(column.rows)]


def test_rows_are_taken_cut_and_joined() -> None:
    column = ListColumn(np.array([0, 2, 2, 5]), np.array([7, 8, 1, 2, 3], np.int32))
    assert lists(column) == [[7, 8], [], [1, 2, 3]]
    assert lists(column.at(np.array([2, 0, 2]))) == [[1, 2, 3], [7, 8], [1, 2, 3]]
    assert lists(column.at(np.array([False, True, True]))) == [[], [1, 2, 3]]
    assert lists(column.part(1, 3)) == [[], [1, 2, 3]]
    assert lists(ListColumn.joined([column, column.part(0, 1)])) == [[7, 8], [], [1, 2, 3], [7, 8]]
    assert lists(ListColumn.joined([])) == []


@pytest.mark.parametrize("name", ["a", "^a$", "*", ""])
def test_columns_of_every_form_are_lists(name: str) -> None:
    for values, expected in (
        (pl.Series(name, [[1, 2], [], None]), [[1, 2], [], None]),
        (pl.Series(name, [[1, 2], None, [3, None]], dtype=pl.Array(pl.Int64, 2)), [[1, 2], None, [3, None]]),
        (pl.Series(name, [1, None]), [[1], [None]]),
        (pl.Series(name, ["a", "b"]), [["a"], ["b"]]),
    ):
        assert as_lists(values).to_list() == expected
