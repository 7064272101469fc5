"""Indexes by name: out of a folder, or out of settings."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

from shortlist.errors import BundleError, ConfigError, did_you_mean
from shortlist.index.base import LiveIndex
from shortlist.index.brute_force import BruteForce
from shortlist.index.contract import Index
from shortlist.index.databases.named import DATABASES
from shortlist.index.faiss import Faiss
from shortlist.index.quantized import Quantized
from shortlist.index.scann import ScaNN
from shortlist.index.storage import Reader, Verify

__all__ = ["exact_from", "index_from_settings", "load_index"]

_KINDS: dict[str, type[LiveIndex]] = {
    **{kind.kind: kind for kind in (BruteForce, Quantized, ScaNN, Faiss)},
    **DATABASES,
}


def index_from_settings(settings: dict[str, Any]) -> Index:
    """An unbuilt index from ``Index.settings()``.

    Raises:
        ConfigError: for an unknown kind or option; the hint names the nearest known one.
    """
    options = dict(settings)
    kind = options.pop("kind", None)
    if kind not in _KINDS:
        raise ConfigError(f"there is no index of kind {kind!r}.", hint=did_you_mean(str(kind), _KINDS))
    known = set(inspect.signature(_KINDS[kind].__init__).parameters) - {"self"}
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) if known else "it has no options."
            raise ConfigError(f"an index of kind {kind!r} has no option {name!r}.", hint=hint)
    index: Index = _KINDS[kind](**options)
    return index


def load_index(
    folder: str | Path,
    mmap: bool = True,
    verify: Verify = True,
    *,
    trusted: bool = True,
    guard: bool | None = None,
    patience: float | None = None,
) -> Index:
    """The index saved in ``folder``, of whatever kind it is (arguments as for ``Index.load``).

    Args:
        folder: where ``save`` wrote. mmap, verify: as for ``Index.load``.
        trusted: False for a folder from someone else: no file of a native library is read, the index is built from its
            vectors, and every number is checked. A checksum says that a file is as its writer left it, not that the
            writer meant well, and a crafted file can end a process that parses it.
        guard: the old name: ``guard=True`` is ``trusted=False``.
        patience: an old option without effect.

    Raises:
        BundleError: for a folder without an index, or with one that is torn, altered or of an unknown kind.
    """
    if guard is not None or patience is not None:
        warnings.warn(
            "load_index(guard=, patience=) is now load_index(trusted=): trusted=False builds the index from its vectors.",
            DeprecationWarning,
            stacklevel=2,
        )
        trusted = trusted and not guard
    reader = Reader(Path(folder), verify, mmap)
    kind = reader.header.get("kind")
    if kind not in _KINDS:
        raise BundleError(f"{folder} holds an index of kind {kind!r}.", hint=f"known: {', '.join(sorted(_KINDS))}")
    made = reader.native or reader.has("codes")  # files that follow from the vectors
    index: Index = _KINDS[kind]._from(reader, strict=not trusted, rebuild=made and not trusted)
    return index


def exact_from(folder: str | Path, verify: Verify = True) -> Index:
    """Exact search over the vectors of the index saved in ``folder``, of whatever kind; no other file of it is read.

    Used where the package behind the index is not installed. Errors are those of ``load_index``.
    """
    index: Index = BruteForce()._like(LiveIndex._read(Reader(Path(folder), verify, mmap=True), strict=False))
    return index
