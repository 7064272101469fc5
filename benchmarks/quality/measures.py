"""The product's metrics of any score rows, by the places of the test pairs in each query's list of the whole catalogue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.quality.problems import Problem
from shortlist.evaluation.metrics import AT_K
from shortlist.evaluation.ranked import RankedPairs
from shortlist.evaluation.testset import TestSet

Scorer = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Scores ``[rows, candidates]`` of query rows ``[rows]``."""

ROWS = 256


def figures(score: Scorer, problem: Problem) -> dict[str, float]:
    """The protocol's measures by label."""
    most = max(measure.k for measure in problem.protocol.measures)
    return measured(places(score, problem, most).astype(np.float64), problem)


def measured(place: NDArray[np.float64], problem: Problem) -> dict[str, float]:
    """The protocol's measures by label, of the place of each test pair."""
    measures = problem.protocol.measures
    most = max(measure.k for measure in measures)
    queries, query = np.unique(problem.test.query_rows, return_inverse=True)
    candidate = problem.test.candidate_rows.astype(np.int64)
    test = TestSet.of_rows(query.astype(np.int64), candidate, len(queries), len(problem.test.candidates))
    ranked = RankedPairs(test, np.where(place > most, np.inf, place))
    return {measure.label: AT_K[measure.name](ranked, measure.k).value for measure in measures}


def places(score: Scorer, problem: Problem, k: int) -> NDArray[np.int64]:
    """The place of each test pair, int64 ``[pairs]``: how many candidates score at least as high, its own included; k + 1
    stands for every place beyond k. What was seen does not compete, nor can it be found, where the protocol says so.
    """
    order = np.argsort(problem.test.query_rows, kind="stable")
    pair_query, own = problem.test.query_rows[order], problem.test.candidate_rows[order].astype(np.int64)
    place = np.empty(len(order), dtype=np.int64)
    for start in range(0, len(problem.queries), ROWS):
        rows = problem.queries[start : start + ROWS]
        scores = np.array(score(rows), dtype=np.float32, copy=True)
        if (closed := problem.hidden(rows)) is not None:
            scores[closed.query.numpy(), closed.candidate.numpy()] = -np.inf
        first, last = np.searchsorted(pair_query, [rows[0], rows[-1] + 1])
        at = np.searchsorted(rows, pair_query[first:last])
        place[first:last] = _counted(torch.from_numpy(scores), at, own[first:last], k)
    return place[np.argsort(order, kind="stable")]


def _counted(scores: torch.Tensor, at: NDArray[np.int64], own: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    best = scores.topk(min(k + 1, scores.shape[1]), dim=1).values  # [rows, k + 1]
    rows = torch.from_numpy(at)
    mine = scores[rows, torch.from_numpy(own)]  # [pairs]
    count = (best[rows] >= mine.unsqueeze(1)).sum(1)
    count[~torch.isfinite(mine)] = k + 1
    return count.clamp(max=k + 1).numpy()
