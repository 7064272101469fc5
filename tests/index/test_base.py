"""What all indexes share: candidates built from and added since are one list, in one order; by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shortlist.errors import SearchError
from shortlist.index import BruteForce
from shortlist.index.base import LiveIndex

ONE = np.array([[1.0]], np.float32)


def column(*numbers: float) -> np.ndarray:
    """Vectors of one number, which is their score with ``ONE``."""
    return np.array(numbers, np.float32).reshape(-1, 1)


def built() -> LiveIndex:
    return BruteForce().build(column(1, 5, 3), np.array([10, 50, 30]))


def ids_of(index: LiveIndex, k: int = 99, **filters: object) -> list[int]:
    (found,) = index.search(ONE, k, **filters)
    return found[0].tolist()


def test_what_was_added_is_ranked_with_what_was_built_from() -> None:
    index = built()
    index.upsert(np.array([40, 60]), column(4, 6))
    assert ids_of(index) == [60, 50, 40, 30, 10]
    assert ids_of(index, k=2) == [60, 50]
    assert ids_of(index, deny=[60, 50]) == [40, 30, 10]
    assert (index.size, index.ids.tolist()) == (5, [10, 50, 30, 40, 60])
    assert index.vectors[:, 0].tolist() == [1.0, 5.0, 3.0, 4.0, 6.0]


def test_a_replaced_candidate_has_its_new_vector_alone_and_comes_last() -> None:
    index = built()
    index.upsert(np.array([50]), column(2))
    assert ids_of(index) == [30, 50, 10]
    assert index.ids.tolist() == [10, 30, 50]
    index.upsert(np.array([50]), column(9))
    assert ids_of(index) == [50, 30, 10]
    assert index.size == 3


def test_deletions_are_counted_and_absent_ids_ignored() -> None:
    index = built()
    index.upsert(np.array([40]), column(4))
    assert index.delete(np.array([40, 10, 777])) == 2
    assert index.delete(np.array([40])) == 0
    assert ids_of(index) == [50, 30]
    index.upsert(np.array([10]), column(7))
    assert ids_of(index) == [10, 50, 30]


def test_of_equal_scores_the_one_that_came_first_is_first() -> None:
    index = built()
    index.upsert(np.array([7, 6]), column(5, 5))
    assert ids_of(index) == [50, 7, 6, 30, 10]


def test_churn_is_a_share_of_what_was_built_from() -> None:
    index = built()
    assert index.churn == 0
    index.upsert(np.array([50, 40]), column(1, 1))  # one has died, two have come
    assert index.churn == pytest.approx(3 / 3)
    index.delete(np.array([10]))
    assert index.churn == pytest.approx(4 / 3)
    index.rebuild()
    assert index.churn == 0
    assert ids_of(index) == [30, 50, 40]


def test_an_index_without_candidates_finds_nothing_and_takes_new_ones() -> None:
    index = built()
    index.delete(np.array([10, 50, 30]))
    assert (index.size, ids_of(index)) == (0, [])
    index.rebuild()
    index.upsert(np.array([3]), column(1))
    assert ids_of(index) == [3]


def test_settings_alone_answer_nothing() -> None:
    settings = BruteForce()
    assert not settings.built
    for call in (lambda: settings.search(ONE, 1), lambda: settings.size, lambda: settings.delete(np.array([1]))):
        with pytest.raises(SearchError, match="this BruteForce has settings only"):
            call()
    assert repr(settings) == "BruteForce(storage='float32')"
    assert repr(built()) == "BruteForce(storage='float32') of 3 × 1"


def test_nothing_to_build_from_is_refused_and_nothing_to_add_is_nothing() -> None:
    with pytest.raises(SearchError, match="vectors has no rows"):
        BruteForce().build(np.zeros((0, 1), np.float32))
    index = built()
    index.upsert(np.zeros(0, np.int64), np.zeros((0, 1), np.float32))
    assert index.churn == 0


def test_a_change_that_is_refused_changes_nothing() -> None:
    index = built()
    for ids, vectors in (([1], np.zeros((1, 2), np.float32)), ([1, 1], column(1, 2)), ([1], column(float("nan")))):
        with pytest.raises(SearchError):
            index.upsert(np.array(ids), vectors)
    assert ids_of(index) == [50, 30, 10]
