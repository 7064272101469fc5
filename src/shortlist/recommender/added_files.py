"""The sources of a mixture in a bundle: their arrays and their entries in the manifest, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shortlist.errors import BundleError
from shortlist.index import Lists
from shortlist.recommender.manifest import (
    SAVE_AGAIN,
    ListEntry,
    Manifest,
    NeighboursEntry,
    SourceEntry,
    TowersEntry,
    WeightedEntry,
    WeightsEntry,
)
from shortlist.recommender.stage_files import read_stage, stage_arrays, stage_entry
from shortlist.recommender.state import State
from shortlist.sources import Added, Blend, Neighbours, RankedList, Weights, checked_quotas

__all__ = [
    "PAIR",
    "SOURCES",
    "added_files",
    "mixing_entries",
    "pair_entry",
    "read_added",
    "read_pair",
    "sources_entries",
]

PAIR, SOURCES = "neighbours.safetensors", "sources.safetensors"
TABLE: dict[str, Any] = {"offsets": np.int64, "columns": np.int32, "weights": np.float32}
LIST: dict[str, Any] = {"offsets": np.int64, "rows": np.int32}
HISTORIES: dict[str, Any] = {"history_offsets": np.int64, "history_values": np.int64}


def added_files(added: Added) -> dict[str, dict[str, NDArray[Any]]]:
    """The arrays of the sources by file: of one pair of towers and one table as bundles always had it, else of all."""
    histories = {"history_offsets": added.histories.offsets, "history_values": added.histories.values}
    arrays = _typed(histories, HISTORIES)
    if added.pair is not None:
        (table,) = added.tables
        return {PAIR: {**_table(table), **arrays}}
    for number, table in enumerate(added.tables):
        arrays |= {f"table-{number}.{name}": array for name, array in _table(table).items()}
    for number, ranked in enumerate(added.lists):
        own = _typed({"offsets": ranked.offsets, "rows": ranked.rows}, LIST)
        arrays |= {f"list-{number}.{name}": array for name, array in own.items()}
    return {SOURCES: arrays if added.stage is None else arrays | stage_arrays(added.stage)}


def pair_entry(added: Added | None) -> NeighboursEntry | None:
    """The manifest's entry of one pair of towers and one table; None for any other model."""
    blend = None if added is None else added.pair
    if added is None or blend is None:
        return None
    (table,) = added.tables
    return NeighboursEntry(
        kind=table.kind, age=table.age, length=table.length, share=blend.share, temperature=blend.temperature
    )


def sources_entries(added: Added | None) -> list[SourceEntry] | None:
    """The manifest's entries of the sources of any other mixture, in their order; None for any other model."""
    if added is None or added.pair is not None:
        return None
    weights = added.weights
    towers = zip(weights.of_towers, weights.temperatures, ("", *added.towers), strict=True)
    entries: list[SourceEntry] = [
        TowersEntry(weight=weight, temperature=temperature, fingerprint=fingerprint)
        for weight, temperature, fingerprint in towers
    ]
    of_tables, of_lists = weights.of_others[: len(added.tables)], weights.of_others[len(added.tables) :]
    for table, weight in zip(added.tables, of_tables, strict=True):
        entries.append(WeightedEntry(weight=weight, kind=table.kind, age=table.age, length=table.length))
    for one, weight in zip(added.lists, of_lists, strict=True):
        entries.append(
            ListEntry(
                weight=weight, kind=one.kind, by=one.by, values=list(one.values), length=one.length, newest=one.newest
            )
        )
    return entries


def mixing_entries(added: Added | None) -> dict[str, Any]:
    """The manifest's entries of weights by the length of histories, of quotas and of a second stage; none where a mixture has none."""
    entries: dict[str, Any] = {}
    if added is not None and added.by_history:
        entries["by_history"] = [
            WeightsEntry(most=most, weights=list(weights.values)) for most, weights in added.by_history
        ]
    if added is not None and added.quotas:
        entries["quotas"] = list(added.quotas)
    if added is not None and added.stage is not None:
        entries["stage"] = stage_entry(added.stage)
    return entries


def read_pair(entry: NeighboursEntry, tensors: Mapping[str, NDArray[Any]], state: State) -> Added:
    """One pair of towers and one table; BundleError where the table is not one of this catalogue."""
    _check_types(tensors, {**TABLE, **HISTORIES}, PAIR)
    table = _neighbours("", entry, tensors)
    weights = Blend(entry.share, entry.temperature).weights
    return _checked(Added((table,), (), _histories(tensors), weights), state, PAIR)


def _neighbours(prefix: str, entry: NeighboursEntry | WeightedEntry, tensors: Mapping[str, NDArray[Any]]) -> Neighbours:
    offsets, columns, weights = (tensors[prefix + name] for name in TABLE)
    return Neighbours(offsets, columns, weights, entry.age, entry.length, entry.kind)


def read_added(manifest: Manifest, tensors: Mapping[str, NDArray[Any]], state: State) -> Added:
    """The sources of any other mixture; BundleError where they are not of this catalogue."""
    entries = manifest.sources or []
    towers = [one for one in entries if isinstance(one, TowersEntry)]
    of_tables = [one for one in entries if isinstance(one, WeightedEntry)]
    of_lists = [one for one in entries if isinstance(one, ListEntry)]
    if (
        not towers
        or list(entries) != [*towers, *of_tables, *of_lists]
        or any(not one.fingerprint for one in towers[1:])
    ):
        raise BundleError("the manifest names no sources that a mixture can have.", hint=SAVE_AGAIN)
    expected = dict(HISTORIES)
    for number in range(len(of_tables)):
        expected |= {f"table-{number}.{name}": dtype for name, dtype in TABLE.items()}
    for number in range(len(of_lists)):
        expected |= {f"list-{number}.{name}": dtype for name, dtype in LIST.items()}
    _check_types(tensors, expected, SOURCES)
    stage = (
        None
        if isinstance(manifest.stage, msgspec.UnsetType)
        else read_stage(manifest.stage, tensors, state, len(entries))
    )
    tables = [_neighbours(f"table-{number}.", one, tensors) for number, one in enumerate(of_tables)]
    lists = [
        RankedList(
            tensors[f"list-{number}.offsets"], tensors[f"list-{number}.rows"],
            size=len(state.candidates), kind=one.kind, by=one.by, values=tuple(one.values), length=one.length,
            newest=one.newest,
        )
        for number, one in enumerate(of_lists)
    ]  # fmt: skip
    for ranked in lists:
        for name, table in ((ranked.by, state.queries), (ranked.newest, state.candidates)):
            if name is not None and name not in table.columns:
                raise BundleError(f"a ranked list reads {name!r}, which the tables lack.", hint=SAVE_AGAIN)
    weights = Weights(tuple(one.weight for one in entries), tuple(one.temperature for one in towers))
    others = tuple(one.fingerprint for one in towers[1:])
    added = Added(tuple(tables), tuple(lists), _histories(tensors), weights, others, stage=stage)
    return _checked(_with_mixing(added, manifest), state, SOURCES)


def _with_mixing(added: Added, manifest: Manifest) -> Added:
    """The sources with the manifest's weights by the length of histories and quotas. BundleError for others than a mixture has."""
    by_history, quotas = manifest.by_history or [], manifest.quotas or []
    lengths = {len(one.weights) for one in by_history} | ({len(quotas)} if quotas else set())
    bounds = [one.most for one in by_history]
    if not lengths <= {len(added.weights.values)} or bounds != sorted({*bounds}) or any(most < 0 for most in bounds):
        raise BundleError("the manifest has weights or quotas for other sources.", hint=SAVE_AGAIN)
    temperatures = added.weights.temperatures
    return replace(
        added,
        by_history=tuple((one.most, Weights(tuple(one.weights), temperatures)) for one in by_history),
        quotas=checked_quotas(quotas),
    )


def _table(table: Neighbours) -> dict[str, NDArray[Any]]:
    return _typed({"offsets": table.offsets, "columns": table.columns, "weights": table.weights}, TABLE)


def _typed(arrays: Mapping[str, NDArray[Any]], types: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {name: array.astype(types[name], copy=False) for name, array in arrays.items()}


def _histories(tensors: Mapping[str, NDArray[Any]]) -> Lists:
    return Lists(tensors["history_offsets"], tensors["history_values"])


def _check_types(tensors: Mapping[str, NDArray[Any]], types: Mapping[str, Any], file: str) -> None:
    for name, dtype in types.items():
        if tensors[name].dtype != dtype or tensors[name].ndim != 1:
            raise BundleError(f"{file!r} has no {name!r} of {np.dtype(dtype)} in one dimension.", hint=SAVE_AGAIN)


def _checked(added: Added, state: State, file: str) -> Added:
    """BundleError unless the sources belong to the catalogue of ``state``."""
    size, chosen = len(state.candidates), added.histories.values
    inside = not len(chosen) or 0 <= chosen.min() <= chosen.max() < size
    sizes = {*map(len, added.tables), *map(len, added.lists)}
    if not (inside and sizes <= {size} and len(added.histories) == len(state.queries)):
        raise BundleError(f"{file!r} does not belong to the catalogue of the tables.", hint=SAVE_AGAIN)
    return added
