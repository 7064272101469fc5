"""Exact search in every storage: the same answers, in less memory, through a folder too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shortlist.errors import ConfigError
from shortlist.index import BruteForce, load_index

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
