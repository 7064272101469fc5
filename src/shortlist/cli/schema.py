"""``shortlist schema``: the JSON Schema of a recipe, for editors."""

from __future__ import annotations

import rich_click as click

from shortlist.cli.console import print_json

__all__ = ["command"]


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of a recipe, for editors that complete and check its keys.

    shortlist schema > recipe.schema.json, and "#:schema ./recipe.schema.json" as the first line of a recipe.
    """
    from shortlist.train.schema import recipe_schema

    print_json(recipe_schema())
