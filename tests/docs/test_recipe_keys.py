"""The reference of recipes has every section and key."""

import re

from docs.recipe_keys import page

from shortlist.train.schema import recipe_schema


def test_every_key_of_every_section() -> None:
    text = page()
    tree = recipe_schema()
    for part in (tree, *tree["$defs"].values()):
        for key in part["properties"]:
            assert f"| `{key}` |" in text or key == "kind", key


def test_a_row_says_type_default_and_meaning() -> None:
    assert "| `dim` | whole number | `32` | length of the vector; both towers of a model must agree. |" in page()
    assert "| `weight` | number | required | its share of the score. |" in page()


def test_cells_are_whole() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
