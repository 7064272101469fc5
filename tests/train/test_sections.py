"""A recipe's sections are made from what they configure: what reaches the class is what the recipe says."""

from __future__ import annotations

import msgspec
import pytest

import shortlist as sl
from shortlist.train.sections import options_of


def made_up(value: int, word: str = "a", several: tuple[int, ...] = ()) -> None:
    """A function to make a section of."""


def test_a_section_has_the_names_types_and_defaults_of_a_function() -> None:
    class Both(options_of(made_up, words={"value": "auto"})):
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
    assert options_of(made_up, ["word"])().__struct_fields__ == ("word",)
    assert options_of(made_up, leave=("value", "several"))().__struct_fields__ == ("word",)


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
