"""Vectors of queries: stored ones, those of the tower, and those that are folded in from what a query chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.recommender.requests import Request, feature_table
from shortlist.recommender.served import Served

__all__ = ["embedded", "warm_towers"]


def warm_towers(served: Served, pause: Callable[[], object] = lambda: None) -> None:
    """Import, build and run each query tower that a request may need: one that reads more than the query's id.

    Vectors of the others are all stored, so nothing is imported for them.

    Args:
        pause: called between parts of the work.

    Raises:
        ShortlistError: for a tower that cannot run here.
    """
    for one in (served, *served.others):
        state = one.state
        if state.query_vectors is not None and all(name == state.query for name in state.reads):
            continue
        pause()
        one.embedder.import_runtime("query")
        pause()
        one.embedder.columns("query")
        first = state.candidate_ids.take(np.arange(min(1, state.size)))
        histories = {name: pl.Series(name, [first]) for name in state.history_columns}
        pause()
        nothing, nobody = np.array([-1]), np.array([False])
        one.embedder.vectors("query", feature_table(Request([None], histories), nothing, nobody, state))


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
    if not chosen:
        return vectors
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
        moved = np.empty_like(own)
        for some, expected in (
            (informed, own),
            (~informed, None),
        ):  # apart, so that no vector depends on the other queries
            if some.any():
                of_some = [lists[number] for number in np.flatnonzero(some).tolist()]
                moved[some] = fold.vectors_of(of_some, None if expected is None else expected[some])
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
