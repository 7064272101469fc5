"""The JSON Schema of recipes accepts what ``load`` accepts and refuses what it refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import shortlist as sl
from shortlist.features import FEATURE_KINDS
from shortlist.train.schema import recipe_schema
from shortlist.train.sections import LISTS, NEIGHBOURS, OPTIMIZERS

jsonschema = pytest.importorskip("jsonschema", reason="schemathesis brings it")
ROOT = Path(__file__).parents[2]
FILES = [*ROOT.glob("src/shortlist/train/recipe_files/*.toml"), *ROOT.glob("benchmarks/quality/recipes/*.toml")]


@pytest.fixture(scope="module")
def schema() -> Any:
    jsonschema.Draft202012Validator.check_schema(recipe_schema())
    return jsonschema.Draft202012Validator(recipe_schema())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_our_own_recipes_are_valid(path: Path, schema: Any) -> None:
    import tomllib

    assert len(FILES) > 10
    schema.validate(tomllib.loads(path.read_text("utf-8")))


def test_what_load_makes_is_valid(schema: Any) -> None:
    """Every key with a value, as ``to_dict`` gives it, but those that are null, which TOML does not have."""

    def stripped(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: stripped(value) for key, value in tree.items() if value is not None}
        return [stripped(one) for one in tree] if isinstance(tree, list) else tree

    for name in sl.recipes.names():
        schema.validate(stripped(sl.recipes.load(name).to_dict()))


VALID: dict[str, dict[str, Any]] = {
    "word": {"loss": {"loss": "bsl", "negatives": "catalogue"}},
    "table": {"loss": {"negatives": {"kind": "sampled", "number": 512}}},
    "feature": {"query": {"features": [{"kind": "Discretization", "column": "age", "bins": 8}]}},
    "source": {"sources": [{"kind": "recent", "weight": 0.1, "options": {"half_life": 3.5}}]},
    "towers": {"sources": [{"kind": "towers", "weight": 0.2, "towers": {"als": {}, "model": {"dim": 64}}}]},
    "auto": {"fit": {"epochs": "auto", "batch_size": 256}},
    "optimizer": {"optimizer": {"name": "AdamW", "weight_decay": 0.1}},
    "joined": {"joined": [{"weight": 0.3, "model": {"dim": 8}}]},
    "neighbours": {"neighbours": {"kind": "transitions", "share": 0.5, "options": {"window": 3}}},
}
WRONG: dict[str, dict[str, Any]] = {
    "a key": {"modle": {}},
    "a key of a section": {"model": {"dims": 64}},
    "a type": {"model": {"dim": "64"}},
    "a kind": {"loss": {"negatives": "everything"}},
    "a feature's option": {"query": {"features": [{"kind": "Category", "column": "a", "bins": 3}]}},
    "a feature without a column": {"query": {"features": [{"kind": "Category"}]}},
    "a source without a weight": {"sources": [{"kind": "recent"}]},
    "a source's option": {"sources": [{"kind": "recent", "weight": 0.1, "options": {"window": 3}}]},
    "an optimizer's option": {"optimizer": {"name": "SGD", "beta_1": 0.9}},
    "a neighbour's option": {"neighbours": {"kind": "ease", "options": {"window": 3}}},
}


def made(tree: dict[str, Any]) -> None:
    """The recipe of these values, with everything that it names made."""
    recipe = sl.recipes.load(copy.deepcopy(tree))
    recipe.task()
    recipe.build_optimizer()
    recipe.query.declared()
    for source in recipe.sources:
        if source.towers is None:
            source.settings()
    if recipe.neighbours is not None:
        recipe.neighbours.source()


@pytest.mark.parametrize("name", VALID)
def test_what_is_accepted(name: str, schema: Any) -> None:
    made(VALID[name])
    schema.validate(VALID[name])


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name: str, schema: Any) -> None:
    with pytest.raises(sl.ConfigError):
        made(WRONG[name])
    assert not schema.is_valid(WRONG[name])


def test_every_key_has_its_words() -> None:
    """What an editor shows next to a key; ``id`` and ``kind`` need none."""
    tree = recipe_schema()
    sections = [tree, *tree["$defs"].values()]
    sections += [*tree["properties"]["optimizer"]["oneOf"]]
    sections += tree["$defs"]["TowerSection"]["properties"]["features"]["items"]["oneOf"]
    bare = [key for part in sections for key, shape in part["properties"].items() if not shape.get("description")]
    assert set(bare) <= {"id", "kind"}


def test_every_kind_has_its_options() -> None:
    tree = recipe_schema()
    features = tree["$defs"]["TowerSection"]["properties"]["features"]["items"]["oneOf"]
    assert [one["properties"]["kind"]["const"] for one in features] == list(FEATURE_KINDS)
    optimizers = tree["properties"]["optimizer"]["oneOf"]
    assert [one["properties"]["name"]["const"] for one in optimizers] == list(OPTIMIZERS)
    sources = [one["if"]["properties"]["kind"]["const"] for one in tree["$defs"]["SourceSection"]["allOf"]]
    assert sources == [*NEIGHBOURS, *LISTS]
