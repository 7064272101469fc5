"""Candidates that an index found for one query and those of another source, joined by the compiled library (``native/joined.c``).

1. The candidates that the index found, with the scores that the other source has for them, 0 for none.
2. Those that only the other source found, scored as the index scores: in float64 by the query's best head, rounded once.

Where ``joined`` has no answer its caller does the same in numpy, with ``best_heads``, to the same bits.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from shortlist.index.contract import Index
from shortlist.index.library import addresses, index_library
from shortlist.index.values import Floats, Ints

__all__ = ["Joined", "best_heads", "joined"]

_ROOM = 1024  # candidates that are joined at once: of more, a look at which of them matter takes less time
_LONGEST = 8192  # numpy adds longer vectors in another order


def _none() -> None:
    """In place of a reference."""


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


class _Workspace(threading.local):
    """Memory of a thread for input and output, so that a call needs no addresses but those it has."""

    def __init__(self) -> None:
        self.given = _Joining()
        self.reference = ctypes.byref(self.given)
        self.vectors: Callable[[], object] = _none
        self.query = np.empty(0, np.float32)
        self.found, self.near, self.rows = (np.empty(_ROOM, np.int64) for _ in range(3))
        self.scores, self.weights, self.of_index, self.of_near = (np.empty(_ROOM, np.float32) for _ in range(4))
        given, held = self.given, (self.found, self.scores, self.near, self.weights)
        given.found, given.scores, given.near, given.weights = addresses(*held)
        given.rows, given.of_index, given.of_near = addresses(self.rows, self.of_index, self.of_near)

    def hold(self, vectors: Floats, numbers: int) -> None:
        """Notes the address of the vectors, and makes room for a query of so many numbers."""
        self.vectors = _none  # until all is noted: an interrupt may come between any two lines
        self.query = np.empty(numbers, np.float32)
        self.given.n, self.given.dim = vectors.shape
        self.given.heads = numbers // vectors.shape[1]
        self.given.vectors, self.given.query = addresses(vectors, self.query)
        self.vectors = weakref.ref(vectors)


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
    vectors = getattr(index, "_vectors_by_id", _none)()
    if vectors is None or vectors.shape[1] > _LONGEST:
        return None
    if not (work.vectors() is vectors and work.query.size == query.size):
        work.hold(vectors, query.size)
    given = work.given
    work.query[:] = query
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
