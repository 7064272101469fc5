"""From tables to vectors: the model is made once, of what training left, whatever came since."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.recommender.embedding import Embedder
from shortlist.recommender.live import changed


def test_the_model_is_made_once_and_shared_by_what_comes_of_it(bundle: Path) -> None:
    served = sl.Recommender.load(bundle).served
    after = changed(served, pl.DataFrame({"what": ["e"]}), ["a"])
    assert after.embedder is served.embedder
    assert after.embedder.model is served.embedder.model
    assert after.embedder.towers.catalogue.candidates["what"].to_list() == ["a", "b", "c", "d"]


def test_a_loaded_mixture_is_made_after_changes_too(model: sl.TwoTower, train: sl.Dataset, tmp_path: Path) -> None:
    """Its neighbours are of the candidates that training had."""
    mixture = sl.Mixture.of(model, sl.Cooccurrence().fit(train), train, share=0.5)
    sl.Recommender(mixture, index=sl.BruteForce(), seen=train).save(tmp_path / "b")
    served = sl.Recommender.load(tmp_path / "b").served
    second = changed(changed(served, pl.DataFrame({"what": ["e"]})), pl.DataFrame({"what": ["f"]}))
    assert isinstance(second.embedder.model, sl.Mixture)
    assert second.index.size == 6


def test_vectors_of_either_side(recommender: sl.Recommender) -> None:
    embedder = recommender.served.embedder
    assert embedder.vectors("query", pl.DataFrame({"who": ["bob", "eve"]})).tolist() == [[0, 1], [-1, 0]]
    assert embedder.vectors("candidate", pl.DataFrame({"what": ["c"]})).tolist() == [[1, 4]]


@pytest.mark.parametrize("side", ["query", "candidate"])
def test_features_are_the_same_of_a_model_and_of_its_stored_form(recommender: sl.Recommender, side: str) -> None:
    stored = Embedder(recommender.served.state)
    (mine,), (theirs,) = (one.features(side).values() for one in (recommender.served.embedder, stored))
    values = pl.Series(["ann", "cat", "b", "c", "x", None])
    assert mine.encode(values).values.tolist() == theirs.encode(values).values.tolist()
