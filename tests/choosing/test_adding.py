"""One more source for a mixture: what is tried, what the recipe says, and that the recipe repeats it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.choosing.tables import blocks

import shortlist as sl
from shortlist.choosing import hold_out
from shortlist.choosing.adding import added, further
from shortlist.choosing.blending import best_addition, best_blend
from shortlist.choosing.choice import Tried
from shortlist.choosing.trial import Figure, Trial
from shortlist.evaluation.ranked import PairSums
from shortlist.train import recipes


def tried(name: str, kind: str, value: float, table: str | None = None) -> Tried:
    tree = "als" if table is None else {"towers": "popularity", "neighbours": {"kind": table}}
    recipe = recipes.load(tree)
    sums = PairSums(np.array([value]), np.array([1.0]))
    return Tried(name, kind, 0, recipe, Figure(value, sums, 0.0))


def test_other_towers_and_another_kind_of_table_are_tried() -> None:
    als, factorization = tried("ALS", "towers", 0.4), tried("factorization", "towers", 0.3)
    cosine, counts = (tried(name, "neighbours", 0.3, "cooccurrence") for name in ("cosine", "counts"))
    ease = tried("EASE", "neighbours", 0.2, "ease")
    measured = [als, factorization, cosine, counts, ease, tried("popularity", "popularity", 0.1)]
    assert [one.name for one in further(measured, als, cosine)] == ["factorization", "EASE"]
    assert [one.name for one in further(measured, factorization, ease)] == ["ALS", "cosine"]
    assert further([als, cosine, counts], als, cosine) == []


@pytest.fixture(scope="module")
def trial() -> Trial:
    data = blocks(1500, 90, 60)
    train, held_out, _ = hold_out(data, 0.1, 42)
    return Trial.of(train, train, held_out, None, 0)


def measured(trial: Trial, name: str, kind: str, tree: dict) -> Tried:
    recipe = recipes.load(tree)
    model, _ = recipe.train(trial.train)
    return Tried(name, kind, 0, recipe, trial.measure(model), model=model)


ALS = {"model": {"dim": 8}, "als": {}, "fit": {"epochs": 2}}
FLAT = {"model": {"dim": 4}, "fit": {"epochs": 2, "batch_size": 64}, "loss": {"temperature": 0.5}}


def table(kind: str) -> dict:
    return {"towers": "popularity", "neighbours": {"kind": kind, "share": 0.95}}


@pytest.mark.parametrize("other", [("EASE", "neighbours", table("ease")), ("factorization", "towers", FLAT)])
def test_the_recipe_repeats_the_mixture_bit_for_bit(trial: Trial, other) -> None:
    towers, counts = (
        measured(trial, "ALS", "towers", ALS),
        measured(trial, "counts", "neighbours", table("cooccurrence")),
    )
    blended = best_blend(towers.model, counts.model.neighbours, trial, (0.1, 0.2))  # type: ignore[union-attr, arg-type]
    tree = recipes.load({**ALS, "neighbours": {"kind": "cooccurrence", "share": 0.5, "temperature": 0.1}})
    best = Tried("ALS + counts", "mixture", 20, tree, blended.measure(trial), model=blended.mixture)
    found = added(best, towers, counts, measured(trial, *other), trial)
    assert found.name == f"ALS + counts + {other[0]}"
    assert len(found.mixture.sources) == 3

    written = recipes.load(found.recipe.to_dict())
    assert written == found.recipe
    again, _ = written.train(trial.train)
    assert isinstance(again, sl.Mixture)
    assert again.weights == found.mixture.weights
    known = trial.train.queries["who"].to_list()
    lists = [sl.Recommender(one, seen=trial.train).recommend(known, k=5).to_dicts() for one in (again, found.mixture)]
    assert lists[0] == lists[1]


def test_weights_are_those_of_the_sources_and_useless_ones_get_little(trial: Trial) -> None:
    towers = measured(trial, "ALS", "towers", ALS).model
    counts = sl.Cooccurrence().fit(trial.train)
    blended = best_blend(towers, counts, trial, (0.1,))  # type: ignore[arg-type]
    nothing = sl.Neighbours(np.zeros(len(counts) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    found = best_addition(blended.mixture, nothing, trial)
    assert found.mixture.tables == (counts, nothing)
    assert found.measure(trial).value == pytest.approx(blended.measure(trial).value, abs=0.05)
    listed = best_addition(blended.mixture, sl.Popular().fit(trial.train), trial)
    assert [type(one).__name__ for one in listed.mixture.sources] == ["TwoTower", "Neighbours", "RankedList"]
    exact = trial.measure(listed.odd)
    if listed.even.weights != listed.odd.weights:
        exact = exact.alternated(trial.measure(listed.even))
    assert listed.measure(trial).value == pytest.approx(exact.value)
