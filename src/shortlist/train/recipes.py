"""Recipes as files: small TOML that a person can read and change, the recipes that come with the package, and changes."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import msgspec
import msgspec.inspect

from shortlist.data.argument_checks import checked_path
from shortlist.errors import ConfigError, checked_list, deprecated, did_you_mean
from shortlist.loss.kinds import PARTS
from shortlist.loss.old_names import MOVED, in_tables
from shortlist.train.recipe import Recipe
from shortlist.train.toml import as_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Recipe", "load", "names", "to_toml"]


def to_toml(recipe: Recipe) -> str:
    """The recipe as a file that ``load`` reads: options that differ from the defaults, and every option of its training."""
    plain = recipe.to_dict()
    usual = Recipe().to_dict()
    kept = {name: value for name, value in plain.items() if value != usual.get(name) or name == "fit"}
    return as_toml(kept)


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(Path(entry.name).stem for entry in _files().iterdir() if entry.name.endswith(".toml"))


def load(recipe: str | Path | Mapping[str, Any], changes: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """A recipe with changes.

    Args:
        recipe: its name, a TOML file, or what ``Recipe.to_dict`` returned.
        changes: for example ``"model.dim=64"`` or ``{"model.dim": 64}``.

    Raises:
        ConfigError: for an unknown recipe or key (the hint names the nearest known one) or a wrong value.

    Example:
        >>> load("tutorial", ["model.dim=64"]).model.dim
        64
    """
    tree = copy.deepcopy(dict(recipe)) if isinstance(recipe, Mapping) else _read(recipe)
    pairs = changes.items() if isinstance(changes, Mapping) else map(_parse_change, _listed(changes))
    for path, value in pairs:
        *parents, last = path.split(".")
        node = tree
        for parent in parents:
            if parent in PARTS and isinstance(node.get(parent), str):
                node[parent] = {"kind": node[parent]}  # the section was a word and now gets an option
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(
                    f"the change {path!r} goes through {parent!r}, which is not a section.",
                    hint="write it as section.option=value, such as fit.epochs=10",
                )
        node[last] = value
    named = isinstance(recipe, Mapping)
    return _convert(_with_tables(tree, quiet=named), "of values" if named else str(recipe))


def _listed(changes: object) -> list[str]:
    return checked_list(changes, "recipes.load(changes=)", 'changes such as "model.dim=64"', str)


def _with_tables(tree: dict[str, Any], quiet: bool) -> dict[str, Any]:
    """The tree with each model's loss and negatives as tables, from any form that they were written in.

    Args:
        quiet: without a DeprecationWarning for options that moved, as in what ``to_dict`` of an earlier version gave.
    """
    joined, sources = tree.get("joined"), tree.get("sources")
    towers = [one.get("towers") for one in sources if isinstance(one, dict)] if isinstance(sources, list) else []
    for model in (tree, *(joined if isinstance(joined, list) else ()), *towers):
        if not isinstance(model, dict) or not isinstance(model.get("loss"), dict):
            continue
        for name in () if quiet else [name for name in MOVED if name in model["loss"]]:
            deprecated(f"{name} in [loss]", "{1} in [loss.{0}]".format(*MOVED[name]))
        model["loss"] = in_tables(model["loss"])
    return tree


def _files() -> Any:
    return resources.files("shortlist.train") / "recipe_files"


def _read(recipe: str | Path) -> dict[str, Any]:
    path = checked_path(recipe, "recipes.load(recipe)", "a recipe's name, file or values")
    if path.suffix == ".toml":
        if not path.is_file():
            raise ConfigError(f"there is no recipe file {str(path)!r}.", hint=f"recipes by name: {', '.join(names())}")
        text = path.read_text(encoding="utf-8")
    elif str(recipe) in names():
        text = (_files() / f"{recipe}.toml").read_text(encoding="utf-8")
    else:
        hint = did_you_mean(str(recipe), names()) + ", or give the path of a .toml file"
        raise ConfigError(f"there is no recipe {str(recipe)!r}.", hint=hint)
    try:
        tree: dict[str, Any] = tomllib.loads(text)
        return tree
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"recipe {str(recipe)!r} is not valid TOML: {error}.",
            hint="write text in quotes, section names in square brackets",
        ) from error


def _parse_change(change: str) -> tuple[str, Any]:
    path, equals, value = change.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"the change {change!r} is not of the form key=value.", hint="for example model.dim=64")
    try:
        return path.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return path.strip(), value.strip()


def _convert(tree: dict[str, Any], name: str) -> Recipe:
    try:
        recipe = msgspec.convert(tree, Recipe)
        recipe.check_sources()
        return recipe
    except msgspec.ValidationError as error:
        message = str(error)
        unknown = re.search(r"unknown field `(.+?)`(?: - at `\$\.?(.*)`)?", message)
        if unknown is None:
            part = re.search(r"(?:(loss)|(negatives))(?:\.kind)?`$", message)
            at = re.search(r" - at `\$\.([\w.\[\]]+)`$", message)
            hint = _expected_at(at.group(1)) if at is not None else ""
            hint = hint or "shortlist.recipes.names() lists the recipes; start from a copy of one"
            if part is not None and part.group(part.lastindex or 0) in PARTS:
                hint = f"its kind is one of {', '.join(PARTS[part.group(part.lastindex or 0)])}"
            raise ConfigError(f"recipe {name!r}: {message}.", hint=hint) from error
        field, path = unknown.group(1), unknown.group(2) or ""
        shown = re.sub(r"\[\d+\]", "", path)
        where = f" in [[{shown}]]" if path.endswith("]") else f" in [{shown}]" if shown else ""
        section = _section_at(path, tree)
        hint = did_you_mean(field, [*section.__struct_fields__, *filter(None, [section.__struct_config__.tag_field])])
        raise ConfigError(f"recipe {name!r} has an unknown key {field!r}{where}.", hint=hint) from error


def _expected_at(path: str) -> str:
    """A hint on the values that a key such as ``ranker.held_out`` or ``sources[0].kind`` takes; "" where none are listed."""
    kinds = [msgspec.inspect.type_info(Recipe)]
    for step in re.sub(r"\[\d+\]", "", path).split("."):
        fields = [field for kind in kinds if isinstance(kind, msgspec.inspect.StructType) for field in kind.fields]
        kinds = [kind for field in fields if field.encode_name == step for kind in _kinds_of(field.type)]
    words = [str(value) for kind in kinds if isinstance(kind, msgspec.inspect.LiteralType) for value in kind.values]
    keys = [
        field.encode_name for kind in kinds if isinstance(kind, msgspec.inspect.StructType) for field in kind.fields
    ]
    listed = ", ".join(dict.fromkeys(words or keys))
    if words and any(isinstance(kind, (msgspec.inspect.IntType, msgspec.inspect.FloatType)) for kind in kinds):
        return f"{listed} or a number"
    if words:
        return f"one of {listed}"
    return f"it is a section with the keys {listed}" if keys else ""


def _kinds_of(kind: msgspec.inspect.Type) -> list[msgspec.inspect.Type]:
    """The kind, or those of a union or of a list's items."""
    if isinstance(kind, msgspec.inspect.UnionType):
        return [one for each in kind.types for one in _kinds_of(each)]
    return _kinds_of(kind.item_type) if isinstance(kind, msgspec.inspect.ListType) else [kind]


def _section_at(path: str, tree: Any) -> type[msgspec.Struct]:
    """The section at a path such as ``loss.negatives`` or ``joined[0].als`` of a tree."""
    section: type[msgspec.Struct] = Recipe
    for step in re.findall(r"\w+", path):
        if step.isdigit():
            tree = tree[int(step)]
            continue
        tree = tree[step]
        (field,) = (field for field in msgspec.structs.fields(section) if field.name == step)
        kinds = [kind for kind in (field.type, *get_args(field.type)) if isinstance(kind, type(msgspec.Struct))]
        tags = {kind.__struct_config__.tag: kind for kind in kinds}
        section = tags[tree["kind"]] if len(kinds) > 1 else kinds[0]
    return section
