"""Exact search in small blocks: every way through the tiles gives what sorting everything gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.index import BruteForce, Lists, exact, rough, sieve, top


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(exact, "_PAIRS", 50)
    monkeypatch.setattr(top, "_ROWS", 7)
    monkeypatch.setattr(top, "_SMALL", 100)
    monkeypatch.setattr(top, "_VECTOR", 16 * 4)
    monkeypatch.setattr(sieve, "_WIDE", 3)
    monkeypatch.setattr(sieve, "_TILE", 200)
    monkeypatch.setattr(sieve, "_LINE", 64)
    monkeypatch.setattr(sieve, "_PRODUCT", 16 * 3 * 4)
    monkeypatch.setattr(sieve, "_VECTOR", 16 * 4)
    monkeypatch.setattr(sieve, "_GROUPS", 4)
    monkeypatch.setattr(sieve, "_SAMPLE", 32)
    monkeypatch.setattr(sieve, "_BUDGET", 40)
    monkeypatch.setattr(sieve, "_THREADED", 1)
    monkeypatch.setattr(sieve, "threads_here", lambda: 3)


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
    storage=st.sampled_from(["float32", "bfloat16", "int8"]),
)
def test_blocks_agree_with_sorting_everything(seed, n, m, k, denied, allow, excluded, ties, storage):
    rng = np.random.default_rng(seed)
    if ties:  # small integers: exact in float32, so equal scores abound
        vectors, queries = (rng.integers(-1, 2, (rows, 4)).astype(np.float32) for rows in (n, m))
    else:
        vectors, queries = (rng.standard_normal((rows, 4)).astype(np.float32) for rows in (n, m))
    barred = np.flatnonzero(rng.random(n) < denied)
    seen = [np.flatnonzero(rng.random(n) < excluded) for _ in range(m)]
    rest = np.setdiff1d(np.arange(n), barred)
    hits = (
        BruteForce(storage)
        .build(vectors)
        .search(queries, k, exclude=Lists.of(seen), **({"allow": rest} if allow else {"deny": barred}))
    )
    for i, (ids, scores) in enumerate(hits):
        order, values = plain(vectors, queries[i], k, {*barred.tolist(), *seen[i].tolist()})
        assert ids.tolist() == order
        assert np.array_equal(scores, values)


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("copies", [1, 50])
def test_many_near_ties_stay_exact_and_few_are_held(storage, copies, monkeypatch):
    """Vectors nearer to each other than a code can tell: intervals do not decide, true scores do."""
    rng = np.random.default_rng(7)
    settled = []
    real = sieve.Sieve._settled
    monkeypatch.setattr(sieve.Sieve, "_settled", lambda self, kept: settled.append(1) or real(self, kept))
    vectors = (rng.standard_normal(4) + 1e-4 * rng.standard_normal((3000 // copies, 4))).astype(np.float32)
    vectors = np.repeat(vectors, copies, axis=0)
    queries = rng.standard_normal((2, 4)).astype(np.float32)
    hits = BruteForce(storage).build(vectors).search(queries, 3)
    for query, (ids, scores) in zip(queries, hits, strict=True):
        order, values = plain(vectors, query, 3, set())
        assert ids.tolist() == order
        assert np.array_equal(scores, values)
    assert bool(settled) == (storage != "float32" or copies > 1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-20, 1e-3, 1.0, 1e6]), zeros=st.booleans())
@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
def test_a_copy_is_as_near_as_it_says(storage, seed, scale, zeros):
    rng = np.random.default_rng(seed)
    vectors = (scale * rng.standard_normal((600, 5)) * np.exp(3 * rng.standard_normal((600, 1)))).astype(np.float32)
    if zeros:
        vectors[rng.integers(0, 600, 50)] = 0
    copy = rough.packed(vectors, storage)
    assert copy.arrays()["codes"].nbytes == vectors.nbytes // {"bfloat16": 2, "int8": 4}[storage]
    for low, high in ((0, 600), (0, 256), (256, 512), (300, 301), (599, 600)):
        read = copy.block(low, high, np.empty((high - low, 5), np.float32))
        assert np.array_equal(read, copy.take(np.arange(low, high)))
        misses = np.linalg.norm(vectors[low:high].astype(np.float64) - read, axis=1)
        assert misses.max() <= copy.error(low, high)
        lengths = np.linalg.norm(vectors[low:high].astype(np.float64), axis=1)
        assert (misses <= {"bfloat16": 2**-8, "int8": 5**0.5 / 254 + 1e-6}[storage] * lengths + 1e-30).all()


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
