"""A second stage is learned from choices that the first did not see; as recipe, on the command line, and what it refuses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.errors import ConfigError, DataError, ShortlistError
from shortlist.sources import PairFeatures

PEOPLE, FILMS = 60, 30


def data(timestamp: bool = True, weight: bool = False) -> sl.Dataset:
    """People of two lands choose films of the kind that their land likes; the ids tell that to no model that has few of them."""
    rng = np.random.default_rng(0)
    rows = []
    for one in range(PEOPLE):
        mine = [film for film in range(FILMS) if film % 2 == one % 2]
        rows += [(one, film, at, float(at != 2)) for at, film in enumerate(rng.choice(mine, 4, replace=False).tolist())]
    frame = pl.DataFrame(rows, schema=["who", "film", "at", "w"], orient="row")
    queries = {"who": list(range(PEOPLE)), "land": ["kr" if one % 2 else "fi" for one in range(PEOPLE)]}
    candidates = {"film": list(range(FILMS)), "kind": ["x" if one % 2 else "y" for one in range(FILMS)]}
    options: dict[str, Any] = {"timestamp": "at"} if timestamp else {}
    options |= {"weight": "w"} if weight else {}
    return sl.Dataset(frame, "who", "film", queries=queries, candidates=candidates, **options)


def popular(part: sl.Dataset) -> sl.TwoTower:
    return sl.popularity(part)


QUICK = sl.Ranker(depth=20, folds=3, epochs=60, hidden=8, learning_rate=0.02)


@pytest.mark.parametrize("held_out", ["last", "random"])
def test_it_learns_what_columns_have_to_do_with_choices(held_out: Any) -> None:
    split = sl.split_last(data())
    model = replace(QUICK, held_out=held_out).fit(popular, split.train)
    figures = [
        sl.evaluate(one, split.test, seen=split.train, ks=(5,), metrics=["top"], baselines=()).to_dict()["model"]
        for one in (model, model.with_stage(None, split.train))
    ]
    staged, plain = (one["seen_out"]["top_5"] for one in figures)
    assert staged > 1.3 * plain
    lists = sl.Recommender(model, seen=split.train).recommend([0, 1], k=6)
    assert [{film % 2 for film in one.ids} for one in lists] == [{0}, {1}]


@pytest.mark.parametrize(("options", "times"), [({}, 2), ({"held_out": "random"}, 4), ({"held_out": "last"}, 2)])
def test_the_first_stage_is_trained_on_each_part_and_never_sees_what_is_held_out(options: Any, times: int) -> None:
    train, parts = data(), []

    def first_stage(part: sl.Dataset) -> sl.TwoTower:
        parts.append(part)
        return sl.popularity(part)

    ranker = replace(QUICK, epochs=1, **options)
    model = ranker.fit(first_stage, train)
    assert isinstance(model, sl.Mixture)
    assert len(parts) == times == ranker.trainings(train)
    assert parts[0] is train
    held = [train.interactions.join(one.interactions, on=["who", "film"], how="anti") for one in parts[1:]]
    assert all(len(one.interactions) + len(gone) == len(train) for one, gone in zip(parts[1:], held, strict=True))
    if times == 4:
        assert pl.concat(held).sort("who", "film").equals(train.interactions.sort("who", "film"))
    for one in parts:
        assert one.queries is train.queries
        assert one.candidates is train.candidates
    parts.clear()
    ranker.fit(first_stage, train, trained=sl.popularity(train))
    assert len(parts) == times - 1


def test_one_seed_is_one_network_and_leaves_torch_as_it_was() -> None:
    ranker, train = replace(QUICK, epochs=2), data(timestamp=False)
    first, same, other = (ranker.fit(popular, train, seed=seed) for seed in (1, 1, 2))
    networks = [one.stage.network for one in (first, same, other) if one.stage is not None]
    assert all(np.array_equal(*both) for both in zip(networks[0], networks[1], strict=True))
    assert not np.array_equal(networks[0].inner, networks[2].inner)
    assert first.stage is not None
    assert (first.stage.depth, first.stage.network.inner.shape[0]) == (20, 8)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    ranker._learned(np.ones((3, 20, 4), np.float32), np.ones((3, 20), np.float32), 7)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("lists", [2, 7, 10_000])
@pytest.mark.parametrize("held_out", ["last", "random"])
def test_it_learns_from_no_more_lists_than_it_may_and_from_as_many(
    monkeypatch: pytest.MonkeyPatch, lists: int, held_out: Any
) -> None:
    found: list[int] = []
    learned = sl.Ranker._learned
    monkeypatch.setattr(
        sl.Ranker, "_learned", lambda self, *given: found.append(len(given[0])) or learned(self, *given)
    )
    replace(QUICK, epochs=1, lists=lists, held_out=held_out, depth=FILMS).fit(popular, data())
    assert found[0] <= max(lists, 3)
    if held_out == "last":
        assert found[0] == min(lists, PEOPLE)


def test_a_list_is_as_long_as_there_are_candidates_left() -> None:
    """Places beyond its end are padded: a depth of more than all candidates is none of the network's business."""
    deep, all_ = (replace(QUICK, depth=depth, epochs=2, dropout=0.0).fit(popular, data()) for depth in (FILMS, 200))
    assert deep.stage is not None
    assert all_.stage is not None
    for one, other in zip(deep.stage.network, all_.stage.network, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_choices_without_weight_are_none() -> None:
    train = data(timestamp=False, weight=True)
    alone = train.with_interactions(train.interactions.filter(pl.col("w") > 0))
    found = [replace(QUICK, epochs=1).fit(popular, one).stage for one in (train, alone)]
    assert all(one is not None for one in found)
    assert np.array_equal(found[0].network.inner, found[1].network.inner)  # type: ignore[union-attr]
    assert found[0].features.total == PEOPLE * 3  # type: ignore[union-attr]


def test_a_mixture_with_histories_and_a_tower_with_columns_can_be_first() -> None:
    def first_stage(part: sl.Dataset) -> sl.Mixture:
        towers = sl.TwoTower(sl.Tower(sl.Category("land"), dim=4), sl.Tower(sl.Category("kind"), dim=4))
        sl.fit(towers, part, epochs=1, batch_size=32)
        sources = [towers, sl.popularity(part), sl.Transitions().fit(part), sl.Popular(by="land", least=1).fit(part)]
        return sl.Mixture(sources, part, by_history={1: [1, 0, 0, 0]})

    model = replace(QUICK, epochs=1).fit(first_stage, data())
    assert model.stage is not None
    assert len(model.stage.network.mean) == PairFeatures.of(data()).width(4)
    assert len(sl.Recommender(model, seen=data()).recommend([0, 404], k=3)) == 2


WRONG: dict[str, Any] = {
    "held_out": "all", "depth": 1, "folds": 1, "hidden": 0, "epochs": 0, "lists": 1.5, "learning_rate": -1, "weight_decay": "a",
    "dropout": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Ranker got {name}="):
        sl.Ranker(**{name: WRONG[name]})


def test_what_cannot_be_learned_is_refused_before_anything_is_trained() -> None:
    def never(part: sl.Dataset) -> sl.TwoTower:
        raise AssertionError("it was trained")

    train = data(timestamp=False)
    with pytest.raises(ConfigError, match="Ranker divides 2 choices into 3 folds"):
        QUICK.fit(never, train.with_interactions(train.interactions[:2]))
    with pytest.raises(DataError, match="timestamp") as raised:
        replace(QUICK, held_out="last").fit(never, train)
    assert 'held_out="random"' in str(raised.value.hint)
    single = data().with_interactions(data().interactions[::4])
    with pytest.raises(DataError, match="no query has more than 1 interaction") as raised:
        QUICK.fit(never, single)
    assert "--set ranker.held_out=random" in str(raised.value.hint)
    at_random = replace(QUICK, held_out="random", epochs=1).fit(popular, single)  # the way out
    assert at_random.stage is not None
    with pytest.raises(DataError, match=r"Ranker\.fit\(train\)"):
        QUICK.fit(never, "log.csv")  # type: ignore[arg-type]


def test_first_stages_that_cannot_have_a_second_are_refused() -> None:
    train, calls = data(), []
    staged = replace(QUICK, epochs=1).fit(popular, train)
    quota = sl.Mixture([sl.popularity(train), sl.Recent().fit(train)], train, quotas=[0, 0.2])
    for model, words in ((staged, "a mixture with a second stage"), (quota, "a mixture with quotas")):
        with pytest.raises(ConfigError, match=words):
            QUICK.fit(lambda part: calls.append(part) or model, train)  # noqa: B023
    bare = sl.Dataset(train.interactions, "who", "film", timestamp="at")
    with pytest.raises(ConfigError, match="which the towers' table of candidates lacks"):
        QUICK.fit(lambda part: calls.append(part) or sl.popularity(bare), train)
    assert len(calls) == 3
    log = {"who": [0, 0], "film": [0, FILMS - 1], "at": [1, 2]}
    far = sl.Dataset(log, "who", "film", timestamp="at", candidates={"film": [*range(FILMS)]})
    with pytest.raises(ConfigError, match="none of the held-out choices is in a list"):
        replace(QUICK, depth=2).fit(popular, far)


RECIPE = """
towers = "popularity"
[ranker]
depth = 20
epochs = 2
[neighbours]
kind = "transitions"
share = 0.4
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    (tmp_path / "staged.toml").write_text(RECIPE)
    return tmp_path / "staged.toml"


def test_a_recipe_has_it_as_a_section(recipe_file: Path, tmp_path: Path) -> None:
    recipe = sl.recipes.load(recipe_file)
    assert recipe.ranker is not None
    assert recipe.ranker.settings() == sl.Ranker(depth=20, epochs=2)
    assert recipe.counts
    again = sl.recipes.load(recipe.to_dict())
    assert again == recipe
    (tmp_path / "b.toml").write_text(sl.recipes.to_toml(recipe))
    assert sl.recipes.load(tmp_path / "b.toml") == recipe
    plain = sl.recipes.load({"towers": "popularity"})
    assert plain.ranker is None
    assert "ranker" not in sl.recipes.to_toml(plain)
    model, _ = recipe.train(data())
    assert isinstance(model, sl.Mixture)
    assert model.stage is not None
    assert model.stage.depth == 20
    for wrong in ({"folds": 1}, {"more": 1}, {"depth": "deep"}):
        with pytest.raises(ConfigError):
            sl.recipes.load({"towers": "popularity", "ranker": wrong})


def test_options_of_the_training_are_those_of_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from shortlist.train import model_section

    seen: list[tuple[int, dict[str, Any]]] = []
    fit = model_section.fit
    monkeypatch.setattr(model_section, "fit", lambda model, part, *given, **options: seen.append((len(part), options)) or fit(model, part, *given, **options))  # fmt: skip
    recipe = sl.recipes.load(
        {"fit": {"epochs": 1}, "ranker": {"epochs": 1, "depth": 9, "held_out": "random", "folds": 2}}
    )
    recipe.train(data(), seed=9, batch_size=16, device="cpu", on_epoch=lambda *_: None)
    assert [rows for rows, _ in seen] == [PEOPLE * 4, PEOPLE * 2, PEOPLE * 2]
    assert all((one["seed"], one["batch_size"], str(one["device"])) == (9, 16, "cpu") for _, one in seen)
    assert ["on_epoch" in one and one["on_epoch"] is not None for _, one in seen] == [True, False, False]


def test_a_recipe_is_refused_before_its_towers_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the second stage cannot be learned from is known before the first is trained."""
    recipe = sl.recipes.load({"fit": {"epochs": 1}, "ranker": {"epochs": 1, "held_out": "last"}})
    pl.DataFrame(data().interactions).write_parquet(tmp_path / "log.parquet")
    shards = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", query="who", candidate="film")
    monkeypatch.setattr(type(recipe), "train_towers", lambda *given, **options: pytest.fail("towers were trained"))
    for given, words in (
        (data(timestamp=False), "no timestamp"),
        (data().with_interactions(data().interactions[::4]), "no query has more than 1 interaction"),
        (shards, "trained in memory"),
    ):
        with pytest.raises(ShortlistError, match=words):
            recipe.train(given)
    few = data(timestamp=False)
    with pytest.raises(ConfigError, match="Ranker divides 2 choices into 5 folds"):
        sl.recipes.load({"ranker": {}}).train(few.with_interactions(few.interactions[:2]))


def test_what_it_does_not_support_is_refused_with_words(tmp_path: Path) -> None:
    recipe = sl.recipes.load({"towers": "popularity", "ranker": {"epochs": 1}})
    with pytest.raises(ConfigError, match=r"a recipe with \[ranker\] is trained in memory"):
        recipe.check_from_disk()
    pl.DataFrame(data().interactions).write_parquet(tmp_path / "log.parquet")
    shards = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", query="who", candidate="film")
    with pytest.raises(ConfigError, match=r"a recipe with \[ranker\] is trained in memory"):
        recipe.train(shards)
    with pytest.raises(
        ConfigError, match=r"trains its first stage several times, for \[ranker\]; that does not support warm start"
    ):
        recipe.train(data(), warm_start=sl.WarmStart(sl.popularity(data())))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys.modules["shortlist.train.recipe"], "joined", lambda: SimpleNamespace(size=2, first=True))
        with pytest.raises(ConfigError, match=r"for \[ranker\]; that does not support several processes"):
            recipe.train(data())
    quota = {"ranker": {}, "sources": [{"kind": "popular", "weight": 0.1, "quota": 0.1}]}
    with pytest.raises(ConfigError, match=r"the recipe has quotas and \[ranker\]"):
        sl.recipes.load(quota)
