"""Exact search: every candidate is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from shortlist.errors import BundleError, ConfigError, did_you_mean
from shortlist.index.base import LiveIndex, Snapshot
from shortlist.index.block import Filters, SearchRequest
from shortlist.index.exact import Matches
from shortlist.index.few import best_of_few, is_few
from shortlist.index.halves import Halves
from shortlist.index.scan_arrays import STORAGES, Bfloat16, Int8, Storage, groups_of, packed
from shortlist.index.storage import Reader, Writer
from shortlist.index.values import Floats, Hits, Lists

__all__ = ["BruteForce"]

_EXCLUDE = (Lists, type(None))

# Changes are merged into the block once they are this many, and this share of the candidates.
_FEW, _PART = 4096, 0.1


@dataclass(frozen=True)
class _Settings:
    storage: Storage = "float32"


class BruteForce(LiveIndex):
    """The true top k, by blocked matrix products over all candidates.

    A single query reads the vectors once, at the speed of memory; a batch shares each read. Right for
    catalogues up to some tens of thousands, for large batches, and as the measure of every other index.

    Args:
        storage: what a search reads: ``"float32"``, the vectors themselves; ``"bfloat16"`` or ``"int8"``, a copy of a
            half or a quarter of their size in addition. The copy only preselects: its error is bounded, and
            every candidate that could be among the best is scored from the vectors, so results are the same to the
            last bit. It pays where the vectors do not fit into memory: loaded with ``mmap``, they stay on disk but
            for the few that are scored. While all fit, float32 is faster for single queries.

    Vectors of bfloat16 tables (``Halves``) are kept as they are, half as large, and widened part by part; results are those of
    the same numbers in float32.

    Example:
        >>> import numpy as np
        >>> index = BruteForce().build(np.eye(3, dtype=np.float32), ids=np.array([10, 20, 30]))
        >>> index.search(np.array([[0.0, 2.0, 1.0]], dtype=np.float32), k=2).row(0)
        (array([20, 30]), array([2., 1.], dtype=float32))
    """

    kind: ClassVar[str] = "brute_force"
    exact: ClassVar[bool] = True
    _keeps_halves: ClassVar[bool] = True

    def __init__(self, storage: Storage = "float32") -> None:
        if storage not in STORAGES:
            raise ConfigError(f"BruteForce has no storage {storage!r}.", hint=did_you_mean(str(storage), STORAGES))
        super().__init__(_Settings(storage))

    def _train(self, vectors: Floats | Halves) -> Bfloat16 | Int8 | None:
        return packed(vectors, self._settings.storage)

    def _plain(self, queries: Floats, k: int, exclude: Lists | None) -> Hits | None:
        """The answer to well-formed queries among some thousand candidates; None for others."""
        now = self._snapshot
        if now is None or now.native is not None or not is_few(now.size) or not isinstance(exclude, _EXCLUDE):
            return None
        vectors, ids = now.living
        positions = now.positions
        if positions.counting:
            return best_of_few(vectors, now.max_norm, queries, k, exclude)
        if exclude is not None and exclude.values.size:
            exclude = Lists(exclude.offsets, positions.find(exclude.values))
        found = best_of_few(vectors, now.max_norm, queries, k, exclude)
        return None if found is None else Hits(found.offsets, ids[found.ids], found.scores)

    def _search_base(self, snapshot: Snapshot, request: SearchRequest, filters: Filters) -> Matches:
        return snapshot.base.search(request, filters, snapshot.native)

    def _settle(self, snapshot: Snapshot) -> Snapshot:
        few = max(_FEW, _PART * snapshot.base.ids.size)
        return snapshot if snapshot.changes <= few else self._renewed(snapshot)

    def _write_native(self, native: Bfloat16 | Int8 | None, writer: Writer) -> None:
        for name, values in {} if native is None else native.arrays().items():
            writer.array(name, values)

    def _read_native(self, reader: Reader, snapshot: Snapshot) -> Bfloat16 | Int8 | None:
        storage, (n, dim) = self._settings.storage, snapshot.base.vectors.shape
        if storage == "float32":
            return None
        if not all(map(reader.has, ("codes", "errors"))) or (storage == "int8" and not reader.has("scales")):
            raise BundleError(f"{reader.folder} does not hold the codes of a BruteForce index of storage {storage!r}.")
        errors = reader.array("errors", np.float32, (groups_of(n),))
        if not bool((errors >= 0).all() and np.isfinite(errors).all()):
            raise BundleError(f"{reader.path('errors')} has invalid bounds.")
        if storage == "bfloat16":
            return Bfloat16(reader.array("codes", np.uint16, (n, dim), reader.mmap), errors)
        scales = reader.array("scales", np.float32, (n,), reader.mmap)
        return Int8(reader.array("codes", np.int8, (n, dim), reader.mmap), scales, errors)

    def _native_bytes(self, snapshot: Snapshot) -> int:
        native: Any = snapshot.native
        return 0 if native is None else sum(int(values.nbytes) for values in native.arrays().values())
