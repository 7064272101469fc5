"""The pruning: near ties stay exact, and few are held."""

from __future__ import annotations

import numpy as np
import pytest
from tests.index.plain import plain

from shortlist.index import BruteForce, pruning

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("copies", [1, 50])
def test_many_near_ties_stay_exact_and_few_are_held(storage, copies, monkeypatch):
    """Vectors nearer to each other than a code can tell: intervals do not decide, true scores do."""
    rng = np.random.default_rng(7)
    settled = []
    real = pruning.Pruning._settled
    monkeypatch.setattr(pruning.Pruning, "_settled", lambda self, kept: settled.append(1) or real(self, kept))
    vectors = (rng.standard_normal(4) + 1e-4 * rng.standard_normal((3000 // copies, 4))).astype(np.float32)
    vectors = np.repeat(vectors, copies, axis=0)
    queries = rng.standard_normal((2, 4)).astype(np.float32)
    hits = BruteForce(storage).build(vectors).search(queries, 3)
    for query, (ids, scores) in zip(queries, hits, strict=True):
        order, values = plain(vectors, query, 3, set())
        assert ids.tolist() == order
        assert np.array_equal(scores, values)
    assert bool(settled) == (storage != "float32" or copies > 1)


@pytest.mark.parametrize("queries", [2, 3, 5])
def test_the_first_sample_raises_the_floor_however_few_the_queries(queries, monkeypatch):
    """The largest of 200 groups or more: a tenth of the candidates or less is above the 50th of these, where all would be kept."""
    monkeypatch.undo()  # blocks as large as they are
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((60_000, 32)).astype(np.float32)
    kept = []
    real = pruning.Pruning._kept

    def noted(self, *given):
        found = real(self, *given)
        kept.append(len(found.rows))
        return found

    monkeypatch.setattr(pruning.Pruning, "_kept", noted)
    BruteForce().build(vectors).search(rng.standard_normal((queries, 32)).astype(np.float32), 50)
    assert 50 * queries <= sum(kept) <= 6_000 * queries
