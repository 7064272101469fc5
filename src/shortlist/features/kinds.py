"""Every kind of feature by the name under which bundles store it, and fitted features from a bundle's stored values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from shortlist.features.feature import Feature
from shortlist.features.hashing import Hashing
from shortlist.features.history import History
from shortlist.features.lookup import Category, IntegerLookup, StringLookup
from shortlist.features.multi_category import MultiCategory
from shortlist.features.numeric import Discretization, Normalization
from shortlist.features.text import Text
from shortlist.features.timestamp import Timestamp
from shortlist.features.vector import Vector

__all__ = ["FEATURE_KINDS", "features_from_state"]

_KINDS: tuple[type[Feature], ...] = (
    StringLookup,
    IntegerLookup,
    Category,
    MultiCategory,
    Hashing,
    Text,
    Normalization,
    Discretization,
    Timestamp,
    Vector,
    History,
)

FEATURE_KINDS: dict[str, type[Feature]] = {kind.kind: kind for kind in _KINDS}
"""Every kind of feature by the name under which bundles store it."""


def features_from_state(
    side: str, stored: Sequence[Mapping[str, Any]], series: Mapping[str, pl.Series]
) -> dict[str, Feature]:
    """The features of the tower ``side`` by name, in the tower's order.

    Args:
        stored: of each feature its kind, name and plain state.
        series: long states by ``side/name/key``.
    """
    features = {}
    for one in stored:
        prefix = f"{side}/{one['name']}/"
        long = {name[len(prefix) :]: value for name, value in series.items() if name.startswith(prefix)}
        features[one["name"]] = FEATURE_KINDS[one["kind"]].restore({**one["state"], **long})
    return features
