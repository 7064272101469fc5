"""What a recommender's state and index say to a request: the vectors it is asked by, what is similar, what an index misses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import ConfigError, DataError
from shortlist.index import Index, Lists
from shortlist.index.checks import check_k
from shortlist.recommender.answers import Asked, answered, overlap
from shortlist.recommender.eligible import allowed, check_unknown, excluded
from shortlist.recommender.recommendations import Recommendations
from shortlist.recommender.requests import (
    Request,
    candidate_lists,
    candidate_rows,
    exact_ids,
    feature_table,
    own_histories,
)
from shortlist.recommender.state import Id, State

__all__ = ["answered_by_model", "asked_of", "golden_of", "overlap_of", "similar_to", "vectors_of"]


def asked_of(
    state: State,
    embed: Callable[[pl.DataFrame], NDArray[np.float32]],
    request: Request,
    k: int,
    cold_start: str,
    *,
    exclude_seen: bool,
    chosen: Sequence[Sequence[Id]] | None,
    exclude: Sequence[Sequence[Id]] | None,
    allow: Iterable[Id] | None,
    deny: Iterable[Id] | None,
    where: str | None,
) -> tuple[Asked, list[bool]]:
    """A request as the index is asked it, and whether training had each query; see ``Recommender.recommend``."""
    rows = np.array(state.query_ids.rows(request.ids), np.int64)
    known = (rows >= 0) & state.known[rows]
    familiar: list[bool] = known.tolist()
    own = candidate_lists(chosen, len(rows), state.candidate_ids, "chosen")
    told = [one or len(rows) > 0 for one, rows in zip(familiar, own, strict=True)] if own else familiar
    if not all(told):
        check_unknown(request.ids, told, cold_start)
    recent = own_histories(request, state)
    asked = Asked(
        vectors=vectors_of(state, embed, request, rows, known, own),
        k=k,
        by_model=[True] * len(told) if answered_by_model(state, cold_start) else told,
        exclude=excluded(state, rows, exclude_seen, exclude, [recent, own]),
        allow=allowed(state, allow, where),
        deny=None if deny is None else candidate_rows(deny, state.candidate_ids, "deny"),
        histories=None
        if state.near is None
        else state.near.of_queries(np.where(known, rows, -1), _joined(recent, own)),
    )
    return asked, familiar


def golden_of(state: State, cold_start: str, rows: Sequence[int], vectors: NDArray[np.float32], k: int) -> Asked:
    """A stored request, seen candidates left out: queries by row, -1 for an unknown one."""
    by_model = [row >= 0 or answered_by_model(state, cold_start) for row in rows]
    at = np.array(rows, np.int64)
    histories = None if state.near is None else state.near.of_queries(at)
    return Asked(vectors, k, by_model, excluded(state, at, True), histories=histories)


def answered_by_model(state: State, cold_start: str) -> bool:
    """Whether the towers answer a query of which nothing is known: not by popularity, and not where they read ids alone."""
    if cold_start == "auto":
        return state.reads != (state.query,)
    return cold_start != "popularity"


def _joined(first: Sequence[NDArray[np.int64]], second: Sequence[NDArray[np.int64]]) -> Sequence[NDArray[np.int64]]:
    """Lists of one query put together; either may be missing."""
    if not len(first) or not len(second):
        return first or second
    return [np.concatenate(both) for both in zip(first, second, strict=True)]


def vectors_of(
    state: State,
    embed: Callable[[pl.DataFrame], NDArray[np.float32]],
    request: Request,
    rows: NDArray[np.int64],
    known: NDArray[np.bool_],
    chosen: Sequence[NDArray[np.int64]] = (),
) -> NDArray[np.float32]:
    """The queries' vectors ``[queries, heads · dim]`` by the tower, moved to what each chose.

    Of several heads that one moves which has the highest scores for it; where the tower knows nothing of a query, all do.

    embed: the query tower, from a table of its columns. rows: of the stored queries, -1 for others. known: whether training
    had them.
    """
    vectors = _from_tower(state, embed, request, rows, known)
    told = np.flatnonzero([len(one) for one in chosen])
    if len(told):
        fold, lists = state.fold_in, [chosen[number] for number in told.tolist()]
        informed = known[told] | any(name != state.query for name in state.reads)
        heads = vectors[told].reshape(len(told), -1, state.vectors.shape[1])  # [told, heads, dim]
        wanted = np.stack([state.vectors[rows].sum(0, dtype=np.float64) for rows in lists])
        nearest = np.einsum("thd,td->th", heads, wanted).argmax(1)
        own = heads[np.arange(len(told)), nearest]
        expected = np.where(informed[:, None], own, fold.mean.astype(np.float32))
        moved = fold.vectors_of(lists, expected if informed.any() else None)
        heads[np.arange(len(told)), nearest] = moved
        vectors[told] = np.where(informed[:, None, None], heads, moved[:, None]).reshape(len(told), -1)
    return vectors


def _from_tower(
    state: State,
    embed: Callable[[pl.DataFrame], NDArray[np.float32]],
    request: Request,
    rows: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> NDArray[np.float32]:
    if request.features or state.query_vectors is None or state.unknown_vector is None:
        return embed(feature_table(request, rows, known, state))
    vectors = state.query_vectors[rows]
    if not known.all():
        vectors[rows < 0] = state.unknown_vector
    return vectors


def similar_to(state: State, index: Index, candidates: Sequence[Id], k: int, where: str | None) -> Recommendations:
    """See ``Recommender.similar``."""
    ids = exact_ids(candidates, state.candidate_ids, "candidates")
    rows = np.array(state.candidate_ids.rows(ids), np.int64)
    missing = [value for value, row in zip(ids, rows.tolist(), strict=True) if row < 0]
    if missing:
        raise DataError(
            f"the catalogue does not have {missing[0]!r} ({len(missing)} of {len(ids)} are missing).",
            hint="ids are compared exactly, including their type; candidate_ids lists them",
        )
    itself = Lists(np.arange(len(rows) + 1), rows)
    histories = None if state.near is None else itself
    asked = Asked(state.vectors[rows], k, [True] * len(rows), itself, allowed(state, None, where), histories=histories)
    answers = answered(asked, index, state, ())
    name, known = state.candidate, [True] * len(rows)
    return Recommendations((name, name), ids, known, answers, state.candidate_ids, state.candidate_ids.series.dtype)


def overlap_of(state: State, index: Index, k: int, sample: int | None) -> float:
    """See ``Recommender.ann_overlap``."""
    if state.query_vectors is None:
        raise ConfigError(
            "the query tower reads columns that only a request has, so there are no stored queries to use.",
            hint="call recommend() with those columns",
        )
    rows = np.flatnonzero(state.known)
    if sample is not None and check_k(sample) < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, sample).astype(np.int64)]
    return overlap(index, state.vectors, np.asarray(state.query_vectors[rows]), k)
