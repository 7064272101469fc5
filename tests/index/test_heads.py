"""Queries of several vectors: merged lists are the k best by the best head, without repeats, filters included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import SearchError
from shortlist.index import BruteForce, Lists
from shortlist.index.heads import score_heads, search_heads


@given(
    seed=st.integers(0, 2**32),
    heads=st.integers(1, 4),
    k=st.integers(1, 12),
    exclude=st.booleans(),
    allow=st.sampled_from([None, "lists", "array"]),
    deny=st.booleans(),
)
def test_equals_every_candidate_scored_by_its_best_head(seed, heads, k, exclude, allow, deny) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(10, 3)).astype(np.float32)
    queries = generator.normal(size=(4, heads * 3)).astype(np.float32)
    scores = (queries.reshape(4, heads, 3).astype(np.float64) @ vectors.T.astype(np.float64)).max(1)
    filters = {}
    if exclude:
        lists = [generator.choice(10, 3, replace=False) for _ in range(4)]
        filters["exclude"] = Lists.of(lists)
        for row, hidden in enumerate(lists):
            scores[row, hidden] = -np.inf
    if allow == "lists":
        lists = [generator.choice(10, 6, replace=False) for _ in range(4)]
        filters["allow"] = Lists.of(lists)
        for row, allowed in enumerate(lists):
            scores[row, np.setdiff1d(np.arange(10), allowed)] = -np.inf
    elif allow == "array":
        filters["allow"] = np.arange(8)
        scores[:, 8:] = -np.inf
    if deny:
        filters["deny"] = np.array([2, 5])
        scores[:, [2, 5]] = -np.inf
    hits = search_heads(BruteForce().build(vectors), queries, k, **filters)
    for row in range(4):
        order = np.argsort(-scores[row], kind="stable")
        wanted = order[np.isfinite(scores[row, order])][:k]
        ids, found = hits.row(row)
        assert ids.tolist() == wanted.tolist()
        np.testing.assert_allclose(found, scores[row, wanted], rtol=1e-6)


def test_by_hand() -> None:
    """Head (1, 0) finds a 3, b 1; head (0, 1) finds b 2, c 2, a 0. Merged: a 3, b 2, c 2, and b once."""
    index = BruteForce().build(np.array([[3, 0], [1, 2], [0, 2]], dtype=np.float32))
    ids, scores = search_heads(index, np.array([[1, 0, 0, 1]], dtype=np.float32), 3).row(0)
    assert (ids.tolist(), scores.tolist()) == ([0, 1, 2], [3, 2, 2])


def test_a_width_that_is_no_multiple_is_refused_as_ever() -> None:
    index = BruteForce().build(np.eye(2, dtype=np.float32))
    with pytest.raises(SearchError):
        search_heads(index, np.ones((1, 3), dtype=np.float32), 1)


def test_no_queries_have_no_scores() -> None:
    assert score_heads(np.zeros((0, 4), np.float32), np.ones((3, 2), np.float32)).shape == (0, 3)
