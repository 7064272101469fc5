"""A recipe's JSON Schema, for editors that complete and check keys: every section, made from the classes that it configures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from shortlist._docstrings import described
from shortlist._public import __version__
from shortlist.features import FEATURE_KINDS, History, StringLookup
from shortlist.loss import ALS, Retrieval
from shortlist.loss.kinds import PARTS
from shortlist.model import Tower
from shortlist.sources import Blend
from shortlist.train.fit import fit
from shortlist.train.ranker import Ranker
from shortlist.train.recipe import Recipe
from shortlist.train.sections import LISTS, NEIGHBOURS, OPTIMIZERS, AddedSection, options_of

__all__ = ["recipe_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
CONFIGURED: dict[str, tuple[Any, ...]] = {
    "ModelSection": (Tower,),
    "TowerSection": (Tower, StringLookup),
    "HistorySection": (History,),
    "LossSection": (Retrieval,),
    "ALSSection": (ALS,),
    "FitSection": (fit,),
    "NeighboursSection": (Blend,),
    "SourceSection": (AddedSection,),
    "JoinedSection": (Recipe,),
    "RankerSection": (Ranker,),
    "TowersSection": (Recipe,),
    **{made.__name__: (made,) for part in PARTS.values() for made in part.values()},
}
"""The classes whose docstrings describe the keys of a section."""


def recipe_schema() -> dict[str, Any]:
    """The schema of a recipe's TOML file, JSON Schema 2020-12."""
    (_,), components = msgspec.json.schema_components([Recipe], ref_template="#/$defs/{name}")
    parts = {name: _section(name, component) for name, component in components.items()}
    parts["TowerSection"]["properties"]["features"]["items"] = _one_of("kind", FEATURE_KINDS)
    for part, kinds in PARTS.items():
        tables = parts["LossSection"]["properties"][part]
        tables["anyOf"] = [
            {"enum": sorted(kinds), "description": "the kind alone, with its defaults"},
            *tables["anyOf"],
        ]
    parts["Recipe"]["properties"]["optimizer"] |= _one_of("name", OPTIMIZERS)
    for name, kinds in (("NeighboursSection", NEIGHBOURS), ("SourceSection", {**NEIGHBOURS, **LISTS})):
        parts[name] |= {"allOf": [_options_if(kind, made) for kind, made in kinds.items()]}
    recipe = parts.pop("Recipe")
    return {"$schema": DIALECT, "title": f"A recipe of shortlist {__version__}"} | recipe | {"$defs": parts}


def _section(name: str, component: Mapping[str, Any]) -> dict[str, Any]:
    """A section with the words of its own docstring and of the classes that it configures."""
    text, words = described(component.get("description"))
    for made in CONFIGURED.get(name, ()):
        head, more = described(made.__doc__)
        text, words = text or head, more | words
    return _component(component, words) | {"description": _plain(text)}


def _component(component: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    """A table of a recipe: its keys with what they mean, and those that it needs."""
    properties = {key: _without_null(shape) for key, shape in component["properties"].items()}
    for key, shape in properties.items():
        if key in words:
            shape["description"] = _plain(words[key])
    return {
        "type": "object",
        "properties": properties,
        "required": component["required"],
        "additionalProperties": False,
    }


def _without_null(shape: Mapping[str, Any]) -> dict[str, Any]:
    """The shape of a key in TOML, which has no null: a key is left out instead. Defaults of sections are theirs."""
    shape = dict(shape)
    if shape.get("default", "") is None or isinstance(shape.get("default"), dict):
        del shape["default"]
    kinds = [kind for kind in shape.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del shape["anyOf"]
        return {**kinds[0], **shape}
    return shape | ({"anyOf": kinds} if kinds else {})


def _one_of(key: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """One of several classes, which ``key`` names, with its options next to it."""
    tables = []
    for kind, made in kinds.items():
        table = _options(made)
        head = _plain(described(made.__doc__)[0].splitlines()[0])
        table["properties"] = {key: {"const": kind, "description": head}, **table["properties"]}
        tables.append(table | {"required": [key, *table["required"]]})
    return {"oneOf": tables}


def _options_if(kind: str, made: Any) -> dict[str, Any]:
    """The options of a source, where its kind is this one."""
    only = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
    return {"if": only, "then": {"properties": {"options": _options(made)}}}


def _options(made: Any) -> dict[str, Any]:
    """The options of a class that a file can hold, so not a fitted vocabulary."""
    section = options_of(made, leave=("vocabulary", "kind"))
    ((_,), components) = msgspec.json.schema_components([section], ref_template="#/$defs/{name}")
    (component,) = components.values()
    component["properties"].pop("kind", None)
    component["required"] = [key for key in component["required"] if key != "kind"]
    return _component(component, described(made.__doc__)[1])


def _plain(text: str) -> str:
    """Text without the marks of code."""
    return re.sub(r"``(.+?)``", r"\1", " ".join(text.split()))
