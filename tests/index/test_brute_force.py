"""Exact search in every storage: the same answers, in less memory, through a folder too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shortlist.errors import ConfigError
from shortlist.index import BruteForce, load_index
from shortlist.index.scan_arrays import Storage

VECTORS = np.random.default_rng(2).standard_normal((700, 24)).astype(np.float32)
QUERIES = np.random.default_rng(3).standard_normal((5, 24)).astype(np.float32)


def lists(index) -> list[tuple[list[int], list[float]]]:
    return [(ids.tolist(), scores.tolist()) for ids, scores in index.search(QUERIES, 20)]


@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
def test_every_storage_gives_the_same_answers(storage: str, tmp_path: Path) -> None:
    plain, other = BruteForce().build(VECTORS), BruteForce(storage=storage).build(VECTORS)
    assert lists(other) == lists(plain)
    other.save(tmp_path)
    again = load_index(tmp_path)
    assert lists(again) == lists(plain)
    assert again.settings() == {"kind": "brute_force", "storage": storage}
    new = np.full((1, 24), 9, np.float32)
    for index in (plain, other, again):
        index.upsert(np.array([3]), new)
        index.delete(np.array([5]))
    assert lists(other) == lists(again) == lists(plain)


def test_it_is_exact_and_has_one_option() -> None:
    assert BruteForce().exact
    with pytest.raises(ConfigError, match="did you mean 'int8'"):
        BruteForce(storage="int9")


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("n", [600, 17_000])
@pytest.mark.parametrize(("query", "vector"), [(-90, 0), (0, -90), (-60, -60), (-75, 5), (-40, -30)])
def test_short_vectors_are_ranked_as_long_ones_are(
    query: int, vector: int, rows: int, n: int, storage: Storage
) -> None:
    """Squares of their numbers leave float32, and with them what is known of the rounding of their products."""
    rng = np.random.default_rng(3)
    near = rng.standard_normal((1, 64)) * (1 + 3e-7 * rng.standard_normal((n, 64)))  # scores that rounding confuses
    vectors, queries = near.astype(np.float32), rng.standard_normal((rows, 64)).astype(np.float32)
    scores = np.einsum("qd,nd->qn", queries.astype(np.float64), vectors.astype(np.float64)).astype(np.float32)
    index = BruteForce(storage=storage).build(np.ldexp(vectors, vector))
    for row, (ids, found) in enumerate(index.search(np.ldexp(queries, query), 20)):
        order = np.argsort(-scores[row], kind="stable")[:20]
        assert ids.tolist() == order.tolist()
        assert found.tolist() == np.ldexp(scores[row][order], query + vector).tolist()
