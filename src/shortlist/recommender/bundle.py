"""What a bundle holds, and how a recommender goes into it and comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shortlist._public import __version__
from shortlist.errors import BundleError
from shortlist.index import Index, Lists, load_index
from shortlist.recommender.folder import FORMAT, Golden, Manifest, read_manifest, write_folder
from shortlist.recommender.state import ModelFiles, State, fingerprint

if TYPE_CHECKING:
    from shortlist.model import TwoTower
    from shortlist.recommender.recommender import Recommender

__all__ = ["build_model", "load", "save"]

GOLDEN_QUERIES = 4
GOLDEN_K = 10
COUNT = "__shortlist_count"
KNOWN = "__shortlist_known"

Parts = tuple[State, Index, str, tuple[str, ...], str, str, dict[str, Any]]


def save(recommender: Recommender, path: Path, overwrite: bool, metadata: dict[str, Any]) -> None:
    """Write the bundle, load it back, and put it in place only if it answers the same to the last bit."""
    state = recommender._state
    golden_vectors = _golden_vectors(recommender)
    golden = _golden(recommender.index, golden_vectors)

    def fill(folder: Path) -> Manifest:
        _write_state(state, golden_vectors, folder)
        recommender.index.save(folder / "index")
        return Manifest(
            format=FORMAT,
            library=__version__,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            fingerprint=recommender.fingerprint,
            query=state.query,
            candidate=state.candidate,
            cold_start=recommender.cold_start,
            fallback=list(recommender.fallback),
            index=recommender.index.kind,
            reason=recommender.reason,
            golden=golden,
            metadata=json.loads(json.dumps(metadata, default=str)),
            files={},
        )

    def check(folder: Path) -> None:
        if _golden(load(folder)[1], golden_vectors) != golden:
            raise BundleError("the bundle just written does not answer as the recommender does; it was not kept.")

    write_folder(path, overwrite, fill, check)


def load(path: Path) -> Parts:
    """Everything a recommender needs, verified; see ``Recommender.load``."""
    manifest = read_manifest(path)
    try:
        state, golden_vectors = _read_state(manifest, path)
        index = load_index(path / "index", verify=False)
    except (OSError, KeyError, ValueError, TypeError, SafetensorError, pl.exceptions.PolarsError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"the bundle {str(path)!r} is not complete: {error}.", hint="save it again") from error
    if fingerprint(state, index.vectors) != manifest.fingerprint:
        raise BundleError(
            f"model and index of {str(path)!r} are not of one training.", hint="save the bundle again from the model"
        )
    _check_golden(path, manifest.golden, _golden(index, golden_vectors))
    return (
        state,
        index,
        manifest.cold_start,
        tuple(manifest.fallback),
        manifest.reason,
        manifest.fingerprint,
        manifest.metadata,
    )


def build_model(state: State, modules: Mapping[str, Any] | None) -> TwoTower:
    """The stored model, on torch."""
    import torch

    from shortlist.model import Catalogue, ModelState, model_from_state

    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.model.tensors.items()}
    catalogue = Catalogue(state.query, state.candidate, state.queries, state.candidates, state.counts, state.known)
    return model_from_state(ModelState(state.model.config, tensors, state.model.series), catalogue, modules)


def _write_state(state: State, golden_vectors: np.ndarray[Any, Any], folder: Path) -> None:
    (folder / "model").mkdir()
    state.queries.with_columns(pl.Series(KNOWN, state.known)).write_parquet(folder / "queries.parquet")
    state.candidates.with_columns(pl.Series(COUNT, state.counts)).write_parquet(folder / "candidates.parquet")
    vectors = {"golden": golden_vectors}
    if state.query_vectors is not None and state.unknown_vector is not None:
        vectors |= {"queries": state.query_vectors, "unknown": state.unknown_vector}
    _save_tensors(vectors, folder / "vectors.safetensors")
    _save_tensors({"offsets": state.seen.offsets, "values": state.seen.values}, folder / "seen.safetensors")
    _save_tensors(state.model.tensors, folder / "model" / "weights.safetensors")
    names = {}
    for number, (name, series) in enumerate(state.model.series.items()):
        names[name] = f"series-{number}.parquet"
        series.rename("value").to_frame().write_parquet(folder / "model" / names[name])
    config = {"config": state.model.config, "series": names}
    (folder / "model" / "config.json").write_bytes(msgspec.json.encode(config))


def _read_state(manifest: Manifest, path: Path) -> tuple[State, np.ndarray[Any, Any]]:
    queries = pl.read_parquet(path / "queries.parquet")
    candidates = pl.read_parquet(path / "candidates.parquet")
    vectors = load_file(path / "vectors.safetensors")
    seen = load_file(path / "seen.safetensors")
    stored = msgspec.json.decode((path / "model" / "config.json").read_bytes())
    series = {
        name: pl.read_parquet(path / "model" / Path(file).name)["value"] for name, file in stored["series"].items()
    }
    files = ModelFiles(stored["config"], load_file(path / "model" / "weights.safetensors"), series)
    state = State(
        manifest.query,
        manifest.candidate,
        queries.drop(KNOWN),
        candidates.drop(COUNT),
        candidates[COUNT].to_numpy(),
        queries[KNOWN].to_numpy(),
        vectors.get("queries"),
        vectors.get("unknown"),
        Lists(seen["offsets"], seen["values"]),
        files,
    )
    return state, vectors["golden"]


def _save_tensors(tensors: Mapping[str, np.ndarray[Any, Any]], path: Path) -> None:
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)


def _golden_vectors(recommender: Recommender) -> np.ndarray[Any, Any]:
    """Vectors of a few known queries and of the unknown one; of candidates where no query vector is stored."""
    state = recommender._state
    if state.query_vectors is None or state.unknown_vector is None:
        return np.array(recommender.index.vectors[:GOLDEN_QUERIES])
    known = np.flatnonzero(state.known)[: GOLDEN_QUERIES - 1]
    return np.concatenate([state.query_vectors[known], state.unknown_vector[None]])


def _golden(index: Index, vectors: np.ndarray[Any, Any]) -> list[Golden]:
    hits = index.search(vectors, GOLDEN_K)
    return [Golden(rows.tolist(), scores.tolist()) for rows, scores in hits]


def _check_golden(path: Path, saved: list[Golden], now: list[Golden]) -> None:
    """BundleError unless the stored requests get the stored answers; scores may differ by rounding between machines."""
    same = len(saved) == len(now) and all(
        then.rows == here.rows and np.allclose(then.scores, here.scores, rtol=1e-5, atol=1e-6)
        for then, here in zip(saved, now, strict=True)
    )
    if not same:
        raise BundleError(
            f"the bundle {str(path)!r} answers its stored requests differently from when it was saved.",
            hint="save it again with this version of shortlist and of the index's library",
        )
