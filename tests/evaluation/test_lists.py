"""Metrics of the lists themselves, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shortlist.evaluation.lists import LIST_METRICS, Lists, described, ranked_in_lists
from shortlist.evaluation.testset import TestSet


def lists(rows, counts=(1, 1, 1, 1), vectors=None, eligible=None) -> Lists:
    rows = np.array(rows, np.int64)
    counts = np.array(counts, np.int64)
    vectors = np.eye(len(counts), dtype=np.float32) if vectors is None else np.array(vectors, np.float32)
    return Lists(rows, np.full(len(rows), len(counts)) if eligible is None else np.array(eligible), counts, vectors)


BY_HAND = [
    ("coverage", lists([[0, 1], [0, 2]]), 2, 3 / 4),
    ("coverage", lists([[0, 1], [0, 2]]), 1, 1 / 4),
    ("gini", lists([[3], [3], [3], [3]]), 1, 0.75),
    ("gini", lists([[0], [1], [2], [3]]), 1, 0.0),
    ("popularity", lists([[0, 1]], counts=[10, 2, 4, 4]), 2, 6.0),
    ("novelty", lists([[0, 1]], counts=[4, 1, 3, 0]), 2, (1 + 3) / 2),
    ("novelty", lists([[3]], counts=[4, 1, 3, 0]), 1, 4.0),
    ("diversity", lists([[0, 1]]), 2, 1.0),
    ("diversity", lists([[0, 1]], vectors=[[1, 0], [2, 0], [0, 1], [0, 1]]), 2, 0.0),
    ("diversity", lists([[0, 1, 2]], vectors=[[1, 0], [2, 0], [0, 1], [0, 1]]), 3, 1 - 1 / 3),
    ("short", lists([[0, 1], [0, -1], [-1, -1], [2, -1]], eligible=[4, 4, 0, 1]), 2, 1 / 4),
    ("empty", lists([[0, 1], [-1, -1]]), 2, 1 / 2),
    ("repeated", lists([[0, 0], [0, 1], [-1, -1]]), 2, 1 / 3),
]


@pytest.mark.parametrize(("name", "given", "k", "expected"), BY_HAND)
def test_worked_by_hand(name, given, k, expected):
    assert described(given, [name], [k]) == {f"{name}_{k}": pytest.approx(expected)}


def test_no_lists_at_all():
    nothing = lists([[-1, -1]])
    for name in ("gini", "popularity", "novelty", "diversity"):
        assert math.isnan(LIST_METRICS[name](nothing, 2)), name


def test_a_pair_is_ranked_by_its_place_in_the_list():
    query, candidate = np.array([0, 0, 1, 1]), np.array([5, 7, 7, -1])
    test = TestSet.of_rows(query, candidate, queries=2, candidates=9)
    rows = np.array([[7, 5, 3], [2, -1, -1]])
    assert ranked_in_lists(test, rows).rank.tolist() == [2, 1, math.inf, math.inf]
