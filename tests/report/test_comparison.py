"""Today beside yesterday, by hand: figures on one test, vectors that moved, lists that changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.report.comparison import churn, compared, drift, figures, since

ITEMS = 24


def table(users: range, first: int = 0) -> pl.DataFrame:
    """Each user chose eight items of one of two camps, and lives in one of two cities."""
    rows = [
        {"user": user, "item": item}
        for user in users
        for item in range(first, ITEMS)
        if item % 2 == user % 2 and item % 3 != user % 3
    ]
    return pl.DataFrame(rows)


def people(users: range) -> pl.DataFrame:
    return pl.DataFrame({"user": users, "city": [("oslo", "rome")[user % 2] for user in users]})


def trained(
    interactions: pl.DataFrame, users: range, warm: sl.TwoTower | None = None, **options: Any
) -> sl.Recommender:
    data = sl.Dataset(interactions, "user", "item", queries=people(users))
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=4), sl.Tower(sl.IntegerLookup("item"), dim=4))
    settings: dict[str, Any] = {"epochs": 20, "batch_size": 64, "optimizer": sl.Adagrad(0.5), **options}
    sl.fit(model, data, warm_start=warm, **settings)
    return sl.Recommender(model, sl.BruteForce(), seen=data)


@pytest.fixture(scope="module")
def monday() -> sl.Recommender:
    return trained(table(range(20)), range(20))


@pytest.fixture(scope="module")
def tuesday(monday: sl.Recommender) -> sl.Recommender:
    """Users 0 to 9 have chosen one more item; users 20 to 23 are new, and so is item 24."""
    more = pl.DataFrame(
        {
            "user": [*range(10), 20, 21],
            "item": [user % 2 + 6 * (user % 3 == 0) + 2 * 3 for user in range(10)] + [24, 24],
        }
    )
    return trained(pl.concat([table(range(24)), more]), range(24), monday.model, epochs=2)


@pytest.fixture(scope="module")
def held_out() -> sl.Dataset:
    rows = [
        (user, item) for user in range(20) for item in range(ITEMS) if item % 2 == user % 2 and item % 3 == user % 3
    ]
    return sl.Dataset(pl.DataFrame(rows, ["user", "item"], orient="row"), "user", "item")


def test_nothing_changed_where_nothing_did(monday: sl.Recommender, held_out: sl.Dataset) -> None:
    told = since(monday, monday, held_out, seen=monday.seen, churn_ks=[3])
    assert told["comparison"]["before"] == told["comparison"]["after"]
    assert not any(one["real"] for one in told["comparison"]["differences"])
    assert told["drift"]["candidates"]["cosine"] == pytest.approx(1)
    assert told["drift"]["comparable"]
    assert told["churn"]["changed"] == 0
    assert told["churn"]["same"] == 1
    assert told["churn_at"] == {"3": 0.0}
    assert (told["new_candidates"], told["new_queries"]) == (0, 0)
    assert told["before"]["fingerprint"] == monday.fingerprint


def test_figures_are_those_of_evaluate(monday: sl.Recommender, tuesday: sl.Recommender, held_out: sl.Dataset) -> None:
    """Item 24, which Monday does not know, competes for both: figures of Monday are those with it in the catalogue."""
    told = compared(monday.model, tuesday.model, held_out, seen=tuesday.seen, ks=[3])
    assert "top_3" in told["after"]
    wide = sl.Dataset(held_out.interactions, "user", "item", candidates=pl.DataFrame({"item": range(ITEMS + 1)}))
    for recommender, figures_of in ((monday, told["before"]), (tuesday, told["after"])):
        found = sl.evaluate(recommender.model, wide, seen=tuesday.seen, ks=(1, 3, 5, 10, 20), baselines=())
        for k in (1, 3, 5, 10, 20):
            assert figures_of[f"top_{k}"] == found["model"]["seen_out"][f"top_{k}"]
    names = [one["metric"] for one in told["differences"]]
    assert {"top_1", "recall_10", "ndcg_20"} <= set(names)
    for one in told["differences"]:
        assert one["difference"] == pytest.approx(told["after"][one["metric"]] - told["before"][one["metric"]])


def test_a_space_that_turned_as_a_whole(monday: sl.Recommender) -> None:
    """Every vector turned by the same right angle: cosines fall to what they are, and the rotation brings them back."""
    quarter = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1], [0, 0, -1, 0]], np.float32)
    index = sl.BruteForce().build(monday.served.vectors @ quarter)
    turned = sl.Recommender(replace(monday.served, index=index))
    found = drift(monday, turned)
    assert found["candidates"]["cosine"] == pytest.approx(0, abs=1e-6)
    assert found["candidates"]["turned"] == pytest.approx(1)
    assert found["candidates"]["moved"] == 1
    assert found["queries"]["cosine"] == pytest.approx(1)
    assert not found["comparable"]


def test_a_warm_start_drifts_less_than_a_new_training(monday: sl.Recommender, tuesday: sl.Recommender) -> None:
    warm = drift(monday, tuesday)["candidates"]
    cold = drift(monday, trained(table(range(24)), range(24), seed=7))["candidates"]
    assert warm["ids"] == cold["ids"] == ITEMS
    assert warm["cosine"] > 0.9 > cold["cosine"] + 0.3


def test_vectors_of_another_length_have_nothing_in_common(monday: sl.Recommender) -> None:
    data = sl.Dataset(table(range(20)), "user", "item")
    other = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=2), sl.Tower(sl.IntegerLookup("item"), dim=2))
    sl.fit(other, data, epochs=1)
    assert drift(monday, sl.Recommender(other)) == {"comparable": False}
    texts = sl.Dataset(table(range(20)).cast(pl.String), "user", "item")
    named = sl.TwoTower(sl.Tower(sl.StringLookup("user"), dim=4), sl.Tower(sl.StringLookup("item"), dim=4))
    sl.fit(named, texts, epochs=1)
    told = since(monday, sl.Recommender(named), None)
    assert told["drift"] == {"comparable": False}
    assert told["churn"] == {"k": 2, "queries": 0, "segments": []}
    assert told["new_candidates"] == ITEMS
    assert figures(told) == ({}, {})


def test_how_much_of_the_lists_changed(monday: sl.Recommender, tuesday: sl.Recommender) -> None:
    """Against plain sets of the two recommenders' lists."""
    k = 4
    told = churn(monday, tuesday, k)
    users = list(range(20))
    then, now = (
        {user: set(one.ids) for user, one in zip(users, each.recommend(users, k=k), strict=True)}
        for each in (monday, tuesday)
    )
    changed = {user: len(now[user] - then[user]) / k for user in users}
    assert told["queries"] == 20
    assert told["changed"] == pytest.approx(sum(changed.values()) / 20)
    assert told["came_new"] == pytest.approx(sum(24 in now[user] for user in users) / (20 * k))
    assert told["same"] == sum(value == 0 for value in changed.values()) / 20
    groups = {(one["segment"], one["group"]): one for one in told["segments"]}
    active = groups["since yesterday", "chose something"]
    assert active["queries"] + groups["since yesterday", "chose nothing"]["queries"] == 20
    oslo = groups["city", "oslo"]
    assert oslo["queries"] == 10
    assert oslo["changed"] == pytest.approx(sum(changed[user] for user in range(0, 20, 2)) / 10)
