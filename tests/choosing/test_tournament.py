"""Contenders in turn, mixtures of the best, and a winner whose recipe repeats it."""

from __future__ import annotations

import numpy as np
from tests.choosing.tables import blocks

from shortlist.choosing import Budget, hold_out
from shortlist.choosing.contenders import contenders_of
from shortlist.choosing.tournament import Tournament
from shortlist.choosing.trial import Trial
from shortlist.train.recipes import load, to_toml


def test_the_recipe_of_two_towers_repeats_the_model(tmp_path) -> None:
    data = blocks(3000, 150, 120)
    train, held_out, how = hold_out(data, 0.1, 42)
    trial = Trial.of(train, train, held_out, None, 42)
    tournament = Tournament(train, trial, Budget(60.0), "auto", lambda line: None, False)
    for one in contenders_of(train, 42, again=False):
        if one.name in ("ALS", "factorization"):
            tournament.enter(one)
    tournament.mix()
    (pair,) = (one for one in tournament.ranked() if one.kind == "mixture")
    assert sorted(pair.name.split(" + ")) == ["ALS", "factorization"]
    assert (how, pair.rank) == ("random", 40 + max(one.rank for one in tournament.ranked() if one.kind == "towers"))
    path = tmp_path / "chosen.toml"
    path.write_text(to_toml(pair.recipe))
    again, _ = load(path).train(train)
    assert again.weights == pair.model.weights
    for one, other in zip((again.towers, *again.others), (pair.model.towers, *pair.model.others), strict=True):
        for name, value in one.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), other.state_dict()[name].numpy())
