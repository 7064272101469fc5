"""Lists and Hits."""

from __future__ import annotations

import numpy as np
import pytest

from shortlist.errors import SearchError
from shortlist.index import BruteForce, Lists
from shortlist.index.values import offsets_of, parts, taken


def test_lists_hold_one_row_per_query():
    lists = Lists.of([[3, 5], [], np.array([7])])
    assert len(lists) == 3
    assert [lists.row(i).tolist() for i in range(3)] == [[3, 5], [], [7]]
    assert len(Lists.of([])) == 0
    assert repr(lists) == "Lists(3 lists, 3 ids)"


@pytest.mark.parametrize("lengths", [[], [0], [2, 0, 1], np.array([0, 0, 3], np.int32)])
def test_offsets_follow_from_lengths(lengths):
    offsets = offsets_of(lengths)
    assert offsets.dtype == np.int64
    assert offsets[0] == 0
    assert np.diff(offsets).tolist() == list(lengths)


@pytest.mark.parametrize("rows", [[], [1], [2, 0, 2, 1], [0, 1, 2]])
def test_lists_of_some_rows(rows):
    lists = Lists.of([[3, 5], [], [7]])
    found = taken(lists, np.array(rows, np.int64))
    assert [found.row(i).tolist() for i in range(len(found))] == [lists.row(row).tolist() for row in rows]


@pytest.mark.parametrize(
    ("offsets", "values"),
    [([0, 3], [1, 2]), ([1, 2], [1, 2]), ([0, 2, 1, 2], [1, 2]), ([], []), ([0, 1], [1.5]), ([[0, 1]], [1])],
)
def test_offsets_that_do_not_describe_lists(offsets, values):
    with pytest.raises(SearchError):
        Lists(np.array(offsets, dtype=np.int64), np.array(values))


def test_hits_read_row_by_row():
    hits = (
        BruteForce().build(np.array([[1.0], [3.0], [2.0]], np.float32)).search(np.array([[1.0], [-1.0]], np.float32), 2)
    )
    assert [(ids.tolist(), scores.tolist()) for ids, scores in hits] == [([1, 2], [3.0, 2.0]), ([0, 2], [-1.0, -2.0])]
    assert repr(hits) == "Hits(2 queries, 4 hits)"


@pytest.mark.parametrize(("rows", "dim"), [(0, 8), (1, 8), (5, 1 << 18), (40_000, 8), (3, 0)])
def test_parts_of_a_matrix_are_its_rows_in_order_and_small(rows: int, dim: int) -> None:
    found = list(parts((rows, dim)))
    assert [row for part in found for row in range(part.start, part.stop)] == list(range(rows))
    assert all((part.stop - part.start) * dim <= 1 << 17 or part.stop - part.start == 1 for part in found)
