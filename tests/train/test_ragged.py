"""Lists of different lengths in one tensor: taken, drawn from and looked into, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shortlist.train.ragged import Ragged

OWNER = np.array([2, 0, 2, 0, 2])
VALUES = np.array([7, 4, 1, 9, 3])
LISTS = Ragged.of(OWNER, VALUES, 4)  # [4, 9], [], [7, 1, 3], []


def test_lists_keep_the_order_given() -> None:
    assert LISTS.offsets.tolist() == [0, 2, 2, 5, 5]
    assert LISTS.values.tolist() == [4, 9, 7, 1, 3]


def test_ascending_lists() -> None:
    assert Ragged.ascending(OWNER, VALUES, 4, bound=10).values.tolist() == [4, 9, 1, 3, 7]


def test_rows_are_taken_with_their_places() -> None:
    place, values = LISTS.at(torch.tensor([2, 1, 0, 2]))
    assert place.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert values.tolist() == [7, 1, 3, 4, 9, 7, 1, 3]


def test_no_rows_and_empty_lists_have_nothing() -> None:
    for rows in (torch.tensor([], dtype=torch.int64), torch.tensor([1, 3])):
        assert [part.tolist() for part in LISTS.at(rows)] == [[], []]
        assert [part.tolist() for part in LISTS.some(rows, 2, (0, 0))] == [[], []]


def test_a_run_of_a_list_wraps_around_and_repeats_no_place() -> None:
    """Of [7, 1, 3] two in a row, from wherever they begin."""
    runs = {(7, 1), (1, 3), (3, 7)}
    found = set()
    for step in range(40):
        place, values = LISTS.some(torch.tensor([2, 0]), 2, (1, step))
        assert place.tolist() == [0, 0, 1, 1]
        found.add(tuple(values.tolist()[:2]))
        assert sorted(values.tolist()[2:]) == [4, 9]
    assert found == runs


def test_draws_are_a_function_of_the_key() -> None:
    rows = torch.arange(4).repeat(50)
    first, again, other = (LISTS.some(rows, 1, key)[1].tolist() for key in ((3, 5), (3, 5), (3, 6)))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("row", "value", "held"),
    [
        (0, 4, True),
        (0, 9, True),
        (0, 3, False),
        (1, 4, False),
        (2, 1, True),
        (2, 7, True),
        (2, 8, False),
        (3, 9, False),
    ],
)
def test_what_a_list_holds(row: int, value: int, held: bool) -> None:
    lists = Ragged.ascending(OWNER, VALUES, 4, bound=10)
    assert lists.holds(torch.tensor([row]), torch.tensor([value])).tolist() == [held]


def test_lists_without_any_value_hold_nothing() -> None:
    none = Ragged.of(np.zeros(0, np.int64), np.zeros(0, np.int64), 2)
    assert none.holds(torch.tensor([0, 1]), torch.tensor([0, 5])).tolist() == [False, False]


@pytest.mark.parametrize("compiled", ["0", "1"])
def test_values_with_a_column_are_those_that_loops_find(compiled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_KERNEL", compiled)
    lists = Ragged.of(np.array([0, 0, 2, 2, 2]), np.array([3, 1, 0, 3, 2]), 3)
    place, column = lists.meeting(torch.tensor([2, 1, 0, 2]), torch.tensor([-1, 7, 5, 6]))
    assert place.tolist() == [0, 0, 2, 2, 3, 3]
    assert column.tolist() == [6, 5, 6, 7, 6, 5]
    assert place.dtype == column.dtype == torch.int64
