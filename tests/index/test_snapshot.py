"""What a search sees after changes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.index.built import built, column, ids_of


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
