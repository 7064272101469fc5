"""Popularity as two towers: measured, saved and served as every other model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import shortlist as sl
from shortlist.errors import DataError

TABLES = {"queries": {"who": ["ann", "bob", "cat"]}, "candidates": {"what": ["a", "b", "c", "d"]}}


def data(**columns) -> sl.Dataset:
    """a is chosen once, c twice and d three times, all but the last two of d early; nobody chose b."""
    rows = {"who": ["ann", "bob", "ann", "cat", "ann", "bob"], "what": ["a", "c", "c", "d", "d", "d"], **columns}
    return sl.Dataset(rows, "who", "what", timestamp=next(iter(columns), None), **TABLES)


def test_scores_are_log_counts_for_everyone() -> None:
    model = sl.popularity(data())
    np.testing.assert_array_equal(model.query_vectors(data().queries), np.ones((3, 1)))
    vectors = model.candidate_vectors(data().candidates)
    np.testing.assert_allclose(vectors[:, 0], [math.log(2), 0, math.log(3), math.log(4)], rtol=1e-6)
    assert (model.dim, model.training) == (1, False)


def test_it_is_served_alike_to_those_known_and_new(tmp_path: Path) -> None:
    model = sl.popularity(data())
    for cold_start in ("auto", "unknown", "popularity"):
        recommender = sl.Recommender(model, sl.BruteForce(), cold_start=cold_start)
        assert [one.ids for one in recommender.recommend(["ann", "nobody"], k=4)] == [["d", "c", "a", "b"]] * 2
    seen = sl.Recommender(model, seen=data())
    assert seen.recommend(["ann"], k=4)[0].ids == ["b"]
    assert seen.recommend(["new"], k=2, history=[["d"]])[0].ids == ["c", "a"]
    seen.save(tmp_path / "a.shortlist")
    loaded = sl.Recommender.load(tmp_path / "a.shortlist")
    assert loaded.recommend(["ann", "bob"], k=4).to_dicts() == seen.recommend(["ann", "bob"], k=4).to_dicts()


def test_it_is_measured_as_the_baseline_is() -> None:
    found = sl.evaluate(sl.popularity(data()), data(), seen=data(), ks=(1, 2, 3))
    assert found["model"] == found["popularity"]
    assert found["model"]["seen_in"]["top_1"] == 3 / 6
    assert not sl.diagnose(sl.popularity(data()), data())


def test_recent_counts_the_latest_tenth() -> None:
    # of 20 choices the latest two are of a and c; all of b and d before: 1, 1 and thousandths
    what = ["b"] * 12 + ["d"] * 6 + ["a", "c"]
    rows = {"who": ["ann"] * 20, "what": what, "at": range(20)}
    train = sl.Dataset(rows, "who", "what", timestamp="at", **TABLES)
    vectors = sl.popularity(train, recent=True).candidate_vectors(train.candidates)[:, 0]
    assert vectors == pytest.approx([math.log(2.001), math.log(1.012), math.log(2.001), math.log(1.006)], rel=1e-5)
    plain = sl.popularity(train).candidate_vectors(train.candidates)[:, 0]
    assert plain.argmax() == 1


def test_without_times_nothing_is_recent() -> None:
    with pytest.raises(DataError, match="needs timestamps"):
        sl.popularity(data(), recent=True)


def test_from_disk_as_from_memory(tmp_path: Path) -> None:
    rows = data()
    rows.interactions.write_parquet(tmp_path / "log.parquet")
    shards = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", query="who", candidate="what")
    model = sl.popularity(shards)
    assert sl.Recommender(model).recommend(["ann"], k=3)[0].ids == ["d", "c", "a"]
    with pytest.raises(DataError, match="in memory"):
        sl.popularity(shards, recent=True)


def test_numbers_and_one_candidate() -> None:
    train = sl.Dataset({"who": [1, 2], "what": [7, 7]}, "who", "what")
    assert sl.Recommender(sl.popularity(train)).recommend([1, 404], k=5)[1].ids == [7]
