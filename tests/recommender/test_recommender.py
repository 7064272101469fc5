"""A recommender holds one value and swaps it whole."""

from __future__ import annotations

import threading

import polars as pl
import pytest

import shortlist as sl
from shortlist.errors import ConfigError


def test_what_it_serves_makes_another_one(recommender: sl.Recommender, train: sl.Dataset) -> None:
    other = sl.Recommender(recommender.served)
    other.upsert(pl.DataFrame({"what": ["e"]}))
    assert recommender.candidate_ids.to_list() == ["a", "b", "c", "d"]
    assert other.candidate_ids.to_list() == ["a", "b", "c", "d", "e"]
    assert (other.fingerprint, other.model) == (recommender.fingerprint, recommender.model)
    for given in ({"seen": train}, {"index": sl.BruteForce()}):
        with pytest.raises(ConfigError, match="its own index and seen items"):
            sl.Recommender(recommender.served, **given)  # type: ignore[arg-type]


def test_parts_that_can_be_set(recommender: sl.Recommender) -> None:
    recommender.cold_start, recommender.fallback, recommender.metadata = "popularity", [], {"a": 1}  # type: ignore[assignment]
    assert (recommender.cold_start, recommender.fallback, recommender.metadata) == ("popularity", (), {"a": 1})
    with pytest.raises(ConfigError, match="did you mean 'popularity'"):
        recommender.cold_start = "popular"
    assert recommender.cold_start == "popularity"


def test_changes_of_several_threads_are_all_kept(recommender: sl.Recommender) -> None:
    threads = [
        threading.Thread(target=recommender.upsert, args=(pl.DataFrame({"what": [f"new {number}"]}),))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = recommender.recommend(["dan"], k=20)[0].ids
    assert set(found) == {"a", "b", "c", "d", *(f"new {number}" for number in range(8))}


def test_a_change_that_fails_leaves_what_was_served(recommender: sl.Recommender) -> None:
    before = recommender.served
    with pytest.raises(sl.DataError):
        recommender.upsert(pl.DataFrame({"what": ["e"], "colour": ["red"]}))
    assert recommender.served is before
