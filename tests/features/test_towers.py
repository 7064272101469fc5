"""Towers of every kind of feature: they train, take new rows, and come back from their state."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.features import FEATURE_KINDS, Feature
from shortlist.model.state import ModelState, model_from_state, state_of

USERS, FILMS = 40, 30


def toy() -> sl.Dataset:
    """Even users choose even films, odd users odd films; every column says so in its own way, with nulls here and there."""
    generator = np.random.default_rng(0)
    user = np.arange(USERS).repeat(8)
    film = generator.integers(0, FILMS // 2, len(user)) * 2 + user % 2
    return sl.Dataset(
        pl.DataFrame({"user": user, "film": [f"film {number}" for number in film]}).unique(maintain_order=True),
        query="user",
        candidate="film",
        queries=side("user", list(range(USERS)), np.arange(USERS)),
        candidates=side("film", [f"film {number}" for number in range(FILMS)], np.arange(FILMS)),
    )


def side(name: str, ids: list[object], numbers: np.ndarray) -> pl.DataFrame:
    odd = [int(number % 2) if number % 9 else None for number in numbers]
    return pl.DataFrame(
        {
            name: ids,
            "string": [None if o is None else "odd" if o else "even" for o in odd],
            "integer": odd,
            "boolean": [None if o is None else bool(o) for o in odd],
            "list": [[] if o is None else [f"m{o}", "both"] for o in odd],
            "separated": [None if o is None else f"m{o}|both" for o in odd],
            "title": [None if o is None else ("An odd one" if o else "Some even thing") for o in odd],
            "number": [None if o is None else o + 0.1 * (i % 3) for i, o in enumerate(odd)],
            "vector": [None if o is None else [float(o), 1.0 - o] for o in odd],
            "moment": [None if o is None else dt.datetime(2000 + 20 * o, 1, 1 + i % 7) for i, o in enumerate(odd)],
        }
    )


EVERY_KIND = {
    "StringLookup": lambda: sl.StringLookup("string", dim=3),
    "IntegerLookup": lambda: sl.IntegerLookup("integer"),
    "Category": lambda: sl.Category("boolean"),
    "MultiCategory": lambda: sl.MultiCategory("list"),
    "Hashing": lambda: sl.Hashing("string", 50, dim=5),
    "Text": lambda: sl.Text("title", 200),
    "Normalization": lambda: sl.Normalization("number", indicator=True),
    "Discretization": lambda: sl.Discretization("number", 3),
    "Timestamp": lambda: sl.Timestamp("moment"),
    "Vector": lambda: sl.Vector("vector"),
}


def towers(query: list[Feature], candidate: list[Feature]) -> sl.TwoTower:
    return sl.TwoTower(sl.Tower(*query, dim=8, hidden=(16,)), sl.Tower(*candidate, dim=8, hidden=(16,)))


def train(model: sl.TwoTower, data: sl.Dataset) -> list[float]:
    history = sl.fit(model, data, optimizer=sl.Adagrad(0.1), epochs=8, batch_size=64, device="cpu")
    return [epoch.loss for epoch in history.epochs]


def test_no_kind_is_left_out():
    assert {*EVERY_KIND, "History"} == set(
        FEATURE_KINDS
    )  # histories have no column: see tests/model/test_history_encoder.py


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_each_kind_alone_learns_what_its_column_says(kind: str):
    losses = train(towers([EVERY_KIND[kind]()], [EVERY_KIND[kind]()]), toy())
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.1


@pytest.fixture(scope="module")
def trained() -> sl.TwoTower:
    model = towers(
        [sl.IntegerLookup("user"), *(make() for make in EVERY_KIND.values() if make().column != "integer")],
        [sl.StringLookup("film"), sl.MultiCategory("separated", "|"), *(make() for make in EVERY_KIND.values())],
    )
    losses = train(model, toy())
    assert losses[-1] < losses[0] - 0.1
    return model


def test_rows_that_training_never_saw(trained: sl.TwoTower):
    """A new film is near the new user of its own half, far from the other; also without any id."""
    new = side("user", [1000, 1001], np.array([1000, 1001])).with_columns(film=pl.lit("a new film"))
    scores = trained.query_vectors(new) @ trained.candidate_vectors(new).T
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]


def test_rows_of_nulls(trained: sl.TwoTower):
    columns = {*trained.query.columns, *trained.candidate.columns}
    nulls = pl.DataFrame({column: [None, None] for column in columns})
    assert np.isfinite(trained.query_vectors(nulls)).all()
    assert np.isfinite(trained.candidate_vectors(nulls)).all()


def test_a_missing_column_is_named(trained: sl.TwoTower):
    with pytest.raises(sl.DataError, match="reads column 'vector'") as error:
        trained.query_vectors(side("user", [1], np.array([1])).rename({"vector": "vectors"}))
    assert "vectors" in error.value.hint


def test_state_brings_the_same_vectors_back(trained: sl.TwoTower):
    data = toy()
    state = state_of(trained)
    config = json.loads(json.dumps(state.config, allow_nan=False))
    tensors = {name: value.clone() for name, value in state.tensors.items()}
    again = model_from_state(ModelState(config, tensors, state.series), trained.catalogue)
    assert torch.equal(*(torch.from_numpy(model.query_vectors(data.queries)) for model in (trained, again)))
    assert torch.equal(*(torch.from_numpy(model.candidate_vectors(data.candidates)) for model in (trained, again)))
