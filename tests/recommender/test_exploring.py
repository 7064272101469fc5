"""Candidates to explore leave when they no longer fit; their cells are read once, however many places are explored."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.recommender.exploring import Explored
from shortlist.recommender.pool_cells import PoolCells

TABLE = pl.DataFrame({"kind": ["x", "y", None, "x", "y"], "tags": [["a"], ["a", "b"], [], None, ["b", "b"]]})


def test_what_no_longer_fits_leaves() -> None:
    """Rows 4, 0, 1, 3 at places 0 to 3: the list takes row 0, then has enough of y, then of the tag a."""
    explored = Explored(TABLE, np.array([4, 0, 1, 3]), ["kind", "tags"])
    assert explored.fitting().tolist() == [0, 1, 2, 3]
    assert explored.values(2) == {"kind": ["y"], "tags": ["a", "b"]}
    explored.without(0)
    explored.without(2)  # which is none of them
    assert explored.fitting().tolist() == [0, 2, 3]
    explored.without_value("tags", "a")
    assert explored.fitting().tolist() == [0, 3]
    for _ in range(2):
        explored.without_value("kind", "y")
        assert explored.fitting().tolist() == [3]


@pytest.mark.parametrize("k", [4, 40])
def test_cells_are_read_once_however_many_places_are_explored(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All places are explored, among the 4 k best of 200: each is read once, where each place would have read all."""
    read: list[Any] = []
    values = PoolCells.values
    monkeypatch.setattr(PoolCells, "values", lambda self, *at: (read.append(at), values(self, *at))[1])
    ids = [f"i{number}" for number in range(200)]
    data = sl.Dataset(
        pl.DataFrame({"who": ["u"] * 200, "what": ids}),
        "who",
        "what",
        candidates={"what": ids, "kind": [number % 4 for number in range(200)]},
    )
    tower = lambda name: sl.Tower(sl.StringLookup(name), dim=2)  # noqa: E731
    torch.manual_seed(0)
    model = sl.TwoTower(tower("who"), tower("what"))
    model.prepare(data)
    recommender = sl.Recommender(model.eval(), index=sl.BruteForce(), seen=data)
    rules = sl.Rerank(explore=1.0, explore_rarer_than=9, at_most={"kind": k // 4})
    (found,) = recommender.recommend(["u"], k=k, exclude_seen=False, rerank=rules)
    kinds = [int(item.id[1:]) % 4 for item in found if item.source == "explored"]
    assert len(kinds) >= k - 3
    assert max(map(kinds.count, range(4))) <= k // 4 + k % 4
    assert len(read) <= 4 * k + 16
