"""Fitted features out of what a bundle stores of a tower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from shortlist.features.feature import Feature

__all__ = ["features_from_state"]


def features_from_state(
    side: str, stored: Sequence[Mapping[str, Any]], series: Mapping[str, pl.Series]
) -> dict[str, Feature]:
    """The features of the tower ``side`` by name, in the tower's order.

    stored: of each feature its kind, name and plain state. series: long states by ``side/name/key``.
    """
    from shortlist.features import FEATURE_KINDS

    features = {}
    for one in stored:
        prefix = f"{side}/{one['name']}/"
        long = {name[len(prefix) :]: value for name, value in series.items() if name.startswith(prefix)}
        features[one["name"]] = FEATURE_KINDS[one["kind"]].restore({**one["state"], **long})
    return features
