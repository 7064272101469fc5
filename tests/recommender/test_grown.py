"""What a growing catalogue is kept in: older states stay as they were, whatever is added later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.recommender.grown import LEAST, Overlay, Room


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


STEP = st.one_of(
    st.tuples(st.just("more"), st.dictionaries(st.integers(0, 20), st.integers(0, 99), max_size=4)),
    st.tuples(st.just("gone"), st.sets(st.integers(0, 20), max_size=4)),
)


@given(st.dictionaries(st.integers(0, 15), st.integers(0, 99)), st.lists(STEP, max_size=8), st.booleans())
def test_an_overlay_is_a_map_of_its_own(below: dict[int, int], steps: list[tuple[str, object]], merging: bool) -> None:
    plain, found, at_first = dict(below), below, dict(below)
    for kind, what in steps:
        if kind == "more":
            plain = {**plain, **what}  # type: ignore[dict-item]
            found = Overlay.of(found, what, set())  # type: ignore[arg-type, assignment]
        else:
            plain = {one: row for one, row in plain.items() if one not in what}  # type: ignore[operator]
            found = Overlay.of(found, {}, set(what))  # type: ignore[call-overload, assignment]
        if merging:
            found = dict(found)
        assert dict(found) == plain
        assert len(found) == len(plain)
        for one in range(-1, 22):
            assert found.get(one, -1) == plain.get(one, -1)
            assert (one in found) == (one in plain)
    assert below == at_first


def test_an_overlay_becomes_a_plain_map_when_it_has_grown() -> None:
    found = Overlay.of({number: number for number in range(100)}, {}, set())
    for number in range(100, 170):
        found = Overlay.of(found, {number: number}, {number - 100})
    assert len(found) == 100
    assert sorted(found) == list(range(70, 170))
