"""Query towers are ready before the first request that needs one; those that no request needs stay as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.recommender.query_towers import FEATURES, saved

import shortlist as sl
from shortlist.recommender import embedding
from shortlist.recommender.embedding import Embedder
from shortlist.recommender.query_vectors import warm_towers

PROGRAM = """
import sys
from shortlist.recommender import Recommender
from shortlist.recommender.query_vectors import warm_towers

recommender = Recommender.load(sys.argv[1])
recommender.recommend(["ann"], k=2)
before = len(sys.modules)
warm_towers(recommender.served)
grown = len(sys.modules) - before
added = [name in sys.modules for name in ("torch", "onnxruntime")]
recommender.recommend({"who": [None], "history": [["a", "b"]]} if "history" in recommender.served.reads else ["bob"], k=2)
print(grown > 0, added, [name in sys.modules for name in ("torch", "onnxruntime")])
"""


@pytest.mark.parametrize("kind", FEATURES)
def test_only_towers_that_requests_need_are_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row of nobody, with one choice where a history is read; afterwards no request builds anything."""
    served = sl.Recommender.load(saved(tmp_path / "b", kind)).served
    ran: list[tuple[str, int]] = []
    vectors = Embedder.vectors

    def noted(embedder: Embedder, side: str, table: pl.DataFrame) -> Any:
        ran.append((side, len(table)))
        return vectors(embedder, side, table)

    monkeypatch.setattr(Embedder, "vectors", noted)
    pauses: list[int] = []
    warm_towers(served, lambda: pauses.append(1))
    if kind == "ids":
        assert (ran, pauses) == ([], [])
        assert served.embedder._model is None
        return
    assert ran == [("query", 1)]
    assert len(pauses) == 3
    monkeypatch.setattr(embedding, "_built", lambda *_: pytest.fail("a request built the model"))
    monkeypatch.setattr(embedding, "tower_of", lambda *_: pytest.fail("a request opened an exported tower"))
    assert served.embedder.vectors("query", served.state.queries.with_columns(hour=pl.lit("noon"))).shape == (3, 2)


def test_every_tower_of_a_mixture_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first reads ids alone, and has all its vectors; the second reads histories."""
    pairs = pl.DataFrame({"who": ["ann", "ann", "bob", "cat"], "what": ["a", "b", "b", "c"], "at": [1, 2, 3, 4]})
    train = sl.Dataset(pairs, "who", "what", timestamp="at")
    towers = []
    for feature in (sl.StringLookup("who"), sl.History(encoder="mean", share=False, dropout=0.0)):
        model = sl.TwoTower(sl.Tower(feature, dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
        sl.fit(model, train, epochs=1, batch_size=4)
        towers.append(model)
    mixture = sl.Mixture(towers, train, weights=[0.5, 0.5], temperatures=1.0)
    sl.Recommender(mixture, index=sl.BruteForce(), seen=train).save(tmp_path / "b")
    served = sl.Recommender.load(tmp_path / "b").served
    warm_towers(served)
    assert [one.embedder._model is None for one in (served, *served.others)] == [True, False]


@pytest.mark.parametrize(
    ("kind", "exported", "said"),
    [
        ("ids", False, "False [False, False] [False, False]"),
        ("ids", True, "False [False, False] [False, False]"),
        ("history", False, "True [True, False] [True, False]"),
        ("history", True, "True [False, True] [False, True]"),
    ],
)
def test_what_is_imported(kind: str, exported: bool, said: str, tmp_path: Path) -> None:
    """For ids alone not one module; else torch, or onnxruntime where the tower is exported."""
    path = saved(tmp_path / "b", kind, exported)
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == said


def test_an_empty_catalogue_has_no_first_candidate(tmp_path: Path) -> None:
    """All candidates were deleted since."""
    recommender = sl.Recommender.load(saved(tmp_path / "b", "history"))
    recommender.delete(["a", "b", "c", "d"])
    warm_towers(recommender.served)
    assert np.isfinite(recommender.served.embedder.vectors("query", recommender.served.state.queries)).all()


@pytest.mark.parametrize("heads", [1, 2])
def test_a_folded_vector_does_not_depend_on_who_else_is_asked(heads: int) -> None:
    """To the last bit: known and unknown queries in one request, and each alone."""
    generator = np.random.default_rng(0)
    pairs = {"who": [f"p{one}" for one in generator.integers(0, 30, 300)], "what": generator.integers(0, 40, 300)}
    train = sl.Dataset(pairs, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=8, heads=heads), sl.Tower(sl.IntegerLookup("what"), dim=8))
    sl.fit(model, train, epochs=2, batch_size=64)
    asked = [*(f"new {one}" for one in range(20)), "p1", "p2"]
    history = [generator.integers(0, 40, 3).tolist() for _ in asked]
    together, _ = sl.Recommender(model, sl.BruteForce()).query_vectors(asked, history=history)
    alone = sl.Recommender(model, sl.BruteForce())
    for number, one in enumerate(asked):
        vectors, _ = alone.query_vectors([one], history=[history[number]])
        assert vectors[0].tolist() == together[number].tolist(), one
