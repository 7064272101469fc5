"""Exact search in small blocks: every way through the tiles gives what sorting everything gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.index import BruteForce, Lists, exact


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(exact, "_ROWS", 3)
    monkeypatch.setattr(exact, "_COLUMNS", 64)
    monkeypatch.setattr(exact, "_SCORES", 1)
    monkeypatch.setattr(exact, "_PAIRS", 50)
    monkeypatch.setattr(exact, "_LEAST", 16)
    monkeypatch.setattr(exact, "_BUDGET", 40)


def plain(vectors, query, k, barred):
    scores = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    order = [i for i in np.argsort(-scores, kind="stable") if i not in barred]
    return order[:k], scores[order[:k]]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 400),
    m=st.integers(1, 12),
    k=st.sampled_from([1, 3, 20, 500]),
    denied=st.sampled_from([0.0, 0.01, 0.2, 0.9, 1.0]),
    allow=st.booleans(),
    excluded=st.sampled_from([0.0, 0.05, 0.8]),
    ties=st.booleans(),
)
def test_blocks_agree_with_sorting_everything(seed, n, m, k, denied, allow, excluded, ties):
    rng = np.random.default_rng(seed)
    if ties:  # small integers: exact in float32, so equal scores abound
        vectors, queries = (rng.integers(-1, 2, (rows, 4)).astype(np.float32) for rows in (n, m))
    else:
        vectors, queries = (rng.standard_normal((rows, 4)).astype(np.float32) for rows in (n, m))
    barred = np.flatnonzero(rng.random(n) < denied)
    seen = [np.flatnonzero(rng.random(n) < excluded) for _ in range(m)]
    rest = np.setdiff1d(np.arange(n), barred)
    hits = (
        BruteForce()
        .build(vectors)
        .search(queries, k, exclude=Lists.of(seen), **({"allow": rest} if allow else {"deny": barred}))
    )
    for i, (ids, scores) in enumerate(hits):
        order, values = plain(vectors, queries[i], k, {*barred.tolist(), *seen[i].tolist()})
        assert ids.tolist() == order
        assert np.array_equal(scores, values)


def test_the_comparison_can_fail():
    vectors = np.array([[1.0], [2.0]], np.float32)
    assert plain(vectors, vectors[0], 2, set())[0] != plain(-vectors, vectors[0], 2, set())[0]


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
