"""Requests that carry their own history, and real users that training never saw."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import shortlist as sl


@pytest.fixture(scope="module")
def parts() -> tuple[sl.Dataset, sl.Dataset]:
    """MovieLens-100k without every eighth user, and the interactions of those."""
    data = sl.datasets.movielens("100k")
    out = pl.Series(data.query_rows % 8 == 0)
    train, test = (data.with_interactions(data.interactions.filter(mask)) for mask in (~out, out))
    return train, test


@pytest.fixture(scope="module")
def model(parts: tuple[sl.Dataset, sl.Dataset]) -> sl.TwoTower:
    history = sl.History(encoder="ema", decay=0.9, share=False, dropout=0.0)
    model = sl.TwoTower(sl.Tower(history, dim=16), sl.Tower(sl.StringLookup("movie_title"), dim=16))
    task = sl.Retrieval(log_q="counts")
    sl.fit(model, parts[0], task=task, optimizer=sl.Adam(0.01), epochs=2, batch_size=2048)
    return model


@pytest.fixture(scope="module")
def recommender(model: sl.TwoTower) -> sl.Recommender:
    return sl.Recommender(model)


def histories(test: sl.Dataset) -> tuple[list[str], list[list[str]], list[str]]:
    """Each held-out user, what they chose in order of time but for the last, and the last."""
    ordered = test.interactions.sort("timestamp", maintain_order=True).group_by("user_id", maintain_order=True)
    users = ordered.agg(pl.col("movie_title"))
    lists = users["movie_title"].to_list()
    return users["user_id"].to_list(), [titles[:-1] for titles in lists], [titles[-1] for titles in lists]


def test_held_out_users_get_lists_of_their_own(
    recommender: sl.Recommender, parts: tuple[sl.Dataset, sl.Dataset]
) -> None:
    users, given, last = histories(parts[1])
    assert len(users) > 100
    asked = {"user_id": users, "history": given}
    personal = recommender.recommend(asked, k=100, exclude=given)
    same = recommender.recommend(users, k=100, exclude=given)  # without a history: the same vector for all
    hits = [
        sum(title in answer.ids for title, answer in zip(last, answers, strict=True)) for answers in (personal, same)
    ]
    assert hits[0] > 1.5 * hits[1] > 0
    assert not any(answer.known for answer in personal)
    assert len({tuple(answer.ids[:10]) for answer in personal}) > 0.9 * len(users)


def test_a_known_user_has_the_vector_of_the_whole_training_history(
    recommender: sl.Recommender, model: sl.TwoTower
) -> None:
    row = int(np.flatnonzero(model.catalogue.known)[5])
    user = model.catalogue.queries["user_id"][row]
    history = model.catalogue.queries["history"][row].to_list()
    stored = recommender.recommend([user], k=5)[0]
    asked = recommender.recommend({"user_id": [user], "history": [history]}, k=5)[0]
    anonymous = recommender.recommend({"user_id": [None], "history": [history]}, k=5)[0]
    assert stored.ids == asked.ids == anonymous.ids
    assert np.allclose(stored.scores, asked.scores, atol=1e-5)
    other = recommender.recommend({"user_id": [user], "history": [history[:1]]}, k=5)[0]
    assert other.ids != stored.ids


def test_a_request_is_not_answered_with_its_own_history(
    model: sl.TwoTower, parts: tuple[sl.Dataset, sl.Dataset]
) -> None:
    recommender = sl.Recommender(model, seen=parts[0])
    users, given, _ = histories(parts[1])
    asked = {"user_id": [*users[:2], "new"], "history": [*given[:2], ["no such film", None]]}
    for answer, own in zip(recommender.recommend(asked, k=50), given[:2], strict=False):
        assert not set(answer.ids) & set(own)
    again = recommender.recommend(asked, k=50, exclude_seen=False)
    assert set(again[0].ids) & set(given[0])


def test_a_bundle_answers_alike(
    recommender: sl.Recommender, parts: tuple[sl.Dataset, sl.Dataset], tmp_path: Path
) -> None:
    recommender.save(tmp_path / "films.shortlist")
    loaded = sl.Recommender.load(tmp_path / "films.shortlist")
    assert loaded.fingerprint == recommender.fingerprint
    users, given, _ = histories(parts[1])
    for asked in ({"user_id": users[:5], "history": given[:5]}, users[:5], recommender.query_ids[:5].to_list()):
        first, second = recommender.recommend(asked, k=7), loaded.recommend(asked, k=7)
        assert [answer.ids for answer in first] == [answer.ids for answer in second]
        assert [list(answer.scores) for answer in first] == [list(answer.scores) for answer in second]


def test_histories_of_a_request_that_cannot_be(recommender: sl.Recommender) -> None:
    with pytest.raises(sl.DataError, match="lists of candidate ids"):
        recommender.recommend({"user_id": ["new"], "history": ["Heat"]})
    with pytest.raises(sl.DataError, match="holds Int64"):
        recommender.recommend({"user_id": ["new"], "history": [[1, 2]]})
    with pytest.raises(sl.DataError, match="history"):
        recommender.recommend({"user_id": ["new"], "histori": [["Heat"]]})
    nothing = recommender.recommend({"user_id": ["new"], "history": [None]}, k=3)[0]
    unknown = recommender.recommend({"user_id": ["new"], "history": [["no such film"]]}, k=3)[0]
    assert nothing.ids == unknown.ids == recommender.recommend(["new"], k=3)[0].ids


def test_evaluation_asks_with_the_training_history() -> None:
    train, test = sl.split_last(sl.datasets.movielens("100k"))
    history = sl.History(encoder="ema", share=False, dropout=0.0)
    model = sl.TwoTower(sl.Tower(history, dim=16), sl.Tower(sl.StringLookup("movie_title"), dim=16))
    sl.fit(model, train, task=sl.Retrieval(log_q="counts"), optimizer=sl.Adam(0.01), epochs=2, batch_size=2048)
    found = sl.evaluate(model, test, ks=(10,), baselines=("popularity",), seen=train)
    assert found["model"]["seen_out"]["top_10"] > 1.3 * found["popularity"]["seen_out"]["top_10"] > 0


def test_evaluation_of_new_users_asks_with_what_is_given_of_them() -> None:
    split = sl.split_queries(sl.datasets.movielens("100k"), by_time=True)
    train, given, test = split.train, split.given, split.test
    history = sl.History(encoder="ema", decay=0.9, share=False, dropout=0.0)
    model = sl.TwoTower(sl.Tower(history, dim=16), sl.Tower(sl.StringLookup("movie_title"), dim=16))
    sl.fit(model, train, task=sl.Retrieval(log_q="counts"), optimizer=sl.Adam(0.01), epochs=2, batch_size=2048)
    found = sl.evaluate(model, test, ks=(50,), seen=given)
    assert found.new_queries == found.pairs
    assert found["model"]["seen_out"]["top_50"] > 1.2 * found["popularity"]["seen_out"]["top_50"] > 0
    table = model.with_histories(test.queries, given)
    lists = dict(zip(table["user_id"], table["history"].to_list(), strict=True))
    of_one = given.interactions.filter(pl.col("user_id") == given.interactions["user_id"][0])
    latest = of_one.sort("timestamp", maintain_order=True)["movie_title"].to_list()[-50:]
    assert lists[of_one["user_id"][0]] == latest


LOG = {"who": list("aaaaabbbc"), "what": list("pqrspqrtp"), "when": [1, 2, 3, 3, 4, 1, 2, 3, 9]}
WITHOUT_TORCH = (
    "import sys, json, shortlist as sl\n"
    "answers = sl.Recommender.load(sys.argv[1]).recommend(json.loads(sys.argv[2]), 3, exclude_seen=False)\n"
    "assert 'torch' not in sys.modules, 'torch was imported'\n"
    "print(json.dumps([[answer.ids, [float(score) for score in answer.scores]] for answer in answers]))"
)


@pytest.mark.parametrize("encoder", ["mean", "transformer"])
def test_an_exported_tower_reads_histories_without_torch(encoder: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    data = sl.Dataset(LOG, "who", "what", "when")
    features = [sl.History(encoder=encoder, length=4, share=encoder != "ema"), sl.StringLookup("who")]
    for number, chosen in enumerate([features[:1], features] if encoder == "mean" else [features[:1]]):
        query = sl.Tower(*chosen, dim=8)
        model = sl.TwoTower(query, sl.Tower(sl.StringLookup("what", dim=8), dim=8))
        sl.fit(model, data, optimizer=sl.Adam(0.05), epochs=3)
        recommender = sl.Recommender(model)
        asked = {"who": ["new", "a", "x", "y"], "history": [["r"], list("pqrst"), [], ["?", "p"]]}
        expected = recommender.recommend(asked, k=3, exclude_seen=False)
        recommender.export()
        recommender.save(tmp_path / str(number))
        command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / str(number)), json.dumps(asked)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for (ids, scores), answer in zip(json.loads(done.stdout), expected, strict=True):
            assert np.allclose(scores, list(answer.scores), atol=1e-4)
            assert len(ids) == 3
