"""Candidates that an index found for one query and those of another source, joined by the compiled library (``native/joined.c``).

1. The candidates that the index found, with the scores that the other source has for them, 0 for none.
2. Those that only the other source found, scored as the index scores: in float64 by the query's best head, rounded once.

Where ``joined`` has no answer its caller does the same in numpy, with ``best_heads``, to the same bits.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np

from shortlist.index.contract import Index
from shortlist.index.library import index_library
from shortlist.index.values import Floats, Ints
from shortlist.index.workspace import Workspace

__all__ = ["Joined", "best_heads", "joined"]

_ROOM = 1024  # candidates that are joined at once: of more, a look at which of them matter takes less time
_LONGEST = 8192  # numpy adds longer vectors in another order


class Joined(NamedTuple):
    """Candidates, and their scores by the index and by the other source."""

    rows: Ints
    of_index: Floats
    of_other: Floats


class _Joining(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "dim", "heads", "count", "more")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                "vectors", "query", "found", "scores", "near", "weights", "rows", "of_index", "of_near",
            )
        ),
        ("size", ctypes.c_int64),
    )  # fmt: skip


class _Workspace(Workspace):
    """Memory of a thread for input and output."""

    found = near = rows = np.empty(0, np.int64)
    query = scores = weights = of_index = of_near = np.empty(0, np.float32)

    def __init__(self) -> None:
        super().__init__(_Joining)
        self.put(**{name: np.empty(_ROOM, np.int64) for name in ("found", "near", "rows")})
        self.put(**{name: np.empty(_ROOM, np.float32) for name in ("scores", "weights", "of_index", "of_near")})


_workspace = _Workspace()


def joined(index: Index, query: Floats, found: Ints, scores: Floats, near: Ints, weights: Floats) -> Joined | None:
    """The candidates that the index found, then those that only the other source did, each with the scores of both.

    None where the library is missing or the index has its vectors elsewhere, and for very many candidates.

    Args:
        index: whose ids are rows.
        query: float32 ``[heads · dim]``.
        found: distinct ids that the index found, ``scores`` what it has for them.
        near: ids of the other source, rising, ``weights`` what it has for them.
    """
    library, work = index_library(), _workspace
    count, more = found.size, near.size
    if library is None or count + more > _ROOM:
        return None
    by_id = getattr(index, "_vectors_by_id", None)
    vectors = None if by_id is None else by_id()
    if vectors is None or vectors.shape[1] > _LONGEST:
        return None
    n, dim = vectors.shape
    if work.owner() is not vectors:
        work.borrow(vectors, {"vectors": vectors}, n=n, dim=dim)
    if query.size > work.query.size:
        work.put(query=np.empty(query.size, np.float32))
    given = work.given
    given.heads = query.size // dim
    work.query[: query.size] = query
    work.found[:count], work.scores[:count] = found, scores
    work.near[:more], work.weights[:more] = near, weights
    given.count, given.more = count, more
    if library.shortlist_join(work.reference):
        return None  # also for an id that the index lacks: asking for its vector is an error
    size = given.size
    return Joined(work.rows[:size].copy(), work.of_index[:size].copy(), work.of_near[:size].copy())


def best_heads(query: Floats, vectors: Floats) -> Floats:
    """The scores of candidates for one query by its best head, as an index scores, float32 ``[candidates]``.

    Args:
        query: float32 ``[heads · dim]``.
        vectors: float32 ``[candidates, dim]``.
    """
    heads, wide = query.reshape(-1, vectors.shape[1]).astype(np.float64), vectors.astype(np.float64)
    best = np.einsum("ij,j->i", wide, heads[0])
    for head in heads[1:]:
        np.maximum(best, np.einsum("ij,j->i", wide, head), out=best)
    found: Floats = best.astype(np.float32)
    return found
