"""Exact search of several queries among some thousand candidates, by the compiled library (``native/few.c``).

Where ``best_of_few`` has no answer its caller searches in numpy (``top.py``), to the same bits.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from shortlist.index.checks import LONGEST_SQUARED
from shortlist.index.exact import SHORTEST, slack_of
from shortlist.index.halves import Halves
from shortlist.index.library import index_library
from shortlist.index.values import Floats, Hits, Lists
from shortlist.index.workspace import Workspace

__all__ = ["best_of_few", "is_few"]

_FEW = 1 << 12  # candidates, for any number of queries
_MORE = 1 << 14  # candidates for fewer queries,
_PRODUCTS = 1 << 20  # of so many products: BLAS does more in several threads
_ITEMS = 1 << 16  # of all lists together
_NUMBERS = 1 << 20  # of all queries, and of what they exclude
_LONGEST = 8192  # numpy adds longer vectors in another order
_NEAR = 0.9999  # of the longest query that numpy's check takes, which rounds its length


class _Few(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "dim", "queries", "k")),
        *((name, ctypes.c_double) for name in ("error", "shortest", "longest")),
        *(
            (name, ctypes.c_void_p)
            for name in ("vectors", "query", "offsets", "excluded", "found", "scores", "ends")
        ),
    )  # fmt: skip


class _Workspace(Workspace):
    """Memory of a thread for input and output."""

    offsets = excluded = found = ends = np.empty(0, np.int64)
    query = scores = np.empty(0, np.float32)

    def __init__(self) -> None:
        super().__init__(_Few)
        self.given.shortest, self.given.longest = SHORTEST, _NEAR * LONGEST_SQUARED**0.5

    def hold(self, vectors: Floats, max_norm: float) -> None:
        """Notes the address of the candidates' vectors."""
        n, dim = vectors.shape
        self.borrow(vectors, {"vectors": vectors}, n=n, dim=dim, error=slack_of(1.0, max_norm, dim))

    def widen(self, queries: int, numbers: int, items: int, taken: int) -> None:
        """Room for so many queries, with so many numbers, that many items of lists, and so many exclusions."""
        if queries >= self.ends.size:
            self.put(offsets=np.empty(2 * queries + 1, np.int64), ends=np.empty(2 * queries + 1, np.int64))
        if numbers > self.query.size:
            self.put(query=np.empty(2 * numbers, np.float32))
        if items > self.found.size:
            self.put(scores=np.empty(2 * items, np.float32), found=np.empty(2 * items, np.int64))
        if taken > self.excluded.size:
            self.put(excluded=np.empty(2 * taken, np.int64))


_workspace = _Workspace()


def is_few(candidates: int) -> bool:
    """Whether ``best_of_few`` may have an answer among so many candidates."""
    return 0 < candidates <= _MORE


def best_of_few(vectors: Floats | Halves, max_norm: float, queries: Any, k: Any, exclude: Lists | None) -> Hits | None:
    """The k best positions of each query; None for many candidates, without the library, and for anything that is to be refused.

    Args:
        vectors: float32 ``[n, dim]``, none longer than ``max_norm``.
        queries: float32 ``[queries, dim]``, not checked yet, nor is ``k``.
        exclude: positions that each query may not have; others are ignored.
    """
    library, work = index_library(), _workspace
    if library is None or not (isinstance(vectors, np.ndarray) and is_few(len(vectors))):
        return None
    n, dim = vectors.shape
    if not (type(queries) is np.ndarray and queries.dtype == np.float32 and queries.ndim == 2 and type(k) is int):
        return None
    count, k = len(queries), min(k, n)
    if n > _FEW and count * n > _PRODUCTS:
        return None
    taken = 0 if exclude is None else exclude.values.size
    if queries.shape[1] != dim or not 0 < dim <= _LONGEST or (exclude is not None and len(exclude) != count):
        return None
    if not (k > 0 and 0 < count * k <= _ITEMS and max(queries.size, taken) <= _NUMBERS):
        return None
    if work.owner() is not vectors:
        if vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
            return None
        work.hold(vectors, max_norm)
    work.widen(count, queries.size, count * k, taken)
    work.query[: queries.size] = queries.ravel()
    if exclude is None:
        work.offsets[: count + 1] = 0
    else:
        work.offsets[: count + 1] = exclude.offsets
        work.excluded[:taken] = exclude.values
    given = work.given
    given.queries, given.k = count, k
    if library.shortlist_few(work.reference):
        return None
    offsets = work.ends[: count + 1].copy()
    size = int(offsets[-1])
    return Hits(offsets, work.found[:size].copy(), work.scores[:size].copy())
