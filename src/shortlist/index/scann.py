"""ScaNN: partitions and anisotropic quantisation (Guo et al., 2020); re-ranked by the index's vectors.

ScaNN holds two more copies of the vectors while it builds. Where these would take gigabytes, it learns partitions and codes
from a sample, and the vectors are added in pieces.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import platform
import re
import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from shortlist.errors import BundleError, ConfigError, MissingExtraError, SearchError
from shortlist.index.approximate import ApproximateIndex, Width
from shortlist.index.base import Snapshot
from shortlist.index.checks import check_counts, check_promise
from shortlist.index.library import index_library
from shortlist.index.native_log import without_native_log
from shortlist.index.partitions import Partitions, partitions_of
from shortlist.index.storage import Reader, Writer, scratch
from shortlist.index.values import Floats, Ints
from shortlist.language import counted

__all__ = ["ScaNN", "scann_trouble"]

_TINY = 256  # below, search is exact: codebooks need points to learn from
_FLAT = 20_000  # below, every code is scanned, without partitions
_ROUGH = 1_000  # from so many partitions on, their centres are compared as 8-bit numbers
_SOAR = 1.5
_NARROW = 16  # vectors of up to so many numbers get a code for each number
_AT_ONCE = 4 << 30  # bytes of vectors from which they are added in pieces
_SAMPLE, _PIECE = 1_000_000, 50_000  # vectors to learn from, and those added at a time
_PREFIX, _WITH_VECTORS = "codes", "scann"  # the second: written when ScaNN re-ranked by its own copy of the vectors
_CONFIG = "scann_config.pb"
# The files that ScaNN reads back, by the type it knows them under. It is given no other.
_ASSETS = {
    "ah_codebook.pb": "AH_CENTERS",
    "serialized_partitioner.pb": "PARTITIONER",
    "datapoint_to_token.npy": "TOKENIZATION_NPY",
    "hashed_dataset.npy": "AH_DATASET_NPY",
    "hashed_dataset_soar.npy": "AH_DATASET_SOAR_NPY",
}


_searchers: weakref.WeakSet[Any] = weakref.WeakSet()  # of this process, while they are there


def _keep_searchers() -> None:
    """Keeps ScaNN's searchers for ever: at its end each waits for its threads, and would end a forked process, which lacks them."""
    for searcher in _searchers:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(searcher))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_searchers)


@functools.cache
def scann_trouble() -> str | None:
    """Why ScaNN cannot run here, or None if it can: no package, or a processor that cannot run its code."""
    import importlib.util

    if importlib.util.find_spec("scann") is None:
        return "the package 'scann' is not installed"
    if platform.machine().lower() in ("x86_64", "amd64"):
        try:
            flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="ascii"), re.MULTILINE)
        except (OSError, ValueError):
            return None
        missing = {"avx2", "fma"} - set(flags.group(1).split() if flags else ["avx2", "fma"])
        if missing:
            return f"this processor lacks {' and '.join(sorted(missing))}, which ScaNN needs"
    return None


def _scann() -> Any:
    """The module of ScaNN that works on numpy arrays."""
    trouble = scann_trouble()
    if trouble is not None and "not installed" in trouble:
        raise MissingExtraError("scann", "scann", "ScaNN")
    if trouble is not None:
        raise SearchError(f"ScaNN cannot run: {trouble}.", hint="use Faiss() or BruteForce().")
    from scann.scann_ops.py import scann_ops_pybind

    return scann_ops_pybind


@dataclass(frozen=True)
class _Settings:
    leaves: int | None
    leaves_to_search: int | None
    reorder: int | None
    anisotropic: float
    dims_per_code: int | None
    soar: float | None
    seed: int
    recall: float | None
    k: int


class ScaNN(ApproximateIndex):
    """ScaNN over all candidates, with their exact vectors kept for filters and live changes.

    Args:
        leaves: partitions; by default 2·√n, and none below 20,000 candidates.
        leaves_to_search: partitions searched per query; by default one in forty, at least fifty.
        reorder: candidates re-ranked exactly per query; by default between 200 and 2,000, near 1.5·√n.
        anisotropic: threshold of the anisotropic quantisation loss: errors along a vector weigh more than those
            across it, the more the higher. 0 weighs all alike.
        dims_per_code: coordinates to a 4-bit code; by default 2, and 1 for vectors of at most 16 numbers. 1 doubles the
            codes and loses less.
        soar: each candidate is listed in a second partition too, chosen so that the two miss different queries
            (Sun et al., 2023); the number is the weight of that, by default 1.5; 0 lists it once. From 4 GiB of vectors on,
            which are added in pieces, always once.
        seed: of its clusterings.
        recall: a promise: ``build`` measures and picks what is left out of leaves, leaves_to_search, reorder and
            dims_per_code, so that on held-out queries this part of the true top ``k`` is found, as fast as it goes.
            ``build`` then needs a sample of ``queries``. Where nothing keeps the promise, it returns exact search,
            with a ShortlistWarning.
        k: the k of that promise.

    Changes are searched exactly until ``rebuild()``: see ``churn``.

    Example:
        >>> index = ScaNN(leaves=2000, leaves_to_search=100).build(vectors)  # doctest: +SKIP
        >>> index.search(queries, k=10).row(0)  # doctest: +SKIP
        >>> index = ScaNN(recall=0.95, k=100).build(vectors, queries=queries)  # doctest: +SKIP
    """

    kind: ClassVar[str] = "scann"
    at_search: ClassVar[tuple[str, ...]] = ("leaves_to_search", "reorder")

    def __init__(
        self,
        leaves: int | None = None,
        leaves_to_search: int | None = None,
        reorder: int | None = None,
        anisotropic: float = 0.2,
        dims_per_code: int | None = None,
        soar: float | None = None,
        seed: int = 0,
        recall: float | None = None,
        k: int = 100,
    ) -> None:
        counts = {"leaves": leaves, "leaves_to_search": leaves_to_search, "reorder": reorder}
        check_counts("ScaNN", {**counts, "dims_per_code": dims_per_code})
        check_promise("ScaNN", recall, k)
        if leaves is not None and leaves_to_search is not None and leaves_to_search > leaves:
            raise ConfigError(f"leaves_to_search is {leaves_to_search}; at most leaves, {leaves}, was expected.")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise ConfigError(f"ScaNN's seed is {seed!r}; an integer from 0 to 2^31 − 1 was expected.")
        for name, value in (("anisotropic", anisotropic), ("soar", soar)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
                raise ConfigError(f"ScaNN's {name} is {value!r}; a number of at least 0 was expected.")
        super().__init__(
            _Settings(
                leaves, leaves_to_search, reorder, float(anisotropic), dims_per_code,
                None if soar is None else float(soar), seed, recall, k,
            )
        )  # fmt: skip

    def leaves(self, n: int) -> int:
        """Partitions for ``n`` candidates; 0 for none."""
        if self._settings.leaves is not None:
            return min(int(self._settings.leaves), n) if n >= _TINY else 0
        return 0 if n < _FLAT else round(2 * math.sqrt(n))

    def _leaves_to_search(self, n: int) -> int:
        leaves = self.leaves(n)
        chosen: int = self._settings.leaves_to_search or max(50, leaves // 40)
        return min(leaves, chosen)

    def _rerank(self, n: int, k: int) -> int:
        chosen: int = self._settings.reorder or min(2000, max(200, round(1.5 * math.sqrt(n))))
        return min(n, max(chosen, k))

    def _soar(self, n: int, dim: int) -> float | None:
        """The weight of the second partition, None for none."""
        chosen: float | None = self._settings.soar
        if _in_pieces(n, dim):
            return None
        return (_SOAR if chosen is None else chosen) or None

    def _dims_per_code(self, dim: int) -> int:
        return min(dim, int(self._settings.dims_per_code or (1 if dim <= _NARROW else 2)))

    def require(self) -> None:
        """Check that the library runs here.

        Raises:
            MissingExtraError: where it is not installed.
            SearchError: where it does not run.
        """
        _scann()

    def _train(self, vectors: Floats) -> Any:
        n, dim = vectors.shape
        library = _scann()
        if n < _TINY:
            return None
        if not _in_pieces(n, dim):
            return self._scanned(self._learned(library, vectors, n), n, dim)
        if self._settings.soar:
            raise ConfigError(
                f"ScaNN's soar is {self._settings.soar}, but {n:,} vectors of {dim} are added in pieces, each to one partition.",
                hint="leave soar out",
            )
        rows = np.sort(np.random.default_rng(self._settings.seed).choice(n, min(n, _SAMPLE), replace=False))
        native = self._learned(library, np.ascontiguousarray(vectors[rows]), n)
        native.searcher.reserve(n)
        native.searcher.set_num_threads(os.cpu_count() or 1)
        for low in range(0, n, _PIECE):
            piece = vectors[low : low + _PIECE]
            # the first vectors take the places of the sample's
            places = [row if row < rows.size else None for row in range(low, low + len(piece))]
            native.searcher.upsert(places, list(piece), len(piece))
        return self._scanned(native, n, dim)

    def _scanned(self, native: Any, n: int, dim: int) -> Any:
        """The native index as it is searched once it was saved and loaded; as it is where there is no room for its files."""
        if self.leaves(n) < 2 or self._soar(n, dim) or index_library() is None:
            return native
        with contextlib.suppress(OSError, BundleError), scratch() as folder:
            self._serialize(native, Path(folder))
            return partitions_of({path.name: path for path in Path(folder).iterdir()}) or native
        return native

    def _learned(self, library: Any, vectors: Floats, n: int) -> Any:
        """ScaNN over ``vectors``, with partitions for ``n``."""
        dim = vectors.shape[1]
        builder = library.builder(vectors, 10, "dot_product")
        leaves = self.leaves(n)
        if leaves:
            builder.tree(
                leaves,
                self._leaves_to_search(n),
                min_partition_size=1,
                quantize_centroids=leaves >= _ROUGH,
                soar_lambda=self._soar(n, dim) if leaves > 1 else None,
            )
        threshold = self._settings.anisotropic or math.nan
        builder.score_ah(self._dims_per_code(dim), anisotropic_quantization_threshold=threshold)
        config = builder.create_config()
        for part in ("partitioning {", "asymmetric_hash {"):
            config = config.replace(part, f"{part} clustering_seed: {self._settings.seed}")
        with without_native_log():
            searcher = library.create_searcher(vectors, config, os.cpu_count() or 1)
        _searchers.add(searcher)
        return searcher

    def _probe(self, native: Any, queries: Floats, width: Width, open_: npt.NDArray[np.bool_] | None = None) -> Ints:
        n = native.size()
        leaves = min(self.leaves(n), math.ceil(self._leaves_to_search(n) * width.effort)) or -1
        if isinstance(native, Partitions):
            queries = np.ascontiguousarray(queries)
            if queries.shape[0] == 1:
                return native.search(queries[0], width.results, leaves)[None, :]
            return native.search_batched(queries, width.results, leaves)
        if queries.shape[0] == 1:
            positions, _ = native.search(queries[0], width.results, width.results, leaves)
            return np.asarray(positions, np.int64)[None, :]
        search = native.search_batched if queries.shape[0] < 64 else native.search_batched_parallel
        positions, scores = search(queries, width.results, width.results, leaves)
        return np.where(np.isnan(scores), -1, positions.astype(np.int64))

    def _write_native(self, native: Any, writer: Writer) -> None:
        folder = writer.scratch / _PREFIX
        folder.mkdir()
        if isinstance(native, Partitions):
            native.write(folder)
        else:
            self._serialize(native, folder)
        writer.adopt(folder, _PREFIX)

    @staticmethod
    def _serialize(native: Any, folder: Path) -> None:
        native.serialize(str(folder), True)
        for path in folder.iterdir():
            if path.name not in {*_ASSETS, _CONFIG}:
                path.unlink()

    def _read_native(self, reader: Reader, snapshot: Snapshot) -> Any:
        library = _scann()
        if snapshot.base.ids.size < _TINY:
            return None
        prefix = _PREFIX if reader.roles(_PREFIX) else _WITH_VECTORS
        paths = {name: reader.path(f"{prefix}/{name}") for name in reader.roles(prefix)}
        if _CONFIG not in paths or not set(paths) <= {*_ASSETS, _CONFIG}:
            raise BundleError(f"{reader.folder} does not hold the files of a ScaNN index.")
        try:
            scanned = partitions_of(paths) if prefix == _PREFIX else None
        except (ValueError, OSError) as error:
            raise BundleError(f"ScaNN cannot load {reader.folder}: {error}") from None
        if scanned is not None:
            return self._counted(scanned, reader, snapshot)
        with scratch() as folder:
            shutil.copy(paths.pop(_CONFIG), Path(folder) / _CONFIG)
            assets = "".join(
                f'assets {{ asset_type: {_ASSETS[name]} asset_path: "{_quoted(path)}" }}\n'
                for name, path in paths.items()
            )
            if prefix == _WITH_VECTORS:
                assets += f'assets {{ asset_type: DATASET_NPY asset_path: "{_quoted(reader.path("vectors"))}" }}\n'
            try:
                with without_native_log():
                    searcher = library.ScannSearcher(library.scann_pybind.ScannNumpy(folder, assets))
            except Exception as error:
                raise BundleError(f"ScaNN cannot load {reader.folder}: {error}") from None
        _searchers.add(searcher)
        return self._counted(searcher, reader, snapshot)

    @staticmethod
    def _counted(native: Any, reader: Reader, snapshot: Snapshot) -> Any:
        if native.size() != snapshot.base.ids.size:
            raise BundleError(
                f"{reader.folder} holds {counted(native.size(), 'code')} for {counted(snapshot.base.ids.size, 'vector')}."
            )
        if isinstance(native, Partitions) and native.dim() != snapshot.dim:
            raise BundleError(f"{reader.folder} holds codes of {native.dim()} numbers for vectors of {snapshot.dim}.")
        return native

    def _native_bytes(self, snapshot: Snapshot) -> int:
        n, dim = snapshot.base.vectors.shape
        if n < _TINY:
            return 0
        leaves = self.leaves(n)
        codes = math.ceil(math.ceil(dim / self._dims_per_code(dim)) / 2) + 1
        listed = 2 if leaves > 1 and self._soar(n, dim) else 1
        return int(n * (listed * (codes + (4 if leaves else 0))) + leaves * dim * 4)


def _in_pieces(n: int, dim: int) -> bool:
    """Whether ``n`` vectors of ``dim`` are too many to be given to ScaNN at once."""
    return n * dim * 4 >= _AT_ONCE


def _quoted(path: Path) -> str:
    """The path as a protobuf text string holds it, whatever its characters."""
    return "".join(
        chr(byte) if 32 < byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in os.fsencode(path.resolve())
    )
