"""A bundle: a recommender saved and loaded; it answers the same to the last bit."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist._public import __version__
from shortlist.errors import (
    BundleError,
    ConfigError,
    MissingExtraError,
    SearchError,
    ShortlistError,
    ShortlistWarning,
    deprecated,
)
from shortlist.index import Halves, Index, Verify, exact_from, held_vectors, load_index
from shortlist.index.storage import Reader
from shortlist.recommender.added_files import mixing_entries, pair_entry, sources_entries
from shortlist.recommender.contents import CANDIDATES, QUERIES, Share, read_state, write_state
from shortlist.recommender.contexts import stored_vectors
from shortlist.recommender.embedding import Embedder
from shortlist.recommender.folder import Tensors, amend, verified, write_folder
from shortlist.recommender.golden import golden_rows, golden_vectors, recorded, same, still_true
from shortlist.recommender.manifest import HALVES, PLAIN, SAVE_AGAIN, Manifest, learned
from shortlist.recommender.served import Policy, Served
from shortlist.recommender.signing import check_signature
from shortlist.recommender.state import State, fingerprint, learned_arrays
from shortlist.recommender.tables import WholeTables, divided
from shortlist.store import Entry
from shortlist.store.allocation import trim

__all__ = ["add_metadata", "load", "save"]

INDEX = "index"
FURTHER = "towers-{}"  # of a mixture: a bundle of each of its further towers
SAMPLE = 1024  # vectors that are compared where not all are read
PIECE = 1 << 20  # bytes compared at a time


def save(served: Served, path: Path, overwrite: bool, metadata: Mapping[str, Any], optimizer: bool = True) -> None:
    """Write the bundle, load it back, and put it in place only if it answers the same to the last bit."""
    state = served.state
    if not optimizer:
        state = replace(state, model=replace(state.model, optimizer="", slots={}))
    _check_unchanged(served)
    rows = golden_rows(served)
    vectors = golden_vectors(served, rows)
    golden = recorded(served, rows, vectors)
    plain = _plain(metadata)

    weights, of_vectors = divided(state, served.vectors, served.embedder.features)
    trim()  # what each step below took, before the next one takes more

    def fill(folder: Path) -> tuple[Manifest, Tensors, Mapping[str, Entry]]:
        tables, tensors = write_state(state, weights, vectors, folder)
        trim()
        served.index.save(folder / INDEX)
        for number, other in enumerate(served.others, start=2):
            save(other, folder / FURTHER.format(number), False, {}, optimizer)
        sources = sources_entries(state.near)
        halves = any(isinstance(one, Halves) for one in (served.vectors, state.query_vectors))
        manifest = Manifest(
            format=HALVES if halves else PLAIN,
            library=__version__,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            fingerprint=served.fingerprint,
            dim=state.dim,
            queries=tables[QUERIES],
            candidates=tables[CANDIDATES],
            reads=list(state.reads),
            cold_start=served.policy.cold_start,  # type: ignore[arg-type]
            fallback=list(served.policy.fallback),  # type: ignore[arg-type]
            index=served.index.settings(),
            reason=served.reason,
            golden=golden,
            metadata=plain,
            neighbours=pair_entry(state.near),
            sources=msgspec.UNSET if sources is None else sources,
            **mixing_entries(state.near),
            tables=of_vectors,
            sample=_sample(served.index),
        )
        known = {f"{INDEX}/{entry.name}": entry for entry in Reader(folder / INDEX, verify=False).files.values()}
        return manifest, tensors, known

    def check(folder: Path) -> None:
        trim()  # what writing took
        again = load(folder, verify="native")  # files just written are compared with memory instead
        if recorded(again, rows, vectors) != golden or not _same_arrays(again, served, weights):
            raise BundleError(
                "the bundle just written gives other answers than this recommender; it was deleted.",
                hint="this is a bug of shortlist: please report it with the output of `shortlist doctor`",
            )

    write_folder(path, overwrite, fill, check)


def add_metadata(path: Path, more: Mapping[str, Any]) -> None:
    """Put ``more`` into the metadata of the bundle at ``path``, in one step: a process that is killed leaves the bundle as it was.

    No other file is touched.

    Raises:
        BundleError: for anything but a bundle, or where the disk refuses.
        ConfigError: for what JSON cannot hold.
    """
    plain = _plain(more)
    amend(
        Path(os.path.realpath(path)),
        lambda manifest: msgspec.structs.replace(manifest, metadata={**manifest.metadata, **plain}),
    )


def load_options(mmap: bool, trusted: bool, verify: Verify | None, guard: bool | None) -> tuple[bool, bool]:
    """``mmap`` and ``trusted`` of ``Recommender.load``, also from their old names."""
    if verify not in (None, True, "native"):
        raise ConfigError(
            f"load got verify={verify!r}.", hint="mmap=False compares every file, mmap=True all but plain arrays"
        )
    if verify is not None or guard is not None:
        deprecated("Recommender.load(verify=, guard=)", "mmap=True, trusted=False")
    return mmap or verify == "native", trusted and not guard


def load(
    path: Path,
    modules: Mapping[str, Any] | None = None,
    verify: Verify = True,
    trusted: bool = True,
    pause: Callable[[], None] | None = None,
    key: bytes | None = None,
    share: Share | None = None,
) -> Served:
    """The value that the bundle at ``path`` answers from; see ``Recommender.load``.

    Args:
        pause: called between steps of a millisecond or so, so that other threads can run.
        key: the bundle must have a signature made with it.
        share: gives arrays that several processes hold together.
    """
    root = Path(os.path.realpath(path))  # one bundle throughout, even if ``path`` is a link that is switched meanwhile
    manifest = verified(root, pause=pause) if verify is True else verified(root, _plain_arrays, pause)
    if key is not None:
        check_signature(manifest, key, path)
    pause = pause or _no_pause
    try:
        state, vectors = read_state(manifest, root, pause, share)
        pause()
        others = _read_others(root, state, verify, trusted, pause)
        index, reason = _read_index(manifest, root, verify, trusted)
        _check_one_training(manifest, root, state, index, vectors.get("candidates"), verify)
        tensors = WholeTables(state.model.tensors, manifest.tables, state, held_vectors(index))
        state = replace(state, model=replace(state.model, tensors=tensors))
    except ShortlistError as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"the bundle {str(path)!r} cannot be read: {error.message}", hint=SAVE_AGAIN) from error
    except (OSError, LookupError, ValueError, TypeError, RuntimeError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"the bundle {str(path)!r} cannot be read: {error}.", hint=SAVE_AGAIN) from error
    served = Served(
        state,
        index,
        Embedder(state, modules=modules, others=[one.embedder for one in others]),
        Policy(manifest.cold_start, tuple(manifest.fallback)),
        manifest.fingerprint,
        reason,
        manifest.metadata,
        {"bundle": manifest.checksum[:16], "created": manifest.created, "library": manifest.library},
        others=others,
    )
    pause()
    _replay(served, manifest, vectors["golden"], path, reason != manifest.reason or not trusted, pause)
    return served


def _no_pause() -> None:
    """No pause between steps."""


def _plain_arrays(name: str) -> bool:
    """Whether a file holds numbers alone, which no native library parses; the index checks its own files."""
    name = re.sub(rf"^{FURTHER.format('[0-9]+')}/", "", name)
    return name.endswith(".safetensors") or (name.startswith(f"{INDEX}/") and name != f"{INDEX}/index.json")


def _read_others(
    root: Path, state: State, verify: Verify, trusted: bool, pause: Callable[[], None]
) -> tuple[Served, ...]:
    """The values that a mixture's further towers answer from; BundleError where they do not belong to this training."""
    found = []
    for number, fingerprint_ in enumerate(() if state.near is None else state.near.towers, start=2):
        other = load(root / FURTHER.format(number), None, verify, trusted, pause)
        its = other.state
        alike = its.query_ids.ids.equals(state.query_ids.ids) and its.candidate_ids.ids.equals(state.candidate_ids.ids)
        if not alike or other.fingerprint != fingerprint_ or other.others or its.query_vectors is None:
            raise BundleError(
                f"the parts of {str(root)!r} do not belong to one training.",
                hint="save the bundle again from the model",
            )
        found.append(other)
    return tuple(found)


def _check_unchanged(served: Served) -> None:
    if not np.array_equal(served.index.ids, np.arange(served.state.size, dtype=np.int64)):
        raise ConfigError("the index was changed after this recommender was made.", hint="make a new Recommender")
    if fingerprint(served.state, served.vectors) != served.fingerprint:
        raise ConfigError(
            "the model was trained further after this recommender was made.", hint="make a new Recommender"
        )


def _same_arrays(again: Served, served: Served, weights: Mapping[str, NDArray[Any]]) -> bool:
    """Whether a bundle just read holds, to the last bit, what was written into it.

    Args:
        weights: as they should be stored.
    """
    read = again.state.model.tensors
    assert isinstance(read, WholeTables)
    now = dict(learned_arrays(again.state, again.vectors, read.stored))
    before = dict(learned_arrays(served.state, served.vectors, weights))
    return now.keys() == before.keys() and all(_same_bits(now[name], before[name]) for name in before)


def _same_bits(first: NDArray[Any], second: NDArray[Any]) -> bool:
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    one, two = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (first, second))
    return all(np.array_equal(one[low : low + PIECE], two[low : low + PIECE]) for low in range(0, len(one), PIECE))


def _some(count: int) -> NDArray[np.int64]:
    """Rows of a sample, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).astype(np.int64))


def _sample(index: Index) -> str:
    """sha256 of some of the index's vectors."""
    some = np.ascontiguousarray(held_vectors(index)[_some(index.size)])
    return hashlib.sha256(some.view(np.uint8).data).hexdigest()


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


def _check_one_training(
    manifest: Manifest,
    root: Path,
    state: State,
    index: Index,
    candidates: NDArray[np.float32] | None,
    verify: Verify,
) -> None:
    """BundleError unless tables, vectors, weights and index belong to one training.

    Args:
        candidates: their vectors, where the bundle holds them next to the index, as those of format 1 do; they are
            compared row by row with those of the index, a sample of them unless ``verify`` is True.
    """
    vectors = held_vectors(index)
    fits = vectors.shape == (state.size, state.dim) and np.array_equal(index.ids, np.arange(state.size))
    if candidates is None:
        fits = fits and manifest.training == learned(manifest.fingerprint, manifest.files)
        fits = fits and manifest.sample == _sample(index)
    else:
        some = slice(None) if verify is True else _some(state.size)
        fits = fits and np.array_equal(vectors[some], candidates[some])
        fits = fits and (verify is not True or fingerprint(state, candidates) == manifest.fingerprint)
    if not fits:
        raise BundleError(
            f"the parts of {str(root)!r} do not belong to one training.", hint="save the bundle again from the model"
        )


def _read_index(manifest: Manifest, root: Path, verify: Verify, trusted: bool) -> tuple[Index, str]:
    """The stored index and its reason; exact search where its package is missing or cannot run here."""
    compared: Verify = False if verify is True else verify  # every file has been compared already
    try:
        return load_index(root / INDEX, verify=compared, trusted=trusted), manifest.reason
    except (MissingExtraError, SearchError) as missing:
        reason = f"exact search is used instead of {manifest.index.get('kind', 'the index')!r}: {missing.message}"
        warnings.warn(f"{reason}\nhint: {missing.hint}", ShortlistWarning, stacklevel=4)
        return exact_from(root / INDEX, verify=compared), reason


def _replay(
    served: Served,
    manifest: Manifest,
    vectors: NDArray[np.float32],
    path: Path,
    other_index: bool,
    pause: Callable[[], None],
) -> None:
    """BundleError unless the stored requests get the stored answers."""
    state, rows = served.state, [golden.query for golden in manifest.golden]
    if not all(-1 <= row < len(state.queries) for row in rows):
        raise BundleError(f"the bundle {str(path)!r} has stored requests of unknown queries.", hint=SAVE_AGAIN)
    if state.query_vectors is not None:
        vectors = stored_vectors(state, np.array(rows, np.int64))
    now = None if other_index else recorded(served, rows, vectors)
    for number, saved in enumerate(manifest.golden):
        pause()
        if still_true(saved, vectors[number], served) if now is None else same(saved, now[number]):
            continue
        raise BundleError(
            f"the bundle {str(path)!r} answers its stored requests differently from when it was saved.",
            hint="save it again with this version of shortlist and of the index's library",
        )
