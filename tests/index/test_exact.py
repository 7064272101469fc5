"""Scores: one pair has one score, whatever is searched with it and wherever it stands."""

from __future__ import annotations

import numpy as np
import pytest

from shortlist.index import BruteForce

pytestmark = pytest.mark.usefixtures("small_blocks")


def test_a_score_does_not_depend_on_what_is_searched_with_it():
    rng = np.random.default_rng(0)
    vectors, queries = rng.standard_normal((500, 33), np.float32), rng.standard_normal((7, 33), np.float32)
    whole = BruteForce().build(vectors).search(queries, 500)
    for i, query in enumerate(queries):
        known = dict(zip(*(part.tolist() for part in whole.row(i)), strict=True))
        for low in range(0, 500, 77):
            part = BruteForce().build(vectors[low : low + 77], np.arange(low, min(low + 77, 500)))
            for found, score in zip(*part.search(query[None, :], 10).row(0), strict=True):
                assert known[found] == score


def test_equal_vectors_score_equally_wherever_they_stand():
    rng = np.random.default_rng(1)
    vectors = np.repeat(rng.standard_normal((1, 37), np.float32), 333, axis=0)
    ids, scores = BruteForce().build(vectors).search(rng.standard_normal((1, 37), np.float32), 50).row(0)
    assert np.unique(scores).size == 1
    assert ids.tolist() == list(range(50))
