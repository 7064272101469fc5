"""Lists, Hits and lookups."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from shortlist.errors import SearchError
from shortlist.index import BruteForce, Lists
from shortlist.index.lookup import Lookup


def test_lists_hold_one_row_per_query():
    lists = Lists.of([[3, 5], [], np.array([7])])
    assert len(lists) == 3
    assert [lists.row(i).tolist() for i in range(3)] == [[3, 5], [], [7]]
    assert len(Lists.of([])) == 0
    assert repr(lists) == "Lists(3 lists, 3 ids)"


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


@pytest.mark.parametrize(
    "ids",
    [
        [0, 1, 2, 3],
        [5, 6, 7],
        [9, 2, 4],
        [-3, 10**17, 0],
        [2**62, -(2**62)],
        [-(2**63), 2**63 - 1, 0],
        [42],
        [2**63 - 1, -(2**63)],
    ],
)
def test_lookup_finds_what_is_there_and_nothing_else(ids):
    lookup = Lookup(np.array(ids, dtype=np.int64))
    asked = [*ids, 1, 8, -1, 10**18, -(2**63), 2**63 - 1]
    expected = [ids.index(i) if i in ids else -1 for i in asked]
    assert lookup.positions(np.array(asked, dtype=np.int64)).tolist() == expected


def test_what_is_remembered_of_ids_is_theirs_alone():
    lookup = Lookup(np.arange(100, 200))
    ids = np.array([150, 7, 120, 150])
    assert lookup.members(ids).tolist() == [20, 50]
    ids[0] = 199  # may be written to: looked at anew
    assert lookup.members(ids).tolist() == [20, 50, 99]
    view = ids[:2]
    view.setflags(write=False)
    assert lookup.members(view).tolist() == [99]
    ids[0] = 100  # what it looks at can change
    assert lookup.members(view).tolist() == [0]
    frozen = ids.copy()
    frozen.setflags(write=False)
    first = lookup.members(frozen)
    assert first.tolist() == [0, 20, 50]
    assert lookup.members(frozen) is first
    assert np.flatnonzero(lookup.mask(first)).tolist() == [0, 20, 50]
    assert lookup.mask(first) is lookup.mask(first)
    assert len(lookup._members._held) == len(lookup._masks._held) == 1
    del frozen, first
    gc.collect()
    assert len(lookup._members._held) == len(lookup._masks._held) == 0
