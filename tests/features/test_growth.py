"""Admission after some sightings, eviction of the long unseen: by hand, in training, and through a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist import Category, IntegerLookup, StringLookup


def test_values_are_admitted_after_so_many_sightings() -> None:
    lookup = StringLookup("user", min_count=3)
    lookup.fit(pl.Series(["ann", "bob", "cyd", None]), np.array([3, 2, 5, 9]))
    assert lookup.encode(pl.Series(["ann", "bob", "cyd", None])).values.tolist() == [1, 0, 2, 0]
    plain = StringLookup("user", min_count=2)
    plain.fit(pl.Series(["x", "y", "x"]))
    assert plain.encode(pl.Series(["x", "y"])).values.tolist() == [1, 0]


def test_sightings_of_rows_with_one_value_add_up() -> None:
    lookup = Category("city", min_count=4)
    lookup.fit(pl.Series(["oslo", "rome", "oslo"]), np.array([1, 3, 3]))
    assert lookup.encode(pl.Series(["oslo", "rome"])).values.tolist() == [1, 0]


def test_a_vocabulary_grows_admits_and_evicts() -> None:
    lookup = IntegerLookup("item", min_count=2, evict_after=2)
    lookup.fit(pl.Series([10, 20, 30]), np.array([5, 5, 5]))
    assert lookup.grow(pl.Series([20, 40, 50]), np.array([1, 2, 1])).tolist() == [0, 1, 2, 3, -1]  # 50 seen once
    assert lookup.grow(pl.Series([20, 50]), np.array([1, 2])).tolist() == [0, 1, 2, 3, 4, -1]
    assert lookup.ages is not None
    assert lookup.ages.tolist() == [2, 0, 2, 1, 0]
    origin = lookup.grow(pl.Series([40]))  # 10 and 30 were in none of the last three
    assert lookup.vocabulary is not None
    assert lookup.vocabulary.ids.to_list() == [20, 40, 50]
    assert origin.tolist() == [0, 2, 4, 5]
    old = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    assert old[origin].ravel().tolist() == [0, 2, 4, 5]
    kept = IntegerLookup.restore(lookup.state())
    assert kept.state()["ages"].to_list() == [1, 0, 1]
    assert (kept.min_count, kept.evict_after) == (2, 2)
    assert kept.grow(pl.Series([20])).tolist() == lookup.grow(pl.Series([20])).tolist() == [0, 1, 2, 3]


def test_without_eviction_nothing_goes_and_null_data_change_nothing() -> None:
    lookup = StringLookup("item", ["a", "b"])
    for _ in range(5):
        assert lookup.grow(pl.Series([None, None])).tolist() == [0, 1, 2]
    with pytest.raises(sl.DataError, match="Int64"):
        lookup.grow(pl.Series([1]))
    with pytest.raises(sl.ConfigError, match="fit"):
        StringLookup("item").grow(pl.Series(["a"]))


@pytest.mark.parametrize("option", ["min_count", "evict_after"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_counts_that_cannot_be_are_refused(option: str, value: object) -> None:
    with pytest.raises(sl.ConfigError, match=option):
        StringLookup("item", **{option: value})  # type: ignore[arg-type]


def test_training_admits_by_interactions_and_a_bundle_keeps_it(tmp_path: Path) -> None:
    """Reader 9 chose once, the others three times: 9 shares the unknown reader's row."""
    rows = {
        "reader": [r for r in range(9) for _ in range(3)] + [9],
        "book": [b for _ in range(9) for b in "xyz"] + ["x"],
    }
    data = sl.Dataset(rows, "reader", "book")
    recipe = sl.recipes.load("factorization", {"query.min_count": 2, "fit.epochs": 2})
    model, _ = recipe.train(data)
    table = model.query.tables["reader:IntegerLookup"]
    assert tuple(table.weight.shape) == (10, 64)
    recommender = sl.Recommender(model, index=sl.BruteForce())
    vectors = recommender.embed_queries(pl.DataFrame({"reader": [9, 1000, 3]}))
    assert vectors[0].tolist() == vectors[1].tolist() != vectors[2].tolist()
    recommender.save(tmp_path / "a.shortlist")
    loaded = sl.Recommender.load(tmp_path / "a.shortlist")
    (feature,) = loaded.model.query.features.values()
    assert feature.min_count == 2  # type: ignore[attr-defined]
    with pytest.raises(sl.DataError, match="at least 5"):
        sl.recipes.load("factorization", {"query.min_count": 5}).train(data)
