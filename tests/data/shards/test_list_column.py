"""Lists of row numbers, one row's after another's."""

from __future__ import annotations

import numpy as np

from shortlist.data.shards import ListColumn


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
