"""Faiss: HNSW graphs, and inverted lists of product-quantised codes."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from shortlist._forks import refuse_after_fork
from shortlist.errors import BundleError, ConfigError, MissingExtraError, did_you_mean
from shortlist.index.approximate import ApproximateIndex, Width
from shortlist.index.base import Snapshot
from shortlist.index.checks import check_counts, check_promise
from shortlist.index.storage import Reader, Writer
from shortlist.index.values import Floats, Ints

__all__ = ["Faiss", "faiss_trouble"]

_TINY = 1024  # below, inverted lists and codebooks have too few points to learn from: HNSW is built
_KINDS = ("hnsw", "ivfpq")
_NO_COUNTS = ("method", "recall")
_FILE = "faiss/index.bin"


def faiss_trouble() -> str | None:
    """Why Faiss cannot run here, or None if it can."""
    return None if importlib.util.find_spec("faiss") else "the package 'faiss-cpu' is not installed"


def _faiss() -> Any:
    if faiss_trouble() is not None:
        raise MissingExtraError("faiss-cpu", "faiss", "Faiss")
    import faiss

    refuse_after_fork("Faiss")
    return faiss


@dataclass(frozen=True)
class _Settings:
    method: str
    links: int
    build_effort: int
    search_effort: int | None
    lists: int | None
    lists_to_search: int | None
    reorder: int | None
    dims_per_code: int
    recall: float | None
    k: int


class Faiss(ApproximateIndex):
    """Faiss over all candidates, with their exact vectors kept for re-ranking, filters and live changes.

    Args:
        method: ``"hnsw"``, a graph (fast, slow to build), or ``"ivfpq"``, inverted lists of compressed codes.
        links: neighbours of a node of the graph.
        build_effort: candidates looked at for each node when the graph is built.
        search_effort: candidates looked at per query; by default 200, at least 2·k.
        lists: inverted lists; by default 2·√n.
        lists_to_search: lists searched per query; by default one in twenty, at least 64.
        reorder: candidates re-ranked exactly per query (``"ivfpq"``); by default 1.5·√n, between 200 and 2,000.
        dims_per_code: coordinates to a 4-bit code (``"ivfpq"``).
        recall: a promise: ``build`` measures and picks what is left out of search_effort, lists, lists_to_search and
            reorder, so that on held-out queries this part of the true top ``k`` is found, as fast as it goes.
            ``build`` then needs a sample of ``queries``. Where nothing keeps the promise, it returns exact search,
            with a ShortlistWarning.
        k: the k of that promise.

    The graph of ``"hnsw"`` is over vectors with one more coordinate that makes all of them equally long, so that
    nearest means largest inner product (Bachrach et al., 2014).
    """

    kind: ClassVar[str] = "faiss"
    at_search: ClassVar[tuple[str, ...]] = ("search_effort", "lists_to_search", "reorder")

    def __init__(
        self,
        method: Literal["hnsw", "ivfpq"] = "hnsw",
        links: int = 32,
        build_effort: int = 80,
        search_effort: int | None = None,
        lists: int | None = None,
        lists_to_search: int | None = None,
        reorder: int | None = None,
        dims_per_code: int = 1,
        recall: float | None = None,
        k: int = 100,
    ) -> None:
        if method not in _KINDS:
            raise ConfigError(f"Faiss has no method {method!r}.", hint=did_you_mean(str(method), _KINDS))
        check_promise("Faiss", recall, k)
        settings = _Settings(
            method, links, build_effort, search_effort, lists, lists_to_search, reorder, dims_per_code, recall, k
        )
        check_counts("Faiss", {name: value for name, value in vars(settings).items() if name not in _NO_COUNTS})
        super().__init__(settings)

    def graph(self, n: int) -> bool:
        """Whether a graph is built over ``n`` candidates."""
        return bool(self._settings.method == "hnsw" or n < _TINY)

    def lists(self, n: int) -> int:
        """Inverted lists for ``n`` candidates."""
        chosen: int = self._settings.lists or round(2 * math.sqrt(n))
        return min(chosen, n // 8)

    def _rerank(self, n: int, k: int) -> int:
        chosen: int = self._settings.reorder or min(2000, max(200, round(1.5 * math.sqrt(n))))
        return min(n, max(k, 2 * k + 16 if self.graph(n) else chosen))

    def require(self) -> None:
        """Check that the library runs here.

        Raises:
            MissingExtraError: where it is not installed.
            SearchError: where it does not run.
        """
        _faiss()

    def _train(self, vectors: Floats) -> Any:
        n, dim = vectors.shape
        library = _faiss()
        if self.graph(n):
            native = library.IndexHNSWFlat(dim + 1, self._settings.links, library.METRIC_L2)
            native.hnsw.efConstruction = self._settings.build_effort
            native.add(_level(vectors))
            return native
        lists = self.lists(n)
        native = library.index_factory(
            dim, f"IVF{lists},PQ{_codes(dim, self._settings.dims_per_code)}x4fs", library.METRIC_INNER_PRODUCT
        )
        rng = np.random.default_rng(0)
        sample = np.sort(rng.permutation(n)[: max(lists * 64, 20_000)])
        native.by_residual = True
        native.cp.min_points_per_centroid = 1
        native.train(vectors[sample])
        native.add(vectors)
        return native

    def _probe(self, native: Any, queries: Floats, width: Width, open_: npt.NDArray[np.bool_] | None = None) -> Ints:
        library = _faiss()
        n = native.ntotal
        if self.graph(n):
            effort = self._settings.search_effort or max(200, 2 * width.results)
            look = max(math.ceil(effort * width.effort), width.results)
            asked = np.concatenate([queries, np.zeros((queries.shape[0], 1), np.float32)], axis=1)
            positions: Ints
            _, positions = native.search(
                asked, width.results, params=library.SearchParametersHNSW(efSearch=min(look, n))
            )
            return positions
        lists = self._settings.lists_to_search or max(64, self.lists(n) // 20)
        look = min(self.lists(n), math.ceil(lists * width.effort))
        _, positions = native.search(queries, width.results, params=library.SearchParametersIVF(nprobe=look))
        return positions

    def _write_native(self, native: Any, writer: Writer) -> None:
        folder = writer.scratch / "faiss"
        folder.mkdir()
        (folder / "index.bin").write_bytes(_faiss().serialize_index(native).tobytes())
        writer.adopt(folder, "faiss")

    def _read_native(self, reader: Reader, snapshot: Snapshot) -> Any:
        library = _faiss()
        if not reader.has(_FILE):
            raise BundleError(f"{reader.folder} does not hold the file of a Faiss index.")
        try:
            native = library.deserialize_index(np.fromfile(reader.path(_FILE), np.uint8))
        except RuntimeError as error:
            raise BundleError(f"Faiss cannot load {reader.path(_FILE)}: {error}") from None
        n, dim = snapshot.base.vectors.shape
        if native.ntotal != n or native.d != dim + self.graph(n):
            raise BundleError(f"{reader.path(_FILE)} does not belong to the vectors next to it.")
        return native

    def _native_bytes(self, snapshot: Snapshot) -> int:
        n, dim = snapshot.base.vectors.shape
        if self.graph(n):
            return int(n * (4 * (dim + 1) + 8 * self._settings.links + 16))
        codes = _codes(dim, self._settings.dims_per_code)
        return int(n * (math.ceil(codes / 2) + 9) + self.lists(n) * dim * 4)


def _codes(dim: int, dims_per_code: int) -> int:
    """Codes to a vector: Faiss wants equal parts, so ``dims_per_code`` counts only where it divides ``dim``."""
    return dim // dims_per_code if dim % dims_per_code == 0 else dim


def _level(vectors: Floats) -> Floats:
    """The vectors with a last coordinate that makes all as long as the longest, ``[n, dim + 1]``."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    last = np.sqrt(np.maximum(squares.max() - squares, 0.0)).astype(np.float32)
    return np.concatenate([vectors, last[:, None]], axis=1)
