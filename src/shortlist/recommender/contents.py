"""The files of a bundle next to its index: tables, vectors, weights, seen items, neighbours; and the way back."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import IdMap
from shortlist.data.ids import free_name
from shortlist.errors import BundleError
from shortlist.index import Halves, Lists
from shortlist.recommender.added_files import PAIR, SOURCES, added_files, read_added, read_pair
from shortlist.recommender.exported import SIDES
from shortlist.recommender.manifest import SAVE_AGAIN, Manifest, TableEntry
from shortlist.recommender.state import ModelFiles, Popularity, State
from shortlist.recommender.tensors import (
    BFLOAT16,
    TensorEntry,
    as_held,
    as_stored,
    described,
    read_tensors,
    write_tensors,
)

__all__ = ["CANDIDATES", "QUERIES", "Share", "read_state", "write_state"]

Share: TypeAlias = Callable[[str, Callable[[], NDArray[np.int64]]], NDArray[np.int64]]
"""Gives the array of a name, which the first of several processes makes and all of them map."""

QUERIES, CANDIDATES = "queries.parquet", "candidates.parquet"
VECTORS, SEEN = "vectors.safetensors", "seen.safetensors"
CONFIG, WEIGHTS = "model/config.json", "model/weights.safetensors"
ONNX = "model/{}.onnx"
SLOTS = "model/optimizer.safetensors"


# Writing.


def write_state(
    state: State, weights: Mapping[str, NDArray[Any]], golden: NDArray[np.float32], folder: Path
) -> tuple[dict[str, TableEntry], dict[str, dict[str, TensorEntry]]]:
    """Write a state's files into ``folder``; the manifest's entries for its tables, and for its tensors by file.

    Args:
        weights: as they are to be stored.
        golden: the vectors of the stored requests.

    Raises:
        OSError: where the disk refuses.
    """
    (folder / "model").mkdir()
    tables = {
        QUERIES: _write_table(state.queries, state.query, "known", state.known, folder / QUERIES),
        CANDIDATES: _write_table(
            state.candidates, state.candidate, "training_count", state.counts, folder / CANDIDATES
        ),
    }
    vectors: dict[str, NDArray[Any]] = {"golden": golden}
    if state.query_vectors is not None and state.unknown_vector is not None:
        vectors |= {"queries": as_stored(state.query_vectors), "unknown": state.unknown_vector}
    files: dict[str, Mapping[str, NDArray[Any]]] = {
        VECTORS: vectors,
        SEEN: {"offsets": state.seen.offsets, "values": state.seen.values},
        WEIGHTS: weights,
    }
    if state.model.optimizer:
        files[SLOTS] = state.model.slots
    if state.near is not None:
        files |= added_files(state.near)
    for name, tensors in files.items():
        write_tensors(folder / name, tensors)
    series = {}
    for number, (name, values) in enumerate(state.model.series().items()):
        series[name] = f"model/series-{number}.parquet"
        _write_parquet(values.rename("value").to_frame(), folder / series[name])
    for side, content in state.model.onnx.items():
        (folder / ONNX.format(side)).write_bytes(content)
    stored = {"config": state.model.config, "series": series, "optimizer": state.model.optimizer}
    (folder / CONFIG).write_text(json.dumps(stored), encoding="utf-8")
    return tables, {name: described(tensors) for name, tensors in files.items()}


def _write_table(table: pl.DataFrame, ids: str, added: str, values: NDArray[Any], path: Path) -> TableEntry:
    added = free_name(added, table.columns)
    table = table.with_columns(pl.Series(added, values))
    _write_parquet(table, path)
    columns = {name: str(kind) for name, kind in table.schema.items()}
    return TableEntry(id=ids, rows=table.height, columns=columns, added=added)


def _write_parquet(table: pl.DataFrame, path: Path) -> None:
    try:
        table.write_parquet(path)
    except pl.exceptions.PolarsError as error:  # a disk that refuses
        raise OSError(f"{path.name}: {error}") from error


# Reading.


def read_state(
    manifest: Manifest, root: Path, pause: Callable[[], None], share: Share | None = None
) -> tuple[State, dict[str, NDArray[np.float32]]]:
    """The state, with its weights as they are stored, and the vectors that are not in the index."""
    queries, known = _read_table(manifest.queries, root / QUERIES, pl.Boolean())
    pause()
    candidates, counts = _read_table(manifest.candidates, root / CANDIDATES, pl.Int64())
    pause()
    vectors = _read_tensors(manifest, root, VECTORS)
    seen = _read_tensors(manifest, root, SEEN)
    pause()
    stored = json.loads((root / CONFIG).read_bytes())
    width = manifest.dim * int(stored["config"]["query"].get("heads", 1))
    state = State(
        query=manifest.queries.id,
        candidate=manifest.candidates.id,
        queries=queries,
        candidates=candidates,
        query_ids=IdMap(queries[manifest.queries.id]),
        candidate_ids=IdMap(candidates[manifest.candidates.id]),
        popularity=Popularity(counts) if share is None else _shared(counts, share),
        known=known,
        reads=tuple(manifest.reads),
        dim=manifest.dim,
        query_vectors=_read_queries(vectors, (queries.height, width)) if "queries" in vectors else None,
        unknown_vector=_matrix(vectors, "unknown", (width,)) if "queries" in vectors else None,
        seen=Lists(seen["offsets"], seen["values"]),
        model=ModelFiles(
            stored["config"],
            _read_tensors(manifest, root, WEIGHTS),
            _later(root, manifest, stored["series"]),
            {side: _held(root / ONNX.format(side)) for side in SIDES if ONNX.format(side) in manifest.files},
            optimizer=stored.get("optimizer", ""),
            slots=_read_tensors(manifest, root, SLOTS) if stored.get("optimizer") else {},
        ),
    )
    if manifest.neighbours is not None:
        state = replace(state, near=read_pair(manifest.neighbours, _read_tensors(manifest, root, PAIR), state))
    elif manifest.sources is not msgspec.UNSET:
        state = replace(state, near=read_added(manifest, _read_tensors(manifest, root, SOURCES), state))
    pause()
    chosen = state.seen.values
    if len(state.seen) != queries.height or (len(chosen) and not 0 <= chosen.min() <= chosen.max() < candidates.height):
        raise BundleError("the seen items do not belong to the queries and candidates of the tables.", hint=SAVE_AGAIN)
    _matrix(vectors, "golden", (len(manifest.golden), width))
    return state, vectors


def _shared(counts: NDArray[np.int64], share: Share) -> Popularity:
    """Popularity whose arrays several processes hold together; alone where another bundle was here before."""
    shared = share("counts", lambda: counts)
    if not np.array_equal(shared, counts):
        return Popularity(counts)
    return Popularity(shared, lambda: share("order", lambda: Popularity(shared).order))


def _read_table(entry: TableEntry, path: Path, added: pl.DataType) -> tuple[pl.DataFrame, NDArray[Any]]:
    table = pl.read_parquet(path, memory_map=False, glob=False, hive_partitioning=False)
    columns = {name: str(kind) for name, kind in table.schema.items()}
    fits = columns == entry.columns and table.height == entry.rows and entry.id in columns
    if not fits or table.schema.get(entry.added) != added:
        raise BundleError(f"{path.name!r} differs from the table that the manifest describes.", hint=SAVE_AGAIN)
    if table[entry.id].null_count():
        raise BundleError(f"{path.name!r} has null ids.", hint=SAVE_AGAIN)
    ids = table[entry.id].rechunk()  # else each map of its numbers would hold a copy of them
    return table.drop(entry.added).with_columns(ids), table[entry.added].to_numpy()


def _read_tensors(manifest: Manifest, root: Path, name: str) -> dict[str, NDArray[Any]]:
    entry = manifest.files.get(name)
    if entry is None or entry.tensors is None:
        raise BundleError(f"the manifest does not list the tensors that {name!r} holds.", hint=SAVE_AGAIN)
    return read_tensors(root / name, entry.tensors)


def _matrix(tensors: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if name not in tensors or tensors[name].dtype != np.float32 or tensors[name].shape != shape:
        raise BundleError(f"{VECTORS!r} has no {name!r} of float32 {list(shape)}.", hint=SAVE_AGAIN)
    return tensors[name]


def _read_queries(tensors: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.float32] | Halves:
    """The queries' vectors, of float32 or bfloat16."""
    found = tensors["queries"]
    return as_held(found) if found.dtype == BFLOAT16 and found.shape == shape else _matrix(tensors, "queries", shape)


def _later(root: Path, manifest: Manifest, names: Mapping[str, str]) -> Callable[[], dict[str, pl.Series]]:
    """Long feature states, read when a model is built. The files are held open: they stay as verified, even if the
    bundle is replaced meanwhile."""
    held = {}
    for name, file in names.items():
        if file not in manifest.files:
            raise BundleError(f"{CONFIG!r} names {file!r}, which the manifest does not.", hint=SAVE_AGAIN)
        held[name] = _held(root / file)
    return _Stored(held)


class _Stored:
    """Long feature states in Parquet, by name.

    Args:
        held: the files, open or as bytes.
    """

    def __init__(self, held: Mapping[str, mmap.mmap | bytes]) -> None:
        self._held = held

    def __call__(self) -> dict[str, pl.Series]:
        return {name: pl.read_parquet(content[:])["value"] for name, content in self._held.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Stored, ({name: content[:] for name, content in self._held.items()},)


def _held(file: Path) -> mmap.mmap:
    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
