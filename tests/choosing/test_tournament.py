"""Contenders in turn, mixtures of the best, and a winner whose recipe repeats it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from tests.choosing.tables import blocks

import shortlist as sl
from shortlist.choosing import Budget, hold_out
from shortlist.choosing.contenders import Contender, contenders_of
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


def test_texts_that_take_too_long_are_left_out_and_the_rest_is_tried() -> None:
    """However long the two columns of texts are estimated to take, the column of kinds is tried without them."""
    rows = blocks(1500, 90, 120).interactions
    size = int(rows["what"].max()) + 1  # type: ignore[arg-type]
    items = {
        "what": range(size),
        "kind": [f"k{n % 8}" for n in range(size)],
        "title": [f"number {n}" for n in range(size)],
        "plot": [f"the number {n} " * 20 for n in range(size)],
    }
    data = sl.Dataset(rows, "who", "what", candidates=pl.DataFrame(items))
    train, held_out, _ = hold_out(data, 0.1, 42)
    trial = Trial.of(train, train, held_out, None, 42)
    (features,) = (one for one in contenders_of(train, 42, again=False) if one.name == "features")

    def entered(**seconds: float) -> tuple[Any, list[str]]:
        """The result, and the columns of each form that was estimated, where a form takes the seconds of its columns."""
        tournament, forms = Tournament(train, trial, Budget(60.0), "cpu", lambda line: None, False), []

        def estimate(contender: Contender, *_: Any) -> float:
            columns = [one["column"] for one in contender.recipe.candidate.features]
            forms.append(" ".join(columns))
            return sum(seconds[column] for column in columns)

        tournament.speed.estimate = estimate  # type: ignore[method-assign,assignment]
        tried = tournament.enter(features, 0.25)
        assert tournament.tried == {"features": tried}
        return tried, forms

    tried, forms = entered(kind=0.0, title=0.0, plot=0.0)
    assert (forms, tried.note, tried.reason) == (["kind title plot"], None, None)
    tried, forms = entered(kind=0.0, title=0.0, plot=1e6)
    assert forms == ["kind title plot", "kind title"]
    assert tried.figure is not None
    assert tried.note == "not read: 'plot' has texts so long that it would take too long with them"
    tried, forms = entered(kind=0.0, title=1e6, plot=1e6)
    assert forms == ["kind title plot", "kind title", "kind"]
    assert tried.figure is not None
    assert [one["column"] for one in tried.recipe.candidate.features] == ["kind"]
    tried, forms = entered(kind=1e6, title=1e6, plot=1e6)
    assert forms == ["kind title plot", "kind title", "kind"]
    assert tried.figure is None
    assert tried.reason.startswith("takes about 1000000.0 s")
