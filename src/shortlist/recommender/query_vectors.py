"""Vectors of queries: stored ones, those of the tower, and those that are folded in from what a query chose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.recommender.requests import Request, feature_table
from shortlist.recommender.served import Served

__all__ = ["embedded"]


def embedded(
    served: Served,
    request: Request,
    rows: NDArray[np.int64],
    known: NDArray[np.bool_],
    chosen: Sequence[NDArray[np.int64]],
) -> NDArray[np.float32]:
    """The queries' vectors ``[queries, heads · dim]`` by the tower, moved by fold-in towards what each chose.

    Of several heads the one with the highest scores for the choices is moved; for a query that the tower does not know, all.

    Args:
        rows: of the stored queries, -1 for others.
        known: whether training had them.
    """
    state = served.state
    vectors = _from_tower(served, request, rows, known)
    moving = np.flatnonzero([len(one) for one in chosen])
    if len(moving):
        fold, lists = served.fold_in, [chosen[number] for number in moving.tolist()]
        informed = known[moving] | any(name != state.query for name in state.reads)
        heads = vectors[moving].reshape(len(moving), -1, state.dim)  # [moving, heads, dim]
        nearest = np.zeros(len(moving), np.int64)
        if heads.shape[1] > 1:
            wanted = np.stack([served.vectors_of(rows).sum(0, dtype=np.float64) for rows in lists])
            nearest = np.einsum("thd,td->th", heads, wanted).argmax(1)
        own = heads[np.arange(len(moving)), nearest]
        expected = np.where(informed[:, None], own, fold.prior.mean.astype(np.float32))
        moved = fold.vectors_of(lists, expected if informed.any() else None)
        heads[np.arange(len(moving)), nearest] = moved
        vectors[moving] = np.where(informed[:, None, None], heads, moved[:, None]).reshape(len(moving), -1)
    return vectors


def _from_tower(
    served: Served, request: Request, rows: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.float32]:
    state = served.state
    own = any(name in state.reads for name in request.features)
    if own or state.query_vectors is None or state.unknown_vector is None:
        return served.embedder.vectors("query", feature_table(request, rows, known, state))
    vectors = state.query_vectors[rows]
    if not known.all():
        vectors[rows < 0] = state.unknown_vector
    return vectors
