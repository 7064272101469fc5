"""The steps of a request: it is read into rows (``Request``), answered in rows (``Answers``), and given raw ids again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.data.argument_checks import check_kind
from shortlist.data.id_map import Id
from shortlist.errors import ConfigError, DataError, check_flags
from shortlist.index import Lists
from shortlist.index.checks import check_k
from shortlist.recommender.answers import answered, overlap, scored
from shortlist.recommender.asked import Asked
from shortlist.recommender.contexts import context_of
from shortlist.recommender.eligible import Open, check_unknown, excluded, opened
from shortlist.recommender.query_vectors import embedded
from shortlist.recommender.reasons import Origins, reasons_of
from shortlist.recommender.recommendations import Recommendations
from shortlist.recommender.requests import candidate_lists, exact_ids, own_histories, read_request
from shortlist.recommender.rerank import Rerank
from shortlist.recommender.reranking import reranked
from shortlist.recommender.served import Served
from shortlist.sources import Context, Filters

__all__ = ["overlap_of", "query_vectors", "recommend", "score", "similar"]


def recommend(
    served: Served,
    queries: Any,
    k: int = 10,
    *,
    exclude_seen: bool = True,
    history: Sequence[Sequence[Id]] | None = None,
    exclude: Sequence[Sequence[Id]] | None = None,
    allow: Iterable[Id] | None = None,
    deny: Iterable[Id] | None = None,
    where: str | None = None,
    rerank: Rerank | None = None,
    explain: bool = False,
    open_: Open | None = None,
    met: Mapping[str, NDArray[np.int64]] | None = None,
    pause: Callable[[], object] = lambda: None,
) -> Recommendations:
    """The k best candidates of each query, best first; see ``Recommender.recommend``.

    Args:
        open_: the candidates that ``allow``, ``deny`` and ``where`` leave open, in place of them, for requests that are
            answered in pieces.
        met: likewise the rows that meet each condition of ``rerank``.
        pause: called about each millisecond while lists are put together by rules.
    """
    check_flags("recommend()", exclude_seen=exclude_seen, explain=explain)
    check_kind(rerank, "recommend(rerank=)", "Rerank", optional=True, hint="shortlist.Rerank(diversify=0.3)")
    state, policy, k = served.state, served.policy, check_k(k)
    request = read_request(queries, state, served.reads_in_all)
    rows, known = state.rows_of(request.ids)
    own = candidate_lists(history, len(rows), state.candidate_ids, "history")
    recent = own_histories(request, served.history_columns, state.candidate_ids)
    answerable = known.tolist()
    for lists in (own, recent):
        if lists:
            answerable = [one or len(items) > 0 for one, items in zip(answerable, lists, strict=True)]
    if not all(answerable):
        check_unknown(request.ids, answerable, policy.cold_start)
    vectors = embedded(served, request, rows, known, own)
    open_ = opened(state, allow, deny, where) if open_ is None else open_
    filters = Filters(excluded(state, rows, exclude_seen, exclude, [recent, own]), open_.allowed, open_.denied)
    by_model = [True] * len(answerable) if policy.answered_by_model(served) else answerable
    others = [embedded(one, request, rows, known, own) for one in served.others]
    context = context_of(served, np.where(known, rows, -1), _joined(recent, own), request, others, rows)
    asked = Asked(served, vectors, filters, by_model, context, policy.fallback)
    answers = asked.best(k) if rerank is None else reranked(asked, rerank, request.ids, k, met, pause)
    reasons = reasons_of(asked, answers, Origins(request, rows, known, own)) if explain else None
    columns, ids = (state.query, state.candidate), state.candidate_ids
    dtype = state.query_ids.ids.dtype
    found = Recommendations(columns, request.ids, known.tolist(), answers, ids, dtype, reasons, state.candidates)
    return found._with_titles(state.titles)


def similar(
    served: Served,
    candidates: Sequence[Id],
    k: int = 10,
    *,
    where: str | None = None,
    open_: Open | None = None,
) -> Recommendations:
    """The candidates whose vectors have the largest dot product with each given one's; see ``Recommender.similar``.

    Args:
        open_: as for ``recommend``.
    """
    state, k = served.state, check_k(k)
    ids = exact_ids(candidates, state.candidate_ids, "candidates")
    rows = np.array(state.candidate_ids.rows(ids), np.int64)
    missing = [value for value, row in zip(ids, rows.tolist(), strict=True) if row < 0]
    if missing:
        raise DataError(
            f"the catalogue does not have {missing[0]!r} ({len(missing)} of {len(ids)} are missing).",
            hint="ids are compared exactly, including their type; candidate_ids lists them",
        )
    itself = Lists(np.arange(len(rows) + 1), rows)
    open_ = opened(state, None, None, where) if open_ is None else open_
    filters = Filters(itself, open_.allowed)
    known, context = [True] * len(rows), None
    if state.near is not None:
        alone = state.near.without_lists  # which know nothing of one candidate's likeness to another
        served = replace(served, state=replace(state, near=alone))
        nothing = np.zeros((len(rows), 0), np.int64)
        context = Context(itself, nothing, tuple(one.vectors_of(rows) for one in served.others))
    answers = answered(served, served.vectors_of(rows), k, filters, known, context, ())
    name = state.candidate
    dtype = state.candidate_ids.ids.dtype
    return Recommendations((name, name), ids, known, answers, state.candidate_ids, dtype, None, state.candidates)


def score(
    served: Served,
    queries: Any,
    candidates: NDArray[np.int64],
    *,
    exclude_seen: bool = True,
    history: Sequence[Sequence[Id]] | None = None,
    exclude: Sequence[Sequence[Id]] | None = None,
) -> tuple[NDArray[np.float32], list[bool]]:
    """The model's scores ``[queries, candidates]`` of candidate rows, and whether training had each query; see ``Recommender.score``."""
    check_flags("score()", exclude_seen=exclude_seen)
    state = served.state
    request = read_request(queries, state, served.reads_in_all)
    rows, known = state.rows_of(request.ids)
    own = candidate_lists(history, len(rows), state.candidate_ids, "history")
    recent = own_histories(request, served.history_columns, state.candidate_ids)
    filters = Filters(excluded(state, rows, exclude_seen, exclude, [recent, own]))
    others = [embedded(one, request, rows, known, own) for one in served.others]
    context = context_of(served, np.where(known, rows, -1), _joined(recent, own), request, others, rows)
    vectors = embedded(served, request, rows, known, own)
    return scored(served, vectors, filters, context, candidates), known.tolist()


def query_vectors(
    served: Served, queries: Any, history: Sequence[Sequence[Id]] | None = None
) -> tuple[NDArray[np.float32], list[bool]]:
    """The vectors by which ``recommend`` would answer; see ``Recommender.query_vectors``."""
    request = read_request(queries, served.state, served.reads_in_all)
    rows, known = served.state.rows_of(request.ids)
    own = candidate_lists(history, len(rows), served.state.candidate_ids, "history")
    return embedded(served, request, rows, known, own), known.tolist()


def overlap_of(served: Served, k: int, sample: int | None) -> float:
    """Share of the exact top k that the index finds; see ``Recommender.ann_overlap``."""
    state = served.state
    if state.query_vectors is None:
        raise ConfigError(
            "the query tower reads columns that only a request has, so there are no stored queries to use.",
            hint="call recommend() with those columns",
        )
    rows = np.flatnonzero(state.known)
    if sample is not None and check_k(sample) < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, sample).astype(np.int64)]
    return overlap(served, np.asarray(state.query_vectors[rows]), k, context_of(served, rows))


def _joined(first: Sequence[NDArray[np.int64]], second: Sequence[NDArray[np.int64]]) -> Sequence[NDArray[np.int64]]:
    """Each query's lists of both, one after the other; either of them may be empty, without a list."""
    if not len(first) or not len(second):
        return first or second
    return [np.concatenate(both) for both in zip(first, second, strict=True)]
