"""A recipe's sections are made from what they configure: what reaches the class is what the recipe says."""

from __future__ import annotations

import msgspec
import pytest

import shortlist as sl
from shortlist.train.sections import options_of


def one(value: int, word: str = "a", several: tuple[int, ...] = ()) -> None:
    """A function to make a section of."""


def test_a_section_has_the_names_types_and_defaults_of_a_function() -> None:
    class Both(options_of(one, words={"value": "auto"})):
        pass

    assert msgspec.convert({"value": 3}, Both) == Both(value=3, word="a")
    assert msgspec.convert({"value": "auto", "word": "b"}, Both) == Both(value="auto", word="b")
    for tree, says in (
        ({}, "missing required field `value`"),
        ({"value": "other"}, "Invalid enum value 'other'"),
        ({"value": 1, "word": 2}, "Expected `str`"),
        ({"value": 1, "more": 2}, "unknown field `more`"),
    ):
        with pytest.raises(msgspec.ValidationError, match=says):
            msgspec.convert(tree, Both)
    with pytest.raises(AttributeError):
        Both(value=3).value = 4


def test_only_some_options_or_all_but_some() -> None:
    assert options_of(one, ["word"])().__struct_fields__ == ("word",)
    assert options_of(one, leave=("value", "several"))().__struct_fields__ == ("word",)


@pytest.mark.parametrize(
    ("section", "key", "value", "reaches"),
    [
        ("model", "layer_norm", True, lambda model, _: model.candidate.shape.layer_norm),
        ("model", "bias", True, lambda model, _: model.candidate.bias),
        ("query", "heads", 3, lambda model, _: model.query.heads),
        ("query", "hidden", [5], lambda model, _: list(model.query.shape.hidden)),
        ("candidate", "min_count", 2, lambda model, _: model.candidate.features["item:IntegerLookup"].min_count),
        ("history", "decay", 0.3, lambda model, _: next(iter(model.query.histories.values())).decay),
        ("loss", "hardest", 4, lambda _, task: task.hardest),
        ("als", "exponent", 0.5, lambda _, task: task.exponent),
    ],
)
def test_an_option_reaches_what_it_is_of(section, key, value, reaches) -> None:
    data = sl.Dataset({"user": [0, 1], "item": [0, 1]}, query="user", candidate="item")
    recipe = sl.recipes.load({section: {key: value}} | ({"query": {"id": False}} if section == "history" else {}))
    found = reaches(recipe.build_model(data), recipe.task())
    assert found == value


def test_loss_and_negatives_are_words_or_tables() -> None:
    words = sl.recipes.load({"loss": {"loss": "bsl", "negatives": "sampled"}})
    tables = sl.recipes.load({"loss": {"loss": {"kind": "bsl"}, "negatives": {"kind": "sampled", "number": 1024}}})
    assert words == tables
    assert (words.task().loss, words.task().negatives) == (sl.BSL(), sl.Sampled(1024))
    assert sl.recipes.load(words.to_dict()) == words


@pytest.mark.parametrize(
    ("changes", "says", "hint"),
    [
        (["loss.loss=hinge"], "Invalid value 'hinge'", "its kind is one of softmax, bsl, bpr, ccl"),
        (["loss.negatives.number=3"], "missing required field `kind`", "batch, sampled, mixed, catalogue"),
        (["loss.negatives=3"], "Expected `object`", "batch, sampled, mixed, catalogue"),
        (["loss.negatives=mixed", "loss.negatives.size=3"], r"'size' in \[loss.negatives\]", "kind, number, power"),
        (["loss.negatives=catalogue", "loss.negatives.number=3"], r"'number' in \[loss.negatives\]", "known: kind"),
        (["loss.hardness=3"], r"'hardness' in \[loss\]", "did you mean 'hardest'"),
        (["model.dims=3"], r"'dims' in \[model\]", "did you mean 'dim'"),
        (["fit.epochs=some"], "epochs", "recipes.names"),
        (["towers.x=2"], "towers", "recipes.names"),
    ],
)
def test_keys_and_values_that_cannot_be(changes, says, hint) -> None:
    with pytest.raises(sl.ConfigError, match=says) as raised:
        sl.recipes.load("factorization", changes)
    assert hint in raised.value.hint


OLD = """
[model]
dim = 4
[loss]
temperature = 0.5
loss = "bsl"
exponent = 1.3
margin = 0.7
negatives = "mixed"
sampled = 5
sample_power = 0.5
correct_positive = false
[fit]
epochs = 1
[[joined]]
weight = 0.25
[joined.loss]
label_smoothing = 0.1
"""
NEW = """
[model]
dim = 4
[loss]
temperature = 0.5
loss = { kind = "bsl", exponent = 1.3, correct_positive = false }
negatives = { kind = "mixed", number = 5, power = 0.5 }
[fit]
epochs = 1
[[joined]]
weight = 0.25
[joined.loss.loss]
kind = "softmax"
label_smoothing = 0.1
"""


def test_a_recipe_of_an_earlier_version_is_read(tmp_path) -> None:
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text(OLD)
    new.write_text(NEW)
    with pytest.warns(DeprecationWarning, match=r"in \[loss\] is deprecated") as said:
        found = sl.recipes.load(old)
    assert "exponent in [loss] is deprecated" in str(said[0].message) or len(said) == 6
    assert any("use exponent in [loss.loss]" in str(one.message) for one in said)
    assert any("use number in [loss.negatives]" in str(one.message) for one in said)
    assert found == sl.recipes.load(new)


@pytest.mark.filterwarnings("error")
def test_what_an_earlier_version_kept_in_a_bundle_is_read_without_a_word() -> None:
    """``to_dict`` gave every loose option, whether it had an effect or not."""
    loose = {
        "temperature": 0.1, "remove_accidental_hits": True, "log_q": None, "loss": "softmax", "negatives": "catalogue",
        "sampled": 1024, "sample_power": 0.0, "mask_known": True, "correct_positive": True, "label_smoothing": 0.0,
        "learn_temperature": False, "exponent": 1.0, "margin": 0.8, "negative_weight": 1.0, "hardest": None, "mined": 0,
        "negative_column": None, "impressions": 8,
    }  # fmt: skip
    task = sl.recipes.load({"loss": loose}).task()
    assert (task.loss, task.negatives, task.temperature) == (sl.Softmax(), sl.WholeCatalogue(), 0.1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_changes_in_old_names_meet_a_recipe_in_new_ones() -> None:
    recipe = sl.recipes.load(
        "history", ["loss.negatives=sampled", "loss.sampled=9", "loss.loss=bsl", "loss.exponent=2.0"]
    )
    assert (recipe.task().negatives, recipe.task().loss) == (sl.Sampled(9), sl.BSL(2.0))


def test_a_written_recipe_is_read_to_the_same(tmp_path) -> None:
    recipe = sl.recipes.load("factorization", ["loss.negatives=mixed", "loss.negatives.power=0.5", "query.hidden=[8]"])
    path = tmp_path / "written.toml"
    path.write_text(sl.recipes.to_toml(recipe))
    assert sl.recipes.load(path) == recipe


SOURCES = """
towers = "popularity"
temperature = 2.0
[[sources]]
kind = "transitions"
weight = 0.3
[sources.options]
window = 3
[[sources]]
kind = "towers"
weight = 0.2
temperature = 0.5
[sources.towers.model]
dim = 4
[sources.towers.fit]
epochs = 1
seed = 7
[[sources]]
kind = "popular"
weight = 0.1
[sources.options]
by = "land"
least = 1
"""


def logged() -> sl.Dataset:
    rows = {"user": [n % 9 for n in range(90)], "item": [(n * n) % 13 for n in range(90)], "day": list(range(90))}
    lands = {"user": list(range(9)), "land": ["kr", "fi", "kr"] * 3}
    return sl.Dataset(rows, "user", "item", timestamp="day", queries=lands)


def test_sources_of_a_recipe(tmp_path) -> None:
    """Written and read, and trained to the same: towers first, then neighbours, then lists, whatever their order."""
    (tmp_path / "many.toml").write_text(SOURCES)
    recipe = sl.recipes.load(tmp_path / "many.toml")
    (tmp_path / "again.toml").write_text(sl.recipes.to_toml(recipe))
    assert sl.recipes.load(tmp_path / "again.toml") == recipe == sl.recipes.load(recipe.to_dict())
    data = logged()
    model, _ = recipe.train(data)
    again, _ = sl.recipes.load(tmp_path / "again.toml").train(data)
    assert isinstance(model, sl.Mixture)
    assert [type(one).__name__ for one in model.sources] == ["TwoTower", "TwoTower", "Neighbours", "RankedList"]
    assert model.weights.values == pytest.approx((0.4, 0.2, 0.3, 0.1))
    assert model.weights.temperatures == (2.0, 0.5)
    assert model.lists[0].values == ("fi", "kr")
    found = [sl.Recommender(one, seen=data).recommend(list(range(9)), k=5).to_dicts() for one in (model, again)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("weight = 0.3", "weight = 0.9", "whose sum is below 1"),
        ("weight = 0.3", "weight = 0.0", "numbers above 0"),
        ("window = 3", "windows = 3", "have no option 'windows'"),
        ('kind = "transitions"', 'kind = "towers"', "no section of towers"),
        ('kind = "towers"', 'kind = "ease"', "a section of towers"),
        ("weight = 0.3", "share = 0.3", r"unknown key 'share' in \[\[sources\]\]"),
        ('kind = "popular"', 'kind = "best"', "Invalid enum value 'best'"),
    ],
)
def test_sources_that_cannot_be(before: str, after: str, words: str, tmp_path) -> None:
    (tmp_path / "bad.toml").write_text(SOURCES.replace(before, after))
    with pytest.raises(sl.ConfigError, match=words):
        sl.recipes.load(tmp_path / "bad.toml").train(logged())


def test_sources_need_memory_and_one_process(tmp_path) -> None:
    (tmp_path / "many.toml").write_text(SOURCES)
    recipe = sl.recipes.load(tmp_path / "many.toml")
    with pytest.raises(sl.ConfigError, match="whole histories in memory"):
        recipe.check_from_disk()
    with pytest.raises(sl.ConfigError, match="does not support warm start"):
        recipe.train(logged(), warm_start=sl.popularity(logged()))
