"""Contenders: what each reads of the tables."""

from __future__ import annotations

import numpy as np
import polars as pl
from tests.choosing.tables import blocks

import shortlist as sl
from shortlist.choosing import choose


def test_features_are_declared_from_the_tables() -> None:
    data = blocks(1500, 90, 60)
    kinds = pl.DataFrame({"what": np.arange(60), "kind": [f"k{one % 8}" for one in range(60)], "one": ["x"] * 60})
    data = sl.Dataset(data.interactions, "who", "what", candidates=kinds)
    choice = choose(data, budget=60)
    (features,) = (one for one in choice.tried if one.name == "features")
    assert features.figure is not None
    assert features.recipe.candidate.features == [{"kind": "Category", "column": "kind"}]
