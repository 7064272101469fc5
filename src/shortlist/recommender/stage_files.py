"""A second stage in a bundle: its arrays among those of the sources and its entry in the manifest, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import BundleError, ConfigError
from shortlist.recommender.manifest import SAVE_AGAIN, GroupingEntry, StageEntry
from shortlist.recommender.state import State
from shortlist.sources import Grouping, Liking, Network, PairFeatures, SecondStage, Taste

__all__ = ["read_stage", "stage_arrays", "stage_entry"]

OF_LIKING: dict[str, Any] = {"offsets": np.int64, "rows": np.int32, "often": np.float32}


def stage_arrays(stage: SecondStage) -> dict[str, NDArray[Any]]:
    """Its arrays by name, without each candidate's count and groups, which are in the bundle's table."""
    return {f"stage.{name}": array for name, array in stage.arrays.items()}


def stage_entry(stage: SecondStage) -> StageEntry:
    """The manifest's entry."""
    features = stage.features
    return StageEntry(
        depth=stage.depth,
        length=features.length,
        tastes=[_entry(one.grouping) for one in features.tastes],
        likings=[_entry(one.grouping) for one in features.likings],
    )


def read_stage(entry: StageEntry, tensors: Mapping[str, NDArray[Any]], state: State) -> SecondStage:
    """The second stage; BundleError where it does not belong to the catalogue of ``state``."""
    tastes = [
        Taste(
            grouping,
            grouping.numbers(_column(state.candidates, grouping)),
            _array(tensors, f"taste-{number}.shares", np.float32),
        )
        for number, grouping in enumerate(map(_grouping, entry.tastes))
    ]
    likings = [
        Liking(grouping, *(_array(tensors, f"liking-{number}.{name}", kind) for name, kind in OF_LIKING.items()))
        for number, grouping in enumerate(map(_grouping, entry.likings))
    ]
    network = Network(*(_array(tensors, f"network.{name}", np.float32) for name in Network._fields))
    for liking in likings:
        _column(state.queries, liking.grouping)
        rises = len(liking.offsets) == liking.grouping.size + 1 and not (np.diff(liking.offsets) < 0).any()
        inside = not len(liking.rows) or 0 <= liking.rows.min() <= liking.rows.max() < state.size
        if not (
            rises and inside and liking.offsets[0] == 0 and liking.offsets[-1] == len(liking.rows) == len(liking.often)
        ):
            raise _other()
    if any(len(one.shares) != one.grouping.size or not (one.shares > 0).all() for one in tastes):
        raise _other()
    try:
        return SecondStage(
            PairFeatures(state.counts, tuple(tastes), tuple(likings), entry.length), network, entry.depth
        )
    except ConfigError as error:
        raise BundleError(f"the bundle's second stage cannot be used: {error}", hint=SAVE_AGAIN) from error


def _entry(grouping: Grouping) -> GroupingEntry:
    return GroupingEntry(column=grouping.column, values=list(grouping.values), edges=list(grouping.edges))


def _grouping(entry: GroupingEntry) -> Grouping:
    return Grouping(entry.column, tuple(entry.values), tuple(entry.edges))


def _column(table: pl.DataFrame, grouping: Grouping) -> pl.Series:
    if grouping.column not in table.columns or grouping.size < 2:
        raise BundleError(f"a second stage reads {grouping.column!r}, which the tables lack.", hint=SAVE_AGAIN)
    return table[grouping.column]


def _array(tensors: Mapping[str, NDArray[Any]], name: str, kind: Any) -> NDArray[Any]:
    found = tensors.get(f"stage.{name}")
    if found is None or found.dtype != kind:
        raise _other()
    return found


def _other() -> BundleError:
    return BundleError("the manifest names a second stage that the bundle's arrays are not of.", hint=SAVE_AGAIN)
