"""A second stage in a bundle: its arrays among those of the sources and its entry in the manifest, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import BundleError, ConfigError, DataError
from shortlist.recommender.manifest import SAVE_AGAIN, GroupingEntry, StageEntry
from shortlist.recommender.state import State
from shortlist.sources import Grouping, Liking, Network, PairFeatures, SecondStage, Taste

__all__ = ["read_stage", "stage_arrays", "stage_entry"]

OF_LIKING: dict[str, Any] = {"offsets": np.int64, "rows": np.int32, "often": np.float32, "sizes": np.float64}
FARTHEST, LONGEST, GROUPS = 1_000_000, 1_000_000_000, 32_000  # a depth, a history, the groups of a column, at most


def stage_arrays(stage: SecondStage) -> dict[str, NDArray[Any]]:
    """Its arrays by name; the columns that it reads are in the bundle's tables."""
    return {f"stage.{name}": array for name, array in stage.arrays.items()}


def stage_entry(stage: SecondStage) -> StageEntry:
    """The manifest's entry."""
    features = stage.features
    return StageEntry(
        depth=stage.depth,
        length=features.length,
        total=features.total,
        tastes=[_entry(one.grouping) for one in features.tastes],
        likings=[_entry(one.grouping) for one in features.likings],
    )


def read_stage(entry: StageEntry, tensors: Mapping[str, NDArray[Any]], state: State, sources: int) -> SecondStage:
    """The second stage; BundleError where it does not belong to the catalogue of ``state``.

    Args:
        sources: how many sources the mixture has.
    """
    counts = _array(tensors, "counts", np.int64)
    network = Network(*(_array(tensors, f"network.{name}", np.float32) for name in Network._fields))
    if not (1 <= entry.depth <= FARTHEST and 1 <= entry.length <= LONGEST and entry.total >= 0):
        raise _other()
    if counts.shape != (state.size,) or (counts < 0).any():
        raise _other()
    try:
        tastes = [_taste(number, one, tensors, state) for number, one in enumerate(entry.tastes)]
        likings = [_liking(number, one, tensors, state) for number, one in enumerate(entry.likings)]
        features = PairFeatures(counts, tuple(tastes), tuple(likings), entry.total, entry.length)
        stage = SecondStage(features, network, entry.depth)
        stage.check(sources, state.queries, state.candidates)
    except (ConfigError, DataError) as error:
        raise BundleError(f"the bundle's second stage cannot be used: {error}", hint=SAVE_AGAIN) from error
    return stage


def _taste(number: int, entry: GroupingEntry, tensors: Mapping[str, NDArray[Any]], state: State) -> Taste:
    grouping, shares = _grouping(entry), _array(tensors, f"taste-{number}.shares", np.float32)
    if shares.shape != (grouping.size,) or not (np.isfinite(shares) & (shares > 0)).all():
        raise _other()
    return Taste(grouping, grouping.numbers(_column(state.candidates, grouping)), shares)


def _liking(number: int, entry: GroupingEntry, tensors: Mapping[str, NDArray[Any]], state: State) -> Liking:
    found = Liking(
        _grouping(entry), *(_array(tensors, f"liking-{number}.{name}", kind) for name, kind in OF_LIKING.items())
    )
    _column(state.queries, found.grouping)
    shapes = [one.shape for one in (found.offsets, found.often, found.sizes)]
    if shapes != [(found.grouping.size + 1,), found.rows.shape, (found.grouping.size,)] or found.rows.ndim != 1:
        raise _other()
    rises = found.offsets[0] == 0 and found.offsets[-1] == len(found.rows) and not (np.diff(found.offsets) < 0).any()
    if not rises or (len(found.rows) and not 0 <= found.rows.min() <= found.rows.max() < state.size):
        raise _other()
    group = np.repeat(np.arange(found.grouping.size), np.diff(found.offsets))
    if (np.diff(group * state.size + found.rows) <= 0).any():
        raise _other()
    if not all((np.isfinite(one) & (one >= 0)).all() for one in (found.often, found.sizes)):
        raise _other()
    return found


def _entry(grouping: Grouping) -> GroupingEntry:
    return GroupingEntry(
        column=grouping.column, values=list(grouping.values), edges=list(grouping.edges), times=grouping.times
    )


def _grouping(entry: GroupingEntry) -> Grouping:
    """The groups; BundleError where they are not groups of a column."""
    values, edges = entry.values, np.array(entry.edges, np.float64)
    one_kind = len({type(one) for one in values}) <= 1 and len({*values}) == len(values)
    rise = bool(np.isfinite(edges).all()) and not (np.diff(edges) <= 0).any()
    grouping = Grouping(entry.column, tuple(values), tuple(entry.edges), entry.times)
    if not one_kind or not rise or (values and (entry.edges or entry.times)) or not 2 <= grouping.size <= GROUPS:
        raise _other()
    return grouping


def _column(table: pl.DataFrame, grouping: Grouping) -> pl.Series:
    if grouping.column not in table.columns:
        raise BundleError(f"a second stage reads {grouping.column!r}, which the tables lack.", hint=SAVE_AGAIN)
    return table[grouping.column]


def _array(tensors: Mapping[str, NDArray[Any]], name: str, kind: Any) -> NDArray[Any]:
    found = tensors.get(f"stage.{name}")
    if found is None or found.dtype != kind:
        raise _other()
    return found


def _other() -> BundleError:
    return BundleError("the manifest names a second stage that the bundle's arrays are not of.", hint=SAVE_AGAIN)
