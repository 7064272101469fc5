"""What a bundle holds, and how a recommender goes into it and comes back."""

from __future__ import annotations

import json
import mmap
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist._public import __version__
from shortlist.data.ids import free_name
from shortlist.errors import BundleError, ConfigError, MissingExtraError, SearchError, ShortlistError, ShortlistWarning
from shortlist.index import BruteForce, Index, Lists, Verify, load_index
from shortlist.recommender.exported import SIDES
from shortlist.recommender.folder import Tensors, amend, verified, write_folder
from shortlist.recommender.golden import golden_rows, golden_vectors, recorded, same, still_true, stored_vectors
from shortlist.recommender.manifest import SAVE_AGAIN, Manifest, NeighboursEntry, TableEntry
from shortlist.recommender.state import ModelFiles, State, fingerprint
from shortlist.recommender.tensors import TensorEntry, described, read_tensors, write_tensors
from shortlist.sources import Blend, Mixture, Neighbours, NeighbourSource

if TYPE_CHECKING:
    from shortlist.model import TwoTower
    from shortlist.recommender.recommender import Recommender

__all__ = ["add_metadata", "build_model", "load", "save"]

QUERIES, CANDIDATES = "queries.parquet", "candidates.parquet"
VECTORS, SEEN = "vectors.safetensors", "seen.safetensors"
CONFIG, WEIGHTS = "model/config.json", "model/weights.safetensors"
ONNX = "model/{}.onnx"
SLOTS = "model/optimizer.safetensors"
NEIGHBOURS = "neighbours.safetensors"
NEIGHBOUR_TYPES: dict[str, Any] = {
    "offsets": np.int64,
    "columns": np.int32,
    "weights": np.float32,
    "history_offsets": np.int64,
    "history_values": np.int64,
}
INDEX = "index"
SAMPLE = 1024  # vectors that are compared where not all are read


def save(
    recommender: Recommender, path: Path, overwrite: bool, metadata: Mapping[str, Any], optimizer: bool = True
) -> None:
    """Write the bundle, load it back, and put it in place only if it answers the same to the last bit."""
    state = recommender._state
    if not optimizer:
        state = replace(state, model=replace(state.model, optimizer="", slots={}))
    _check_unchanged(recommender)
    rows = golden_rows(state, recommender.cold_start)
    vectors = golden_vectors(recommender, rows)
    golden = recorded(recommender, rows, vectors)
    plain = _plain(metadata)

    def fill(folder: Path) -> tuple[Manifest, Tensors]:
        tables, tensors = _write_state(state, vectors, folder)
        recommender.index.save(folder / INDEX)
        manifest = Manifest(
            library=__version__,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            fingerprint=recommender.fingerprint,
            dim=int(state.vectors.shape[1]),
            queries=tables[QUERIES],
            candidates=tables[CANDIDATES],
            reads=list(state.reads),
            cold_start=recommender.cold_start,  # type: ignore[arg-type]
            fallback=list(recommender.fallback),  # type: ignore[arg-type]
            index=recommender.index.settings(),
            reason=recommender.reason,
            golden=golden,
            metadata=plain,
            neighbours=_neighbours_entry(state),
        )
        return manifest, tensors

    def check(folder: Path) -> None:
        from shortlist.recommender.recommender import Recommender

        again = object.__new__(Recommender)
        load(again, folder, None)
        if recorded(again, rows, vectors) != golden or again.fingerprint != recommender.fingerprint:
            raise BundleError(
                "the bundle just written gives other answers than this recommender; it was deleted.",
                hint="this is a bug of shortlist: please report it with the output of `shortlist doctor`",
            )

    write_folder(path, overwrite, fill, check)


def add_metadata(path: Path, more: Mapping[str, Any]) -> None:
    """Put ``more`` into the metadata of the bundle at ``path``, in one step: a process that is killed leaves the bundle as it was.

    No other file is touched. Raises BundleError for anything but a bundle, or where the disk refuses; ConfigError for what JSON
    cannot hold.
    """
    plain = _plain(more)
    amend(
        Path(os.path.realpath(path)),
        lambda manifest: msgspec.structs.replace(manifest, metadata={**manifest.metadata, **plain}),
    )


def load_options(mmap: bool, trusted: bool, verify: Verify | None, guard: bool | None) -> tuple[bool, bool]:
    """``mmap`` and ``trusted`` of ``Recommender.load``, where a caller may have used their old names."""
    if verify not in (None, True, "native"):
        raise ConfigError(
            f"load got verify={verify!r}.", hint="mmap=False compares every file, mmap=True all but plain arrays"
        )
    if verify is not None or guard is not None:
        warnings.warn(
            'Recommender.load(verify="native") is now mmap=True, and guard=True is trusted=False.',
            DeprecationWarning,
            stacklevel=3,
        )
    return mmap or verify == "native", trusted and not guard


def load(
    target: Recommender,
    path: Path,
    modules: Mapping[str, Any] | None,
    verify: Verify = True,
    trusted: bool = True,
    rest: Callable[[], None] | None = None,
) -> None:
    """Fill ``target`` from the bundle at ``path``; see ``Recommender.load``.

    rest: called between steps of a millisecond or so, where other threads have more urgent things to do.
    """
    root = Path(os.path.realpath(path))  # one bundle to the end, even if ``path`` is a link that is turned meanwhile
    manifest = verified(root, rest=rest) if verify is True else verified(root, _plain_arrays, rest)
    rest = rest or _on
    try:
        state, vectors = _read_state(manifest, root, verify, rest)
        rest()
        index, reason = _read_index(manifest, root, state, verify, trusted)
    except ShortlistError as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"the bundle {str(path)!r} cannot be read: {error.message}", hint=SAVE_AGAIN) from error
    except (OSError, LookupError, ValueError, TypeError, RuntimeError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"the bundle {str(path)!r} cannot be read: {error}.", hint=SAVE_AGAIN) from error
    target._fill(
        state, index, manifest.cold_start, manifest.fallback, reason, manifest.fingerprint, manifest.metadata, modules
    )
    target.origin = {"bundle": manifest.checksum[:16], "created": manifest.created, "library": manifest.library}
    rest()
    _replay(target, manifest, vectors, path, reason != manifest.reason or not trusted, rest)


def _on() -> None:
    """No rest."""


def _plain_arrays(name: str) -> bool:
    """Whether a file holds numbers alone, which no native library parses; the index sees to its own files."""
    return name.endswith(".safetensors") or (name.startswith(f"{INDEX}/") and name != f"{INDEX}/index.json")


def build_model(state: State, modules: Mapping[str, Any] | None) -> TwoTower | Mixture:
    """The stored model, on torch."""
    try:
        import torch
    except ModuleNotFoundError as missing:
        purpose = "the two-tower model itself (a bundle that `shortlist export` wrote needs none to serve)"
        raise MissingExtraError("torch", "train", purpose) from missing
    from shortlist.model import Catalogue, ModelState, OptimizerState, model_from_state

    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.model.tensors.items()}
    catalogue = Catalogue(state.query, state.candidate, state.queries, state.candidates, state.counts, state.known)
    slots = {name: torch.from_numpy(np.array(value)) for name, value in state.model.slots.items()}
    optimizer = OptimizerState(state.model.optimizer, slots) if state.model.optimizer else None
    stored = ModelState(state.model.config, tensors, state.model.series(), optimizer)
    towers = model_from_state(stored, catalogue, modules)
    near = state.near
    return towers if near is None else Mixture(towers, near.neighbours, near.histories, near.blend)


# Writing.


def _check_unchanged(recommender: Recommender) -> None:
    state, index = recommender._state, recommender.index
    if fingerprint(state) != recommender.fingerprint:
        raise ConfigError(
            "the model was trained further after this recommender was made.", hint="make a new Recommender"
        )
    if not _of_one_training(index, state):
        raise ConfigError("the index was changed after this recommender was made.", hint="make a new Recommender")


def _of_one_training(index: Index, state: State, verify: Verify = True) -> bool:
    """Whether the index has the state's vectors, row by row; a sample of them unless ``verify`` is True."""
    count = len(state.vectors)
    if not np.array_equal(index.ids, np.arange(count, dtype=np.int64)):
        return False
    some = slice(None) if verify is True else np.unique(np.linspace(0, count - 1, SAMPLE).astype(np.int64))
    return np.array_equal(index.vectors[some], state.vectors[some])


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """``metadata`` as JSON holds it. ConfigError for what JSON cannot hold."""
    try:
        plain = msgspec.json.decode(msgspec.json.encode(dict(metadata), enc_hook=_number))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"metadata has a value that JSON does not support: {error}.",
            hint="use text, numbers, booleans, None, lists and dicts with text as keys",
        ) from error
    return plain  # type: ignore[no-any-return]


def _number(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__}")


def _write_state(
    state: State, golden: NDArray[np.float32], folder: Path
) -> tuple[dict[str, TableEntry], dict[str, dict[str, TensorEntry]]]:
    (folder / "model").mkdir()
    tables = {
        QUERIES: _write_table(state.queries, state.query, "known", state.known, folder / QUERIES),
        CANDIDATES: _write_table(
            state.candidates, state.candidate, "training_count", state.counts, folder / CANDIDATES
        ),
    }
    vectors = {"candidates": state.vectors, "golden": golden}
    if state.query_vectors is not None and state.unknown_vector is not None:
        vectors |= {"queries": state.query_vectors, "unknown": state.unknown_vector}
    files: dict[str, Mapping[str, NDArray[Any]]] = {
        VECTORS: vectors,
        SEEN: {"offsets": state.seen.offsets, "values": state.seen.values},
        WEIGHTS: state.model.tensors,
    }
    if state.model.optimizer:
        files[SLOTS] = state.model.slots
    if state.near is not None:
        table, histories = state.near.neighbours, state.near.histories
        arrays: dict[str, NDArray[Any]] = {
            "offsets": table.offsets,
            "columns": table.columns,
            "weights": table.weights,
            "history_offsets": histories.offsets,
            "history_values": histories.values,
        }
        files[NEIGHBOURS] = {name: array.astype(NEIGHBOUR_TYPES[name], copy=False) for name, array in arrays.items()}
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


def _neighbours_entry(state: State) -> NeighboursEntry | None:
    if state.near is None:
        return None
    table, blend = state.near.neighbours, state.near.blend
    return NeighboursEntry(
        kind=table.kind, age=table.age, length=table.length, share=blend.share, temperature=blend.temperature
    )


def _write_table(table: pl.DataFrame, ids: str, added: str, values: NDArray[Any], path: Path) -> TableEntry:
    added = free_name(added, table.columns)
    table = table.with_columns(pl.Series(added, values))
    _write_parquet(table, path)
    columns = {name: str(kind) for name, kind in table.schema.items()}
    return TableEntry(id=ids, rows=table.height, columns=columns, added=added)


def _write_parquet(table: pl.DataFrame, path: Path) -> None:
    try:
        table.write_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise BundleError(
            f"{path.name!r} could not be written: {error}.",
            hint="free some space there, or choose a folder that can be written to",
        ) from error


# Reading.


def _read_state(
    manifest: Manifest, root: Path, verify: Verify, rest: Callable[[], None]
) -> tuple[State, NDArray[np.float32]]:
    queries, known = _read_table(manifest.queries, root / QUERIES, pl.Boolean(), verify)
    rest()
    candidates, counts = _read_table(manifest.candidates, root / CANDIDATES, pl.Int64(), verify)
    rest()
    vectors = _read_tensors(manifest, root, VECTORS)
    seen = _read_tensors(manifest, root, SEEN)
    rest()
    stored = json.loads((root / CONFIG).read_bytes())
    width = manifest.dim * int(stored["config"]["query"].get("heads", 1))
    state = State(
        query=manifest.queries.id,
        candidate=manifest.candidates.id,
        queries=queries,
        candidates=candidates,
        counts=counts,
        known=known,
        reads=tuple(manifest.reads),
        vectors=_matrix(vectors, "candidates", (candidates.height, manifest.dim)),
        query_vectors=_matrix(vectors, "queries", (queries.height, width)) if "queries" in vectors else None,
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
        near = _read_neighbours(manifest.neighbours, _read_tensors(manifest, root, NEIGHBOURS), state)
        state = replace(state, near=near)
    rest()
    chosen = state.seen.values
    if len(state.seen) != queries.height or (len(chosen) and not 0 <= chosen.min() <= chosen.max() < candidates.height):
        raise BundleError("the seen items do not belong to the queries and candidates of the tables.", hint=SAVE_AGAIN)
    if verify is True and fingerprint(state) != manifest.fingerprint:
        raise BundleError(f"the vectors and weights in {str(root)!r} do not belong to one training.", hint=SAVE_AGAIN)
    return state, _matrix(vectors, "golden", (len(manifest.golden), width))


def _read_neighbours(entry: NeighboursEntry, tensors: Mapping[str, NDArray[Any]], state: State) -> NeighbourSource:
    """The table of neighbours; BundleError where it is not one of this catalogue."""
    size = len(state.candidates)
    for name, dtype in NEIGHBOUR_TYPES.items():
        if tensors[name].dtype != dtype or tensors[name].ndim != 1:
            raise BundleError(f"{NEIGHBOURS!r} has no {name!r} of {np.dtype(dtype)} in one dimension.", hint=SAVE_AGAIN)
    histories = Lists(tensors["history_offsets"], tensors["history_values"])
    offsets, columns, weights = (tensors[name] for name in ("offsets", "columns", "weights"))
    table = Neighbours(offsets, columns, weights, entry.age, entry.length, entry.kind)
    chosen = histories.values
    inside = not len(chosen) or 0 <= chosen.min() <= chosen.max() < size
    if not (inside and len(table) == size and len(histories) == len(state.queries)):
        raise BundleError(f"{NEIGHBOURS!r} does not belong to the catalogue of the tables.", hint=SAVE_AGAIN)
    return NeighbourSource(table, histories, Blend(entry.share, entry.temperature))


def _read_table(entry: TableEntry, path: Path, added: pl.DataType, verify: Verify) -> tuple[pl.DataFrame, NDArray[Any]]:
    table = pl.read_parquet(path, memory_map=False, glob=False, hive_partitioning=False)
    columns = {name: str(kind) for name, kind in table.schema.items()}
    fits = columns == entry.columns and table.height == entry.rows and entry.id in columns
    if not fits or table.schema.get(entry.added) != added:
        raise BundleError(f"{path.name!r} differs from the table that the manifest describes.", hint=SAVE_AGAIN)
    repeated = verify is True and table[entry.id].n_unique() != table.height
    if table[entry.id].null_count() or repeated:
        raise BundleError(f"{path.name!r} has null or repeated ids.", hint=SAVE_AGAIN)
    return table.drop(entry.added), table[entry.added].to_numpy()


def _read_tensors(manifest: Manifest, root: Path, name: str) -> dict[str, NDArray[Any]]:
    entry = manifest.files.get(name)
    if entry is None or entry.tensors is None:
        raise BundleError(f"the manifest does not list the tensors that {name!r} holds.", hint=SAVE_AGAIN)
    return read_tensors(root / name, entry.tensors)


def _matrix(tensors: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if name not in tensors or tensors[name].dtype != np.float32 or tensors[name].shape != shape:
        raise BundleError(f"{VECTORS!r} has no {name!r} of float32 {list(shape)}.", hint=SAVE_AGAIN)
    return tensors[name]


def _later(root: Path, manifest: Manifest, names: Mapping[str, str]) -> Callable[[], dict[str, pl.Series]]:
    """Long feature states, read when a model is built. The files are held open: they stay as verified, even if the
    bundle is replaced meanwhile."""
    held = {}
    for name, file in names.items():
        if file not in manifest.files:
            raise BundleError(f"{CONFIG!r} names {file!r}, which the manifest does not.", hint=SAVE_AGAIN)
        held[name] = _held(root / file)
    return lambda: {name: pl.read_parquet(content[:])["value"] for name, content in held.items()}


def _held(file: Path) -> mmap.mmap:
    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _read_index(manifest: Manifest, root: Path, state: State, verify: Verify, trusted: bool) -> tuple[Index, str]:
    """The stored index and its reason; exact search where its package is missing or cannot run here."""
    try:
        index = load_index(root / INDEX, verify=False if verify is True else verify, trusted=trusted)
    except (MissingExtraError, SearchError) as missing:
        reason = f"exact search is used instead of {manifest.index.get('kind', 'the index')!r}: {missing.message}"
        warnings.warn(f"{reason}\nhint: {missing.hint}", ShortlistWarning, stacklevel=4)
        return BruteForce().build(state.vectors), reason
    if not _of_one_training(index, state, verify):
        raise BundleError(
            f"model and index of {str(root)!r} do not belong to one training.",
            hint="save the bundle again from the model",
        )
    return index, manifest.reason


def _replay(
    loaded: Recommender,
    manifest: Manifest,
    vectors: NDArray[np.float32],
    path: Path,
    stands_in: bool,
    rest: Callable[[], None],
) -> None:
    """BundleError unless the stored requests get the stored answers."""
    state, rows = loaded._state, [golden.query for golden in manifest.golden]
    if not all(-1 <= row < len(state.queries) for row in rows):
        raise BundleError(f"the bundle {str(path)!r} has stored requests of unknown queries.", hint=SAVE_AGAIN)
    if state.query_vectors is not None:
        vectors = stored_vectors(state, rows)
    now = None if stands_in else recorded(loaded, rows, vectors)
    for number, saved in enumerate(manifest.golden):
        rest()
        if still_true(saved, vectors[number], state) if now is None else same(saved, now[number]):
            continue
        raise BundleError(
            f"the bundle {str(path)!r} answers its stored requests differently from when it was saved.",
            hint="save it again with this version of shortlist and of the index's library",
        )
