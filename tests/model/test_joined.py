"""Joined models: their score is the weighted sum that it claims to be, everywhere that a model can be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import shortlist as sl

PEOPLE = [f"p{number}" for number in range(30)]
THINGS = [f"t{number}" for number in range(9)]


@pytest.fixture(scope="module")
def data() -> sl.Dataset:
    """Everybody chose five things in an order of their own; things have a colour."""
    generator = np.random.default_rng(3)
    pairs = [(who, what, time) for who in PEOPLE for time, what in enumerate(generator.permutation(THINGS)[:5])]
    frame = pl.DataFrame(pairs, schema=["who", "what", "time"], orient="row")
    things = {"what": THINGS, "colour": ["red", "green", "blue"] * 3}
    return sl.Dataset(frame, "who", "what", timestamp="time", candidates=things)


def trained(
    data: sl.Dataset, query: Sequence[object], *candidate: object, seed: int = 0, **options: object
) -> sl.TwoTower:
    things = candidate or (sl.StringLookup("what"),)
    model = sl.TwoTower(sl.Tower(*query, dim=4), sl.Tower(*things, dim=4, **options))
    sl.fit(model, data, optimizer=sl.Adam(0.05), epochs=3, batch_size=32, seed=seed)
    return model


@pytest.fixture(scope="module")
def models(data: sl.Dataset) -> list[sl.TwoTower]:
    """Ids with a bias; a short history that shares the items' table; a longer one of the same name beside features."""
    return [
        trained(data, [sl.StringLookup("who")], bias=True, normalize=True),
        trained(data, [sl.History(encoder="transformer", length=2)]),
        trained(
            data, [sl.History(encoder="ema", length=4, share=False)], sl.StringLookup("what"), sl.Category("colour")
        ),
    ]


@pytest.fixture(scope="module")
def joined(models: list[sl.TwoTower]) -> sl.TwoTower:
    return sl.join(models, [0.5, 0.2, 0.3])


def scores(model: sl.TwoTower, queries: pl.DataFrame, things: pl.DataFrame | None = None) -> np.ndarray:
    things = model.catalogue.candidates if things is None else things
    return model.query_vectors(queries) @ model.candidate_vectors(things).T


def test_the_score_is_the_weighted_sum_of_scores_by_their_spread(
    joined: sl.TwoTower, models: list[sl.TwoTower]
) -> None:
    assert joined.dim == 5 + 4 + 4
    expected = 0
    for weight, model in zip([0.5, 0.2, 0.3], models, strict=True):
        own = scores(model, model.with_histories(joined.catalogue.queries))
        expected = expected + weight * own / own.std(1).mean()
    np.testing.assert_allclose(scores(joined, joined.catalogue.queries), expected, atol=1e-5)


def test_a_spread_is_measured_on_some_rows_where_there_are_many(
    models: list[sl.TwoTower], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every third query, from the first to the last, and of every second thing."""
    monkeypatch.setattr("shortlist.model.joined.ROWS", 5)
    joined = sl.join(models[:2])
    queries, things = models[1].with_histories(models[0].catalogue.queries), models[0].catalogue.candidates
    expected = 0
    for model in models[:2]:
        own = scores(model, queries)
        some = own[[0, 7, 14, 21, 29]][:, [0, 2, 4, 6, 8]]
        expected = expected + 0.5 * own / some.std(1).mean()
    np.testing.assert_allclose(scores(joined, queries, things), expected, atol=1e-5)


def test_weights_are_alike_by_default(models: list[sl.TwoTower]) -> None:
    table = models[1].with_histories(models[0].catalogue.queries)
    left, right = (scores(sl.join(models[:2], weights), table) for weights in (None, [0.5, 0.5]))
    assert np.array_equal(left, right)
    more = scores(sl.join(models[:2], [5, 5]), table)
    np.testing.assert_allclose(more, 10 * right, rtol=1e-4, atol=1e-5)


def test_of_histories_under_one_name_each_model_reads_its_own_length(joined: sl.TwoTower, data: sl.Dataset) -> None:
    queries = joined.catalogue.queries
    assert queries.columns == ["who", "history"]
    assert queries["history"].list.len().to_list() == [4] * len(PEOPLE)
    known = joined.with_histories(queries.select("who"))
    assert known["history"].to_list() == queries["history"].to_list()
    guests = sl.Dataset({"who": ["new"] * 5, "what": THINGS[:5], "time": range(5)}, "who", "what", timestamp="time")
    assert joined.with_histories(guests.queries, guests)["history"].to_list() == [THINGS[1:5]]


def test_it_is_measured_saved_exported_and_served_as_any_other(
    joined: sl.TwoTower, data: sl.Dataset, tmp_path: Path
) -> None:
    found = sl.evaluate(joined, data, ks=(3,))
    assert found["model"]["seen_in"]["top_3"] > 0
    recommender = sl.Recommender(joined, seen=data)
    asked = {"who": ["p1", "nobody", "p2"], "history": [["t1", "t2"], ["t3"], None]}
    answers = recommender.recommend(asked, k=4)
    recommender.export()
    recommender.save(tmp_path / "joined.shortlist")
    loaded = sl.Recommender.load(tmp_path / "joined.shortlist")
    assert loaded.is_exported
    assert [answer.ids for answer in loaded.recommend(asked, k=4)] == [answer.ids for answer in answers]
    table = joined.catalogue.queries
    np.testing.assert_allclose(loaded.embed_queries(table), joined.query_vectors(table), atol=1e-5)
    again = loaded.model
    assert np.array_equal(scores(again, table), scores(joined, table))
    with pytest.raises(sl.ConfigError, match="a joined one"):
        sl.join([again, joined])


def test_things_that_training_never_saw_are_found_by_their_features(joined: sl.TwoTower, data: sl.Dataset) -> None:
    recommender = sl.Recommender(joined, index=sl.BruteForce())
    recommender.upsert(pl.DataFrame({"what": ["new"], "colour": ["red"]}))
    answers = recommender.recommend(["p1"], k=10)
    assert "new" in answers[0].ids


def test_fit_refuses_what_is_joined_and_leaves_it_as_it_was(joined: sl.TwoTower, data: sl.Dataset) -> None:
    before = joined.catalogue
    with pytest.raises(sl.ConfigError, match="cannot be trained") as raised:
        sl.fit(joined, data, epochs=1)
    assert "join" in raised.value.hint
    assert joined.catalogue is before


def test_models_that_cannot_be_joined(models: list[sl.TwoTower], data: sl.Dataset) -> None:
    one, other, _ = models
    with pytest.raises(sl.ConfigError, match="got 1 model;"):
        sl.join([one])
    with pytest.raises(sl.ConfigError, match="2 models and 3 weights"):
        sl.join([one, other], [1, 1, 1])
    for weight in (0, -1, float("nan"), True, "much"):
        with pytest.raises(sl.ConfigError, match="a number above 0 was expected"):
            sl.join([one, other], [1, weight])  # type: ignore[list-item]
    with pytest.raises(sl.ConfigError, match="the same model twice"):
        sl.join([one, one])
    with pytest.raises(sl.ConfigError, match="str as model 1"):
        sl.join([one, "other.shortlist"])  # type: ignore[list-item]
    untrained = sl.TwoTower(sl.Tower(sl.StringLookup("who")), sl.Tower(sl.StringLookup("what")))
    with pytest.raises(sl.ConfigError, match="has not been trained"):
        sl.join([one, untrained])
    heads = sl.TwoTower(sl.Tower(sl.StringLookup("who"), heads=2), sl.Tower(sl.StringLookup("what")))
    sl.fit(heads, data, epochs=1)
    with pytest.raises(sl.ConfigError, match="several heads"):
        sl.join([one, heads])
    context = trained(
        data.with_interactions(data.interactions.with_columns(hour=pl.lit("9"))),
        [sl.StringLookup("who"), sl.Category("hour")],
    )
    with pytest.raises(sl.ConfigError, match="reads 'hour' of the interaction itself"):
        sl.join([one, context])


def test_models_of_other_queries_or_candidates(models: list[sl.TwoTower], data: sl.Dataset) -> None:
    fewer = sl.Dataset(data.interactions.filter(pl.col("who") != "p3"), "who", "what", timestamp="time")
    with pytest.raises(sl.DataError, match="model 1 was trained on other queries than model 0"):
        sl.join([models[0], trained(fewer, [sl.StringLookup("who")])])
    fewer = sl.Dataset(data.interactions.filter(pl.col("what") != "t3"), "who", "what", timestamp="time")
    with pytest.raises(sl.DataError, match=r"other candidates than model 0 \('what', 8 ids"):
        sl.join([models[0], trained(fewer, [sl.StringLookup("who")])])


def test_a_model_that_tells_nothing_apart_or_lacks_what_another_reads(
    models: list[sl.TwoTower], data: sl.Dataset
) -> None:
    flat = trained(data, [sl.StringLookup("who")])
    flat.candidate.tables["what:StringLookup"].weight.zero_()
    with pytest.raises(sl.ConfigError, match="model 1 gives every candidate the same score"):
        sl.join([models[0], flat])
    bare = sl.Dataset(data.interactions, "who", "what", timestamp="time", candidates={"what": THINGS})
    with pytest.raises(sl.DataError, match="model 1 knows columns of the candidates that model 0 does not: 'colour'"):
        sl.join([trained(bare, [sl.StringLookup("who")]), models[0]])


RECIPE = """
[model]
dim = 8
[loss]
log_q = "counts"
[fit]
epochs = 1
[[joined]]
weight = 0.25
[joined.model]
dim = 4
[joined.als]
unobserved = 0.2
[joined.fit]
epochs = 2
"""


def test_a_recipe_trains_and_joins_its_models(data: sl.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text(RECIPE)
    recipe = sl.recipes.load(path)
    assert sl.recipes.load(recipe.to_dict()) == recipe
    model, history = recipe.train(data, seed=5)
    assert (model.dim, len(history)) == (12, 1)
    parts = []
    for tree, seed in ((recipe.to_dict(), 5), (recipe.to_dict()["joined"][0], 1005)):
        alone = {key: value for key, value in tree.items() if key not in ("joined", "weight")}
        parts.append(sl.recipes.load(alone).train(data, seed=seed)[0])
    expected = sl.join(parts, [0.75, 0.25])
    assert np.array_equal(scores(model, data.queries), scores(expected, data.queries))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (RECIPE.replace("0.25", "1.0"), "numbers above 0 whose sum is below 1"),
        (RECIPE.replace("0.25", "-0.1"), "numbers above 0 whose sum is below 1"),
        (RECIPE.replace("[joined.als]", "[joined.asl]"), r"unknown key 'asl' in \[\[joined\]\]"),
        (RECIPE.replace("unobserved", "observed"), r"unknown key 'observed' in \[joined.als\]"),
    ],
)
def test_a_recipe_that_cannot_join(text: str, told: str, data: sl.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text(text)
    with pytest.raises(sl.ConfigError, match=told) as raised:
        sl.recipes.load(path).train(data)
    assert raised.value.hint


def test_a_joined_recipe_takes_no_warm_start(data: sl.Dataset, tmp_path: Path, models: list[sl.TwoTower]) -> None:
    path = tmp_path / "both.toml"
    path.write_text(RECIPE)
    with pytest.raises(sl.ConfigError, match="joins 2 models; joined models do not support warm start"):
        sl.recipes.load(path).train(data, warm_start=models[0])
