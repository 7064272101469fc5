"""Distinct rows: the same by counting and by sorting."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.model.distinct import distinct


@pytest.mark.parametrize(("total", "counted"), [(10, True), (100, False)])  # few values are counted, many are sorted
def test_distinct_rows_their_places_and_how_often_each_occurs(total: int, counted: bool) -> None:
    found = distinct(torch.tensor([7, 2, 7, 9]), total)
    assert found.values.tolist() == [2, 7, 9]
    assert found.places.tolist() == [1, 0, 1, 2]
    assert (found.counts is not None) == counted
    assert found.counts is None or found.counts.tolist() == [1, 2, 1]


@pytest.mark.parametrize("total", [5, 1000])
def test_distinct_is_unique(total: int) -> None:
    rows = torch.tensor([3, 1, 3, 0, 1])
    values, place, counts = distinct(rows, total)
    assert values.tolist() == [0, 1, 3]
    assert place.tolist() == [2, 1, 2, 0, 1]
    assert counts is None if total > 4 * len(rows) else counts.tolist() == [1, 2, 2]


@given(st.lists(st.integers(0, 30), max_size=40), st.sampled_from([31, 10_000]))
def test_distinct_finds_what_torch_finds(rows: list[int], total: int) -> None:
    given_rows = torch.tensor(rows, dtype=torch.long)
    values, places, _ = distinct(given_rows, total)
    unique, inverse = torch.unique(given_rows, return_inverse=True)
    assert torch.equal(values, unique)
    assert torch.equal(places, inverse)
