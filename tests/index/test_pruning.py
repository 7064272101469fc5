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
