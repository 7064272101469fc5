"""The reference of recipes, made from their schema: ``python docs/recipe_keys.py`` writes ``docs/recipe-keys.md``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shortlist.train.schema import recipe_schema

PAGE = Path(__file__).with_name("recipe-keys.md")
HEAD = """# Keys of a recipe

A recipe is a TOML file: `shortlist train --recipe my.toml`, or `sl.recipes.load("my.toml")`. `shortlist train --write-recipe my.toml` writes
the one that was chosen. Every key can be left out unless the table says otherwise, and `--set model.dim=64` changes one on the
command line. A key that does not exist is an error that names the nearest one.

`shortlist schema > recipe.schema.json` writes the same as a JSON Schema. With this first line in a recipe, editors that know
[Taplo's directive](https://taplo.tamasfe.dev/configuration/directives.html), such as VS Code with Even Better TOML, complete and
check its keys:

```toml
#:schema ./recipe.schema.json

[model]
dim = 64

[loss]
temperature = 0.1
```
"""
SECTIONS = {
    "model": "ModelSection",
    "query], [candidate": "TowerSection",
    "history": "HistorySection",
    "loss": "LossSection",
    "als": "ALSSection",
    "optimizer": "",
    "fit": "FitSection",
    "neighbours": "NeighboursSection",
    "[sources]": "SourceSection",
    "ranker": "RankerSection",
    "[joined]": "JoinedSection",
}


def page() -> str:
    """The page: the keys at the top, then each section, then the classes that a section names."""
    schema = recipe_schema()
    parts = schema["$defs"]
    text = HEAD + "\n## At the top\n\n" + _table(schema)
    for name, part in SECTIONS.items():
        section = parts[part] if part else {"description": "The update of weights; not with [als]."}
        text += f"\n## [{name}]\n\n{_cell(section['description'])}\n\n"
        text += _table(section) if "properties" in section else ""
        if name == "optimizer":
            text += _kinds(schema["properties"]["optimizer"]["oneOf"], "name")
        if name == "query], [candidate":
            text += "\nThe kinds of `features`, and their options:\n" + _kinds(
                section["properties"]["features"]["items"]["oneOf"], "kind"
            )
        if name == "loss":
            for key in ("loss", "negatives"):
                for mapped, place in section["properties"][key]["discriminator"]["mapping"].items():
                    part_of = parts[place.rpartition("/")[2]]
                    text += (
                        f'\n### {key} = "{mapped}"\n\n{_cell(part_of["description"])}\n\n{_table(part_of, ("kind",))}'
                    )
        if name == "[sources]":
            for choice in section["allOf"]:
                kind = choice["if"]["properties"]["kind"]["const"]
                text += f'\n### options of kind = "{kind}"\n\n{_table(choice["then"]["properties"]["options"])}'
    return text


def _kinds(tables: list[dict[str, Any]], key: str) -> str:
    """A heading and a table for each class that ``key`` names."""
    text = ""
    for table in tables:
        named = table["properties"][key]
        text += f'\n### {key} = "{named["const"]}"\n\n{_cell(named["description"])}\n\n{_table(table, (key,))}'
    return text


def _table(section: Mapping[str, Any], leave: tuple[str, ...] = ()) -> str:
    """The keys of a section: type, default, meaning."""
    rows = [
        f"| `{key}` | {_kind(shape)} | {_default(key, shape, section)} | {_cell(shape.get('description', ''))} |"
        for key, shape in section["properties"].items()
        if key not in leave
    ]
    return "\n".join(["| key | | default | |", "|---|---|---|---|", *rows, ""]) if rows else "It has no options.\n"


def _kind(shape: Mapping[str, Any]) -> str:
    """The type of a key, in words."""
    if "enum" in shape:
        return ", ".join(f'"{one}"' for one in shape["enum"])
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(_kind(one) for one in shape["anyOf"]))
    if "$ref" in shape:
        return "section"
    words = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "object": "table",
    }
    if shape.get("type") == "array":
        return f"list of {_kind(shape['items'])}s"
    if "oneOf" in shape:
        return "table"
    return words[shape["type"]]


def _default(key: str, shape: Mapping[str, Any], section: Mapping[str, Any]) -> str:
    if key in section.get("required", ()):
        return "required"
    return f"`{json.dumps(shape['default'])}`" if "default" in shape else ""


def _cell(text: str) -> str:
    """Text that stays in its cell and is no markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
