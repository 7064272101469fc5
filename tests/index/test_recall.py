"""Recall per query and what a sample of it promises, against values worked by hand."""

import math

import numpy as np
import pytest

from shortlist.index import BruteForce
from shortlist.index.recall import query_recalls, recall_of, true_scores


class Wrong:
    """An index that answers with given rows of the catalogue."""

    def __init__(self, vectors: np.ndarray, answers: list[list[int]]) -> None:
        self.vectors, self.answers = vectors, answers

    def search(self, queries, k):
        from shortlist.index import Hits

        scores = np.concatenate(
            [np.sort(self.vectors[row] @ query)[::-1] for row, query in zip(self.answers, queries, strict=True)]
        )
        return Hits(np.arange(0, scores.size + 1, k), np.concatenate(self.answers), scores.astype(np.float32))


def test_recall_counts_what_is_found_and_equal_scores_as_found() -> None:
    vectors = np.array(
        [[5, 0], [4, 0], [3, 1], [3, 2], [1, 9]], np.float32
    )  # by the first coordinate 2 and 3 are equal
    queries = np.array([[1, 0], [0, 1]], np.float32)
    exact = BruteForce().build(vectors)
    kth = true_scores(exact.search(queries, 3), 3)
    assert kth.tolist() == [3.0, 1.0]
    assert query_recalls(exact, queries, kth, 3).tolist() == [1.0, 1.0]
    # The first finds 0, 1 and, in place of 2, its equal 3; the second finds 4 alone of 4, 3, 2.
    wrong = Wrong(vectors, [[0, 1, 3], [4, 0, 1]])
    assert query_recalls(wrong, queries, kth, 3).tolist() == [1.0, pytest.approx(1 / 3)]


def test_mean_tails_and_lower_bound() -> None:
    recalls = np.array([0.5, 0.7] + [1.0] * 98)
    found = recall_of(recalls, 10)
    assert found.mean == pytest.approx(0.992)
    assert found.worst_1 == 0.5
    assert found.worst_5 == pytest.approx((0.5 + 0.7 + 3) / 5)
    assert found.least == 0.5
    variance = (0.492**2 + 0.292**2 + 98 * 0.008**2) / 99
    assert found.lower == pytest.approx(0.992 - 2 * math.sqrt(variance / 100))


def test_a_few_perfect_queries_prove_little() -> None:
    few, many = recall_of(np.ones(4), 1), recall_of(np.ones(10_000), 1)
    assert few.lower == pytest.approx(1 - 2 * math.sqrt(0.25 / 4 / 4))
    assert many.lower == pytest.approx(0.9999)
    same = recall_of(np.full(100, 0.9), 10)  # each query alike: still as uncertain as 1,000 independent draws
    assert same.lower == pytest.approx(0.9 - 2 * math.sqrt(0.9 * 0.1 / 1000))
