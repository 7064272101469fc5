"""What a growing catalogue is kept in: older states stay as they were, whatever is added later."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.recommender.grown import LEAST, PATCHES, PIECES, Patched, Room, spliced


def rows(*values: float) -> np.ndarray:
    return np.array([[value, value] for value in values], np.float32)


def test_states_of_one_line_share_their_rows() -> None:
    room = Room(rows(1, 2), np.array([5, 6]), ["a", "b"])
    before = room.vectors(2)
    assert room.added(2, rows(3), ["c"])
    assert room.vectors(3).tolist() == [[1, 1], [2, 2], [3, 3]]
    assert room.counts(3).tolist() == [5, 6, 0]
    assert room.ids == ["a", "b", "c"]
    assert np.shares_memory(before, room.vectors(3))
    with pytest.raises(ValueError, match="read-only"):
        room.vectors(3)[0, 0] = 9


def test_a_second_line_gets_no_place_behind_the_same_rows() -> None:
    room = Room(rows(1), np.array([1]), ["a"])
    assert room.added(1, rows(2), ["b"])
    assert not room.added(1, rows(3), ["c"])
    assert room.vectors(2).tolist() == [[1, 1], [2, 2]]


def test_room_is_bounded() -> None:
    room = Room(rows(1), np.array([1]), None)
    many = np.zeros((LEAST + 1, 2), np.float32)
    assert not room.added(1, many, list(range(LEAST + 1)))
    assert room.added(1, many[:LEAST], list(range(LEAST)))


@given(st.lists(st.dictionaries(st.integers(0, 9), st.integers(0, 99), min_size=1, max_size=4), max_size=5))
def test_a_patched_array_reads_as_the_changed_one(changes: list[dict[int, int]]) -> None:
    first = rows(*range(100, 110))
    plain, found = first.copy(), first
    for change in changes:
        at, values = np.array(list(change), np.int64), rows(*change.values())
        before, held = found, np.array(found)
        found = Patched.of(found, at, values)
        plain[at] = values
        assert np.array_equal(before[:], held)  # what was read before is read on
        for key in (slice(None), slice(2, 7), np.array([9, 0, 3, 3]), np.zeros(0, np.int64), plain[:, 0] > 50, 4):
            assert np.array_equal(found[key], plain[key])
        assert np.asarray(found).dtype == np.float32
        assert (found.shape, len(found)) == ((10, 2), 10)
    assert first.tolist() == rows(*range(100, 110)).tolist()


def test_many_patches_are_made_one_array() -> None:
    first = np.zeros((PATCHES + 2, 2), np.float32)
    found = Patched.of(first, np.arange(PATCHES), np.ones((PATCHES, 2), np.float32))
    assert isinstance(found, Patched)
    found = Patched.of(found, np.array([PATCHES]), np.ones((1, 2), np.float32))
    assert isinstance(found, np.ndarray)
    assert found[:, 0].sum() == PATCHES + 1
    assert first.sum() == 0


@given(st.lists(st.sets(st.integers(0, 6), min_size=1), max_size=2 * PIECES))
def test_a_spliced_table_has_the_new_rows_in_their_places(changes: list[set[int]]) -> None:
    table = pl.DataFrame({"id": list(range(7)), "text": list("abcdefg")})
    expected = table.rows()
    for number, change in enumerate(changes):
        at = list(change)[::-1]
        new = pl.DataFrame({"id": [100 * number + row for row in at], "text": [f"n{row}" for row in at]})
        table = spliced(table, np.array(at, np.int64), new)
        for row, value in zip(at, new.rows(), strict=True):
            expected[row] = value
        assert table.rows() == expected
        assert table.n_chunks() <= PIECES + 1
