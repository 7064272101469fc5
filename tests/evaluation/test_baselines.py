"""Baselines by hand, and the reasons of those that are left out."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from tests.evaluation.small import FILMS, TEST, TRAIN, dataset, trained

import shortlist as sl
from shortlist.errors import ConfigError, DataError
from shortlist.evaluation import BASELINES
from shortlist.evaluation.baselines import Training, baseline, left_out
from shortlist.evaluation.scorers import Vectors


@pytest.fixture(scope="module")
def model() -> sl.TwoTower:
    return trained()


def training(ids=("ann", "bob", "cat", "dan")) -> Training:
    return Training.of(TRAIN, pl.Series("user", list(ids)), FILMS["film"])


def scores(name: str, ids=("ann", "bob", "cat", "dan")) -> np.ndarray:
    scorer = baseline(name, training(ids))
    if isinstance(scorer, Vectors):
        return (scorer.query @ scorer.candidate.T).numpy()
    return scorer.scores(0, len(ids), None).numpy()


def test_popularity_and_recent_popularity():
    assert scores("popularity")[0].tolist() == [3, 2, 1, 0, 0]
    assert scores("recent").tolist() == [[1, 1, 0, 0, 0]] * 4  # the latest tenth: cat's two at time 5


def test_cooccurrence_by_hand():
    # every query chose two films: a pair counts 2^-0.5 for each query; films 1, 2, 3 were chosen 3, 2 and 1 times
    def weight(pairs: int, source: int, target: int) -> float:
        return pairs * 2**-0.5 / (source**0.7 * target**0.3)

    found = scores("cooccurrence")
    ann = [weight(2, 2, 3), weight(2, 3, 2), weight(1, 3, 1)]  # from films 1 and 2
    assert found[0] == pytest.approx([*ann, -1, -1])  # 4 and 5: by popularity, −1 / (1 + 0)
    bob = [weight(1, 1, 3), weight(2, 3, 2), weight(1, 3, 1)]  # from films 1 and 3
    assert found[1] == pytest.approx([*bob, -1, -1])
    assert found[3] == pytest.approx([-1 / 4, -1 / 3, -1 / 2, -1, -1])  # dan has no history: by popularity


def test_transitions_by_hand():
    # ann: 1 then 2; bob: 1 then 3; cat: 1 and 2 at one time, in the order of the rows. Backward pairs count 0.3.
    def weight(pairs: float, source: int, target: int) -> float:
        return pairs / (source**0.5 * target**0.3)

    found = scores("transitions")
    ann = [weight(0.6, 2, 3), 0.7 * weight(2, 3, 2), 0.7 * weight(1, 3, 1)]  # 2 is the latest, 1 counts 0.7
    assert found[0] == pytest.approx([*ann, -1, -1])


def test_ease_is_the_closed_form():
    x = np.zeros((4, 5))
    x[TRAIN.query_rows, TRAIN.candidate_rows] = 1
    p = np.linalg.inv(x.T @ x + 22 * math.sqrt(6 / 3) * np.eye(5))  # 6 interactions of 3 films
    b = np.eye(5) - p / np.diag(p)
    np.fill_diagonal(b, 0)
    assert scores("ease") == pytest.approx(x @ b, abs=1e-6)


def test_ials_finds_planted_blocks():
    rows = [(f"u{u}", f + 10 * (u % 2), 0) for u in range(40) for f in range(10) if (u // 2 + f) % 4]
    users, films, _ = zip(*rows, strict=True)
    train = sl.Dataset(pl.DataFrame({"user": users, "film": films}), "user", "film")
    found = baseline("ials", Training.of(train, train.queries["user"], train.candidates["film"]))
    by_user = (found.query @ found.candidate.T).numpy()
    even = np.array([int(user[1:]) % 2 == 0 for user in train.queries["user"]])
    low = (train.candidates["film"] < 10).to_numpy()
    assert by_user[even][:, low].min() > by_user[even][:, ~low].max()
    assert by_user[~even][:, ~low].min() > by_user[~even][:, low].max()


@pytest.mark.parametrize("name", BASELINES)
def test_asked_queries_keep_their_own_rows(name):
    """In another order, twice, and with one that training never saw."""
    plain, asked = scores(name), scores(name, ("cat", "ann", "eve", "cat"))
    assert asked[[0, 1, 3]] == pytest.approx(plain[[2, 0, 2]], abs=1e-5)
    if name == "ease":
        assert not asked[2].any()
    if name in ("cooccurrence", "transitions"):
        assert np.argsort(-asked[2], kind="stable").tolist() == [0, 1, 2, 3, 4]  # by popularity
    if name == "ials":
        assert asked[2] == pytest.approx(plain[:3].mean(0), abs=1e-5)


def test_baselines_in_the_same_table(model):
    found = sl.evaluate(model, TEST, seen=TRAIN, ks=(5,), baselines=[*BASELINES])
    assert [*found.figures] == ["model", *BASELINES]
    assert "cooccurrence" in str(found)
    with pytest.raises(ConfigError, match="learn from the training data"):
        sl.evaluate(model, TEST, baselines=["ease"])
    with pytest.raises(ConfigError, match="no baseline 'popular'"):
        sl.evaluate(model, TEST, baselines=["popular"])


@pytest.mark.parametrize("name", ["transitions", "cooccurrence", "ease", "ials"])
def test_queries_without_a_choice_get_popularity(model, name):
    """Also where training and test share the table of queries, as parts of a split do."""
    assert "dan" in TRAIN.queries["user"]
    assert "dan" not in TRAIN.interactions["user"]
    late = dataset([("dan", 2, 6)])  # film 1 was chosen three times, film 2 twice
    found = sl.evaluate(model, late, seen=TRAIN, ks=(1, 2), metrics=["top"], baselines=[name])
    assert found[name]["seen_out"] == {"top_1": 0.0, "top_2": 1.0}


def test_recent_popularity_needs_times(model):
    timeless = sl.Dataset(TRAIN.interactions, "user", "film", candidates=FILMS)
    with pytest.raises(DataError, match="needs timestamps"):
        sl.evaluate(model, TEST, seen=timeless, baselines=["recent"])


def test_too_large_a_catalogue_is_refused(monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["shortlist.evaluation.baselines"], "EASE_WEIGHTS", 16)
    with pytest.raises(ConfigError, match="5 are more than 4"):
        baseline("ease", training())
    assert left_out(TRAIN)["ease"] == "its matrix of 5 × 5 candidates is too large to hold"
    monkeypatch.undo()
    monkeypatch.setattr(sys.modules["shortlist.evaluation.baselines"], "EASE_PRODUCTS", 16)
    assert left_out(TRAIN)["ease"] == "inverting 4 × 4 takes more than seconds"


def test_what_is_left_out_has_a_reason():
    assert left_out(TRAIN) == {}
    timeless = sl.Dataset(TRAIN.interactions.drop("time"), "user", "film", candidates=FILMS)
    assert [*left_out(timeless)] == ["recent", "transitions"]
    assert set(left_out(None)) == {*BASELINES} - {"popularity"}


def test_a_large_training_leaves_out_what_takes_long(monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["shortlist.evaluation.baselines"], "SMALL_TRAINING", 5)
    reasons = left_out(TRAIN)
    assert {*reasons} == {"transitions", "cooccurrence", "ease", "ials"}
    assert {*reasons.values()} == {"6 training interactions are more than 5"}
    found = sl.evaluate(
        sl.popularity(TRAIN), TEST, seen=TRAIN, ks=(5,), baselines=list(reasons)
    )  # asked for by name they run
    assert all(found[name]["seen_in"]["top_5"] == 1 for name in reasons)


def test_without_scipy_the_reason_names_the_extra(monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "scipy" else found(name, *more)
    )
    reasons = left_out(TRAIN)
    assert {*reasons} == {"transitions", "cooccurrence", "ease", "ials"}
    assert all("shortlist[train]" in reason for reason in reasons.values())
