"""A model small enough to work out by hand, and ways to alter it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import shortlist as sl

Vectors = Mapping[Any, Sequence[float]]


def set_vectors(tower: sl.Tower, vectors: Vectors, unknown: Sequence[float]) -> None:
    """Give each id of a tower that is one table its vector."""
    (table,) = tower.tables.values()
    (feature,) = tower.features.values()
    table.weight[0] = torch.tensor(unknown)
    for value, vector in vectors.items():
        (code,) = feature.encode(pl.Series([value])).values.tolist()
        assert code > 0, value
        table.weight[code] = torch.tensor(vector)


@pytest.fixture
def train() -> sl.Dataset:
    """ann chose a and b, bob b and c, cat b; dan is in the table alone, and nobody chose d.

    Training counts: a 1, b 3, c 1, d 0.
    """
    pairs = [("ann", "a"), ("ann", "b"), ("bob", "b"), ("bob", "c"), ("cat", "b")]
    return sl.Dataset(
        pl.DataFrame(pairs, schema=["who", "what"], orient="row"),
        "who",
        "what",
        queries={"who": ["ann", "bob", "cat", "dan"]},
        candidates={"what": ["a", "b", "c", "d"]},
    )


@pytest.fixture
def model(train: sl.Dataset) -> sl.TwoTower:
    """Scores of a, b, c, d: ann 4 3 1 ½, bob 0 1 4 2, cat 4 4 5 2½, the unknown query -4 -3 -1 -½."""
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(train)
    set_vectors(model.query, {"ann": (1, 0), "bob": (0, 1), "cat": (1, 1)}, unknown=(-1, 0))
    set_vectors(model.candidate, {"a": (4, 0), "b": (3, 1), "c": (1, 4)}, unknown=(0.5, 2))
    return model.eval()


@pytest.fixture
def recommender(model: sl.TwoTower, train: sl.Dataset) -> sl.Recommender:
    return sl.Recommender(model, index=sl.BruteForce(), seen=train)


@pytest.fixture
def bundle(recommender: sl.Recommender, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.shortlist"
    recommender.save(path)
    return path


@pytest.fixture
def id_model() -> Callable[[Sequence[Any], Sequence[Any]], tuple[sl.TwoTower, sl.Dataset]]:
    """A model over any ids, of which query i chose candidate i (counted round), trained for a moment."""

    def make(queries: Sequence[Any], candidates: Sequence[Any]) -> tuple[sl.TwoTower, sl.Dataset]:
        rows = [{"q": one, "c": candidates[number % len(candidates)]} for number, one in enumerate(queries)]
        rows += [{"q": queries[0], "c": one} for one in candidates]
        train = sl.Dataset(pl.DataFrame(rows), "q", "c")
        kinds = [sl.StringLookup if isinstance(ids[0], str) else sl.IntegerLookup for ids in (queries, candidates)]
        model = sl.TwoTower(sl.Tower(kinds[0]("q"), dim=4), sl.Tower(kinds[1]("c"), dim=4))
        sl.fit(model, train, task=sl.Retrieval(), optimizer=sl.Adagrad(0.1), epochs=1, batch_size=64)
        return model, train

    return make
