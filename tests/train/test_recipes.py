"""Recipes as files: read in every form that they were written in, changed by option, refused by name."""

from __future__ import annotations

import pytest

import shortlist as sl


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
        (["fit.epochs=some"], "epochs", "auto or a number"),
        (["fit.precision=float8"], "'float8'", "one of bfloat16, float32"),
        (["model.dim=wide"], "Expected `int`", "recipes.names"),
        (["towers.x=2"], "towers", "one of popularity, recent, trained"),
        (["ranker.held_out=first"], "'first'", "one of auto, last, random"),
        (["ranker=5"], "Expected `object", "it is a section with the keys depth, folds, held_out"),
        (["neighbours.kind=near"], "'near'", "one of cooccurrence, ease, own, transitions"),
    ],
)
def test_keys_and_values_that_cannot_be(changes, says, hint) -> None:
    with pytest.raises(sl.ConfigError, match=says) as raised:
        sl.recipes.load("factorization", changes)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"sources": [{"kind": "popular", "weight": 0.1}, {"kind": "best", "weight": 0.1}]}, "ease, new, own, popular"),
        (
            {"sources": [{"kind": "towers", "weight": 0.1, "towers": {"fit": {"schedule": "slow"}}}]},
            "one of constant, linear, auto",
        ),
        ({"joined": [{"weight": 0.5, "model": {"combine": "mean"}}]}, "one of concat, sum"),
        ({"sources": 3}, "it is a section with the keys kind, weight"),
        ({"sources": [{"kind": "new", "weight": 0.1, "short": {"0": "much"}}]}, "recipes.names"),
    ],
)
def test_the_hint_has_what_a_key_takes_however_deep_it_is(values, hint) -> None:
    with pytest.raises(sl.ConfigError) as raised:
        sl.recipes.load(values)
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
    assert any("exponent in [loss] is deprecated" in str(one.message) for one in said)
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
