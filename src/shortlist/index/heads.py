"""Queries of several vectors: every head is searched, and the lists are merged without repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.index.contract import Index
from shortlist.index.values import Floats, Hits, Ints, Lists, offsets_of, taken

__all__ = ["repeated", "score_heads", "search_heads"]


def search_heads(index: Index, queries: Floats, k: int, *, exclude: Lists | None = None, **filters: Any) -> Hits:
    """The k best candidates of each query, each scored by the query's best head; as ``index.search`` otherwise.

    Args:
        queries: float32 ``[queries, heads · dim]``, the heads of a query one after another; with one head this is
            ``index.search`` itself. The k best by the best head are among the k best of the heads, so the merge is
            exact where the index is. Equal scores are in the order of the heads' lists.

    Example:
        >>> from shortlist.index import BruteForce
        >>> index = BruteForce().build(np.eye(3, dtype=np.float32))
        >>> hits = search_heads(index, np.array([[3, 2, 0, 0, 1, 5]], dtype=np.float32), k=3)
        >>> hits.row(0)
        (array([2, 0, 1]), array([5., 3., 2.], dtype=float32))
    """
    heads, rest = divmod(queries.shape[1], index.dim) if queries.ndim == 2 and index.dim else (1, 0)
    if heads <= 1 or rest:
        return index.search(queries, k, exclude=exclude, **filters)
    if isinstance(filters.get("allow"), Lists):
        filters["allow"] = repeated(filters["allow"], heads)
    split = np.ascontiguousarray(queries.reshape(len(queries) * heads, index.dim))
    exclude = None if exclude is None else repeated(exclude, heads)
    hits = index.search(split, k, exclude=exclude, **filters)
    return _merged(hits, len(queries), heads, k)


def score_heads(queries: Floats, vectors: Floats) -> npt.NDArray[np.float64]:
    """The score of every candidate for every query, by its best head, float64 ``[queries, candidates]``.

    Args:
        queries: ``[queries, heads · dim]``.
        vectors: ``[candidates, dim]``.
    """
    dim = vectors.shape[1]
    split = queries.astype(np.float64).reshape(len(queries), queries.shape[1] // dim, dim)  # [queries, heads, dim]
    best: npt.NDArray[np.float64] = (split @ vectors.astype(np.float64).T).max(1)
    return best


def repeated(lists: Lists, heads: int) -> Lists:
    """Each list ``heads`` times, one after another."""
    return taken(lists, np.repeat(np.arange(len(lists)), heads))


def _merged(hits: Hits, queries: int, heads: int, k: int) -> Hits:
    """The first k of each query's hits by score, every id once, with its highest score."""
    owner = np.repeat(np.arange(queries), np.diff(hits.offsets[::heads]))  # [hits]
    by_score = np.lexsort((-hits.scores, owner))  # stable: equal scores stay in the order of the lists
    owner, ids, scores = owner[by_score], hits.ids[by_score], hits.scores[by_score]
    first = _first_of_each(owner, ids)
    owner, ids, scores = owner[first], ids[first], scores[first]
    starts = offsets_of(np.bincount(owner, minlength=queries))
    kept = np.arange(len(owner)) - starts[owner] < k
    counts = np.bincount(owner[kept], minlength=queries)
    return Hits(offsets_of(counts), ids[kept], scores[kept])


def _first_of_each(owner: Ints, ids: Ints) -> Ints:
    """Places of the first of equal (owner, id), ascending."""
    order = np.lexsort((np.arange(len(ids)), ids, owner))
    new = np.ones(len(order), np.bool_)
    new[1:] = (owner[order][1:] != owner[order][:-1]) | (ids[order][1:] != ids[order][:-1])
    return np.sort(order[new])
