"""Golden requests: asked when a bundle is saved, asked again when it is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.index import score_heads
from shortlist.recommender.answers import SOURCES, Answers, answered
from shortlist.recommender.contexts import context_of, stored_vectors
from shortlist.recommender.eligible import excluded
from shortlist.recommender.manifest import Golden
from shortlist.recommender.requests import Request, feature_table
from shortlist.recommender.served import Served
from shortlist.sources import Filters

__all__ = ["golden_rows", "golden_vectors", "recorded", "same", "still_true"]

QUERIES = 4
K = 10


def golden_rows(served: Served) -> list[int]:
    """A few known queries, spread over the table, and an unknown one (-1) if such are answered."""
    known = np.flatnonzero(served.state.known)
    some = known[np.unique(np.linspace(0, len(known) - 1, QUERIES).astype(np.int64))].tolist() if len(known) else []
    return [*some, *([] if served.policy.cold_start == "refuse" else [-1])]


def golden_vectors(served: Served, rows: Sequence[int]) -> NDArray[np.float32]:
    """Their vectors, from the store or, where the query tower reads context, from the model."""
    state, at = served.state, np.array(rows, np.int64)
    if state.query_vectors is not None:
        return stored_vectors(state, at)
    return served.embedder.vectors("query", feature_table(Request([None] * len(rows)), at, at >= 0, state))


def recorded(served: Served, rows: Sequence[int], vectors: NDArray[np.float32]) -> list[Golden]:
    """The answers of now to the requests of query ``rows``, -1 for an unknown one; seen candidates are left out."""
    state, policy, at = served.state, served.policy, np.array(rows, np.int64)
    by_model = [row >= 0 or policy.answered_by_model(served) for row in rows]
    filters = Filters(excluded(state, at, True))
    return _listed(answered(served, vectors, K, filters, by_model, context_of(served, at), policy.fallback), rows)


def _listed(answers: Answers, rows: Sequence[int]) -> list[Golden]:
    sources = np.zeros(len(answers.rows), np.uint8) if answers.sources is None else answers.sources
    golden = []
    for number, row in enumerate(rows):
        part = slice(int(answers.offsets[number]), int(answers.offsets[number + 1]))
        golden.append(
            Golden(
                query=row,
                rows=answers.rows[part].tolist(),
                scores=answers.scores[part].tolist(),
                sources=[SOURCES[source] for source in sources[part].tolist()],
            )
        )
    return golden


def same(saved: Golden, now: Golden) -> bool:
    """Whether two answers are the same except for rounding, which differs between processors: scores to 1e-5, and the order
    of candidates only where their scores are that close."""
    if saved.sources != now.sources or not _close(saved.scores, now.scores):
        return False
    then, here = (dict(zip(one.rows, one.scores, strict=True)) for one in (saved, now))
    for row, score in [*then.items(), *here.items()]:
        other = (here if row in then else then).get(row)
        at_the_end = bool(saved.scores) and _close([score], [saved.scores[-1]])
        if not (at_the_end if other is None else _close([score], [other])):
            return False
    return True


def still_true(saved: Golden, vector: NDArray[np.float32], served: Served) -> bool:
    """Whether each stored score of the model is still that of its candidate: for an index that replaces another,
    and may find more than the other did."""
    state = served.state
    if state.near is not None:
        return True  # a mixture's score depends on all candidates that were found
    for row, score, source in zip(saved.rows, saved.scores, saved.sources, strict=True):
        if not 0 <= row < state.size:
            return False
        now = (
            float(state.counts[row])
            if source != "model"
            else float(score_heads(vector[None], served.vectors_of(np.array([row])))[0, 0])
        )
        if not _close([score], [now]):
            return False
    return True


def _close(first: Sequence[float], second: Sequence[float]) -> bool:
    return len(first) == len(second) and all(
        math.isclose(one, two, rel_tol=1e-5, abs_tol=1e-6) for one, two in zip(first, second, strict=True)
    )
