"""Exact top k in small blocks: every way through the tiles gives what sorting everything gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.plain import plain

from shortlist.index import BruteForce, Lists, top
from shortlist.index.pruning import Pruning

pytestmark = pytest.mark.usefixtures("small_blocks")


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


def test_the_comparison_can_fail():
    vectors = np.array([[1.0], [2.0]], np.float32)
    assert plain(vectors, vectors[0], 2, set())[0] != plain(-vectors, vectors[0], 2, set())[0]


@pytest.mark.parametrize(("n", "zeros", "pruned"), [(100, False, 0), (101, False, 1), (100, True, 1)])
def test_several_queries_score_few_candidates_once(n, zeros, pruned, monkeypatch):
    """A first pass over a sample would be a pass over all of them; only a query of zeros, whose best are all, needs it."""
    runs, products = [], []
    run, matmul = Pruning.run, np.matmul
    monkeypatch.setattr(Pruning, "run", lambda self: (runs.append(1), run(self))[1])
    monkeypatch.setattr(
        top.np, "matmul", lambda *given, **to: (products.append(to["out"].size), matmul(*given, **to))[1]
    )
    rng = np.random.default_rng(3)
    vectors, queries = (rng.standard_normal((rows, 4)).astype(np.float32) for rows in (n, 3))
    queries[1] *= not zeros
    hits = BruteForce().build(vectors).search(queries, 5)
    for query, (ids, scores) in zip(queries, hits, strict=True):
        order, values = plain(vectors, query, 5, set())
        assert ids.tolist() == order
        assert np.array_equal(scores, values)
    assert len(runs) == pruned
    if not pruned:
        assert sum(products) == 3 * 100
