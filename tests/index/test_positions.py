"""From an index's int64 ids to the positions of its vectors."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from shortlist.index.positions import Positions


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
def test_positions_find_what_is_there_and_nothing_else(ids):
    positions = Positions(np.array(ids, dtype=np.int64))
    asked = [*ids, 1, 8, -1, 10**18, -(2**63), 2**63 - 1]
    expected = [ids.index(i) if i in ids else -1 for i in asked]
    assert positions.find(np.array(asked, dtype=np.int64)).tolist() == expected


def test_what_is_remembered_of_ids_is_theirs_alone():
    positions = Positions(np.arange(100, 200))
    ids = np.array([150, 7, 120, 150])
    assert positions.members(ids).tolist() == [20, 50]
    ids[0] = 199  # may be written to: looked at anew
    assert positions.members(ids).tolist() == [20, 50, 99]
    view = ids[:2]
    view.setflags(write=False)
    assert positions.members(view).tolist() == [99]
    ids[0] = 100  # what it looks at can change
    assert positions.members(view).tolist() == [0]
    frozen = ids.copy()
    frozen.setflags(write=False)
    first = positions.members(frozen)
    assert first.tolist() == [0, 20, 50]
    assert positions.members(frozen) is first
    assert np.flatnonzero(positions.mask(first)).tolist() == [0, 20, 50]
    assert positions.mask(first) is positions.mask(first)
    assert len(positions._members._held) == len(positions._masks._held) == 1
    del frozen, first
    gc.collect()
    assert len(positions._members._held) == len(positions._masks._held) == 0
