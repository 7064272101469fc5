"""The k-th largest of many arrays, against sorting all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.shards import quantile
from shortlist.data.shards.quantile import time_of_rank

WHOLE = st.lists(st.integers(-(2**40), 2**40) | st.sampled_from([0, 1]), min_size=1, max_size=40)
REAL = st.lists(st.floats(-1e9, 1e9, width=32) | st.sampled_from([0.0, 0.5]), min_size=1, max_size=40)


@pytest.fixture(autouse=True)
def _passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few ranges and so little memory that a handful of numbers takes several passes."""
    monkeypatch.setattr(quantile, "BINS", 4)
    monkeypatch.setattr(quantile, "AT_ONCE", 2)


@given(st.data(), WHOLE | REAL)
def test_as_sorting_everything(data: st.DataObject, values: list[float]) -> None:
    rank = data.draw(st.integers(1, len(values)))
    cut = data.draw(st.integers(0, len(values)))
    array = np.array(values)
    found = time_of_rank(lambda: [array[:cut], array[cut:]], rank)
    assert found == sorted(values, reverse=True)[rank - 1]


def test_by_hand() -> None:
    arrays = [np.array([5, 1, 9]), np.array([], np.int64), np.array([7, 7])]
    assert [time_of_rank(lambda: arrays, rank) for rank in range(1, 6)] == [9, 7, 7, 5, 1]


def test_one_value_however_often() -> None:
    assert time_of_rank(lambda: [np.full(1000, 3)], 500) == 3


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_a_rank_among_numbers_on_disk_is_exact(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    from shortlist.data.shards import quantile

    monkeypatch.setattr(quantile, "AT_ONCE", 7)
    monkeypatch.setattr(quantile, "BINS", 5)
    rng = np.random.default_rng(3)
    for spread in (1, 4, 10**12):
        values = rng.integers(-spread, spread + 1, 300).astype(kind)
        for rank in (1, 2, 150, 299, 300):
            found = time_of_rank(lambda values=values: np.split(values, [100, 210]), rank)
            assert found == np.sort(values)[300 - rank]
