"""One query's candidates, ranked again by their vectors: by a compiled library (``native/rank.c``) or by numpy, to the same bits.

1. Positions that are −1 or excluded are left out.
2. Float32 products rule out those that rounding cannot bring among the k best.
3. The others are scored in float64 and rounded once.
4. The k best, equal scores by rising position.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np

from shortlist.index.block import member
from shortlist.index.exact import pair_scores
from shortlist.index.halves import Halves
from shortlist.index.library import OUTSIDE, TOO_FEW, index_library
from shortlist.index.values import Floats, Ints
from shortlist.index.workspace import Workspace
from shortlist.language import counted

__all__ = ["Bounds", "Ranked", "ranked"]

_ALL = 64  # candidates that are all scored in float64: a first ranking would take longer
_LONGEST = 8192  # numpy adds longer vectors in another order
_MOST = 1 << 32  # candidates that rank.c can count


class Bounds(NamedTuple):
    """When a ranking is worth making.

    Attributes:
        least: candidates that must be left.
        bearable: candidates that may be excluded.
    """

    least: int
    bearable: int


class Ranked(NamedTuple):
    """The best candidates, best first; None where too few were left or too many excluded. And how many were excluded."""

    positions: Ints | None
    scores: Floats
    lost: int


class _Ranking(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "dim", "count", "taken", "k", "least", "bearable", "all")),
        ("slack", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("vectors", "query", "places", "excluded", "found", "scores")),
        *((name, ctypes.c_int64) for name in ("size", "lost")),
    )


class _Workspace(Workspace):
    """Memory of a thread for the arrays of a ranking."""

    places = excluded = found = np.empty(0, np.int64)
    query = scores = np.empty(0, np.float32)

    def __init__(self) -> None:
        super().__init__(_Ranking, all=_ALL)
        self.put(query=np.empty(_LONGEST, np.float32))

    def hold(self, vectors: Floats | Halves) -> bool:
        """Whether the library can rank by these vectors, whose address is noted."""
        if not (
            isinstance(vectors, np.ndarray)
            and vectors.dtype == np.float32
            and vectors.flags.c_contiguous
            and len(vectors) < _MOST
            and vectors.shape[1] <= _LONGEST
        ):
            return False
        n, dim = vectors.shape
        self.borrow(vectors, {"vectors": vectors}, n=n, dim=dim)
        return True

    def widen(self, count: int, taken: int) -> None:
        """Room for so many positions and exclusions."""
        if count > self.places.size:
            found, scores, places = (np.empty(2 * count, kind) for kind in (np.int64, np.float32, np.int64))
            self.put(found=found, scores=scores, places=places)
        if taken > self.excluded.size:
            self.put(excluded=np.empty(2 * taken, np.int64))


_workspace = _Workspace()


def ranked(
    query: Floats,
    vectors: Floats | Halves,
    positions: Ints,
    k: int,
    slack: float,
    excluded: Ints | None,
    bounds: Bounds,
) -> Ranked:
    """The k best of some candidates for one query.

    Args:
        query: float32 ``[dim]``.
        vectors: float32 ``[n, dim]``.
        positions: distinct, in any order; −1 for none.
        slack: twice the most by which a float32 product can miss.
        excluded: rising positions that the query may not have.

    Raises:
        IndexError: for a position beyond the n, which is a fault of the index that found it.
    """
    library, work = index_library(), _workspace
    if library is None or not (work.owner() is vectors or work.hold(vectors)):
        return _by_numpy(query, vectors, positions, k, slack, excluded, bounds)
    count, taken = positions.size, 0 if excluded is None else excluded.size
    if count > work.places.size or taken > work.excluded.size:
        work.widen(count, taken)
    given = work.given
    work.query[: query.size] = query
    work.places[:count] = positions
    if excluded is not None:
        work.excluded[:taken] = excluded
    given.count, given.taken, given.k, given.slack = count, taken, min(k, count), slack
    given.least, given.bearable = bounds
    status = library.shortlist_rank(work.reference)
    size, lost = given.size, given.lost
    if status == TOO_FEW:
        return Ranked(None, np.empty(0, np.float32), lost)
    if status == OUTSIDE:
        raise IndexError(f"a position is beyond the {counted(len(vectors), 'vector')}")
    if status:
        return _by_numpy(query, vectors, positions, k, slack, excluded, bounds)
    return Ranked(work.found[:size].copy(), work.scores[:size].copy(), lost)


def _by_numpy(
    query: Floats,
    vectors: Floats | Halves,
    positions: Ints,
    k: int,
    slack: float,
    excluded: Ints | None,
    bounds: Bounds,
) -> Ranked:
    if positions.size > _ALL:
        positions = np.sort(positions)  # read in the order of memory
    positions = positions[positions >= 0]
    lost = 0
    if excluded is not None and excluded.size:
        barred = member(excluded, positions)
        lost = int(np.count_nonzero(barred))
        positions = positions[~barred] if lost else positions
    if positions.size < bounds.least or lost > bounds.bearable:
        return Ranked(None, np.empty(0, np.float32), lost)
    if positions.size > max(k, _ALL):
        scores = np.einsum("ij,j->i", vectors.take(positions, axis=0), query)
        kth = np.partition(scores, scores.size - k)[scores.size - k]
        positions = positions[~(scores < kth - slack)]
    exact = pair_scores(query[None], vectors, np.zeros(positions.size, np.int64), positions)
    order = np.lexsort((positions, -exact))[:k]
    return Ranked(positions[order], exact[order], lost)
