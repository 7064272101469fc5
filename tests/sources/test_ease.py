"""EASE: both ways to invert give the formula's weights, and the sparse table keeps the heaviest of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from tests.sources.plain import CANDIDATES, dataset, logs, most, ordered, weights_of

import shortlist as sl
from shortlist.errors import ConfigError, DataError
from shortlist.sources import ease_columns
from shortlist.sources.ease import side_of


def plain(rows, strength: float) -> np.ndarray:
    """B of Steck 2019 by the inverse of the Gram matrix of candidates, whatever their number."""
    matrix = np.zeros((4, CANDIDATES))
    for query, items in ordered(rows, timestamp=False).items():
        matrix[query, items] = 1
    inverse = np.linalg.inv(matrix.T @ matrix + strength * np.eye(CANDIDATES))
    found = np.eye(CANDIDATES) - inverse / np.diag(inverse)
    return found * (1 - np.eye(CANDIDATES))


@given(logs)
def test_by_the_smaller_side_it_is_the_formula(rows) -> None:
    # 4 queries and 6 candidates: by queries; of its first 3 candidates: by candidates
    data = dataset(rows, timestamp=False)
    np.testing.assert_allclose(ease_columns(data, 2.0)(0, CANDIDATES), plain(rows, 2.0), atol=1e-5)
    few = ease_columns(data, 2.0, np.arange(3))(0, 3)
    matrix = np.zeros((4, 3))
    for query, items in ordered(rows, timestamp=False).items():
        matrix[query, [one for one in items if one < 3]] = 1
    inverse = np.linalg.inv(matrix.T @ matrix + 2 * np.eye(3))
    np.testing.assert_allclose(few, (np.eye(3) - inverse / np.diag(inverse)) * (1 - np.eye(3)), atol=1e-5)


def test_by_hand() -> None:
    # one query that chose 0 and 1, strength 1: XᵀX + I = [[2 1] [1 2]], its inverse [[2 −1] [−1 2]] / 3, so B[0, 1] = 1/2
    rows = [(0, 0, 0, 1.0), (0, 1, 1, 1.0)]
    assert weights_of(sl.EASE(strength=1.0).fit(dataset(rows))) == pytest.approx({(0, 1): 1 / 2, (1, 0): 1 / 2})
    # strength 2: [[3 1] [1 3]], inverse [[3 −1] [−1 3]] / 8: 1/3; another strength is another table
    assert weights_of(sl.EASE(strength=2.0).fit(dataset(rows))) == pytest.approx({(0, 1): 1 / 3, (1, 0): 1 / 3})


def test_tiles_are_the_rows_of_the_whole() -> None:
    rows = [(one % 4, one * one % 6, one, 1.0) for one in range(40)]
    for taken in (None, np.arange(3)):
        weights = ease_columns(dataset(rows), 3.0, taken)
        size = CANDIDATES if taken is None else 3
        whole = weights(0, size)
        tiles = [weights(low, min(low + 2, size)) for low in range(0, size, 2)]
        np.testing.assert_allclose(np.concatenate(tiles), whole, atol=1e-6)


@given(logs)
def test_the_heaviest_of_those_that_take_part(rows) -> None:
    data = dataset(rows)
    assert data.weights is not None
    often = np.bincount(data.candidate_rows[data.weights > 0], minlength=CANDIDATES)
    taken = sorted(sorted(range(CANDIDATES), key=lambda one: (-often[one], one))[: min(3, int((often > 0).sum()))])
    tile = ease_columns(data, 2.0, np.array(taken))(0, len(taken)).numpy()
    dense = {(taken[i], taken[j]): float(tile[i, j]) for i in range(len(taken)) for j in range(len(taken))}
    found = weights_of(sl.EASE(strength=2.0, candidates=3, neighbours=1).fit(data))
    expected = most(dense, 1)
    assert {row for row, _ in found} == {row for row, _ in expected}
    assert sorted(found.values()) == pytest.approx(sorted(expected.values()))  # which of two alike is kept is not said


def test_a_catalogue_of_one() -> None:
    one = sl.Dataset({"q": [1, 2], "c": ["a", "a"]}, "q", "c")
    assert len(sl.EASE().fit(one).columns) == 0


def test_by_default_the_strength_grows_with_the_choices_per_candidate() -> None:
    # 8 choices of 2 candidates: 22 · √4 = 44
    rows = [(query, item, 0, 1.0) for query in range(4) for item in range(2)]
    data = dataset(rows)
    np.testing.assert_allclose(ease_columns(data)(0, CANDIDATES), ease_columns(data, 44.0)(0, CANDIDATES))


def test_what_is_too_large_is_refused() -> None:
    assert side_of(30_000, 10**9) == 30_000
    with pytest.raises(ConfigError, match="both more than 30,000"):
        side_of(30_001, 40_000)


@pytest.mark.parametrize(
    "options", [{"strength": 0}, {"strength": -1.0}, {"candidates": 0}, {"neighbours": 0}, {"age": 2}]
)
def test_settings_that_cannot_be(options) -> None:
    with pytest.raises(ConfigError, match=f"EASE got {next(iter(options))}="):
        sl.EASE(**options)


def test_it_hands_on_how_a_history_asks() -> None:
    table = sl.EASE(age=0.5, length=3).fit(dataset([(0, 0, 0, 1.0), (0, 1, 1, 1.0)]))
    assert (table.age, table.length, table.kind) == (0.5, 3, "ease")


def test_it_wants_a_dataset() -> None:
    with pytest.raises(DataError, match="a Dataset or Shards was expected"):
        sl.EASE().fit(None)  # type: ignore[arg-type]
