"""Built-in recipes scale with the data: above popularity from a thousand rows to a million, at any density."""

from __future__ import annotations

import numpy as np
import pytest
from tests.choosing.tables import blocks

import shortlist as sl

TABLES = {
    "1,000 rows, dense": (1_000, 40, 50),
    "5,000 rows, sparse": (5_000, 1_500, 800),
    "20,000 rows": (20_000, 800, 400),
    "100,000 rows, sparse": (100_000, 12_000, 16_000),
    "1,000,000 rows": (1_000_000, 40_000, 8_000),
}


def figures(recipe: str, table: str, *changes: str) -> tuple[float, float]:
    """Top-10 of a recipe and of popularity on a held-out tenth, seen items excluded; of 2,000 queries of the largest table."""
    timed = recipe in ("history", "sequence")
    data = blocks(*TABLES[table], timed=timed)
    train, test = sl.split_random(data, test=0.1, seed=1)
    asked = np.unique(test.query_rows)[: 2000 if table.startswith("1,000,000") else None]
    test = test.with_interactions(test.interactions.filter(np.isin(test.query_rows, asked)))
    model, _ = sl.recipes.load(recipe, changes).train(train)
    found = sl.evaluate(model, test, seen=train, ks=(10,))
    return found["model"]["seen_out"]["top_10"], found["popularity"]["seen_out"]["top_10"]


MILLION = "1,000,000 rows"


@pytest.mark.parametrize(
    "table", [pytest.param(one, marks=pytest.mark.slow) if one == MILLION else one for one in TABLES]
)
@pytest.mark.parametrize("recipe", ["als", "factorization"])
def test_recipes_of_ids_are_above_popularity(recipe: str, table: str) -> None:
    few = {"als": "fit.epochs=3", "factorization": "fit.epochs=1"}[recipe]  # the million: constants are as they are
    own, popular = figures(recipe, table, *([few] if table.startswith("1,000,000") else []))
    assert own > popular


@pytest.mark.parametrize("recipe", ["history", "sequence"])
@pytest.mark.parametrize("table", [*TABLES][:3])
def test_recipes_of_histories_are_above_popularity(recipe: str, table: str) -> None:
    own, popular = figures(recipe, table)
    assert own > popular
