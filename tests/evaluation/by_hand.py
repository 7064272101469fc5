"""Ranked pairs written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from shortlist.evaluation.metrics import measured
from shortlist.evaluation.ranked import RankedPairs
from shortlist.evaluation.ranks import Hidden
from shortlist.evaluation.testset import TestSet


def pairs(
    rank, query=None, candidate=None, competing=20, best=None, counts=None, hidden=None, **columns
) -> RankedPairs:
    """Ranked pairs, by default of one query, with a candidate each; ``competing`` candidates, where ``hidden`` says nothing else."""
    query = np.zeros(len(rank), np.int64) if query is None else np.array(query)
    candidate = np.arange(len(rank)) if candidate is None else np.array(candidate)
    queries, size = int(query.max(initial=-1)) + 1, max(competing, int(candidate.max(initial=-1)) + 1)
    if hidden is None:
        hidden = [(q, c) for q in range(queries) for c in range(competing, size)]
    test = replace(
        TestSet.of_rows(query, candidate, queries, size),
        hidden=Hidden(*torch.tensor(hidden, dtype=torch.long).reshape(-1, 2).T),
        **{name: np.array(value, np.float64) for name, value in columns.items() if value is not None},
        **({} if counts is None else {"candidate_counts": np.array(counts)}),
    )
    return RankedPairs(test, np.array(rank, np.float64), None if best is None else np.array(best, np.float64))


def value(name: str, ranked: RankedPairs, k: int = 10) -> float:
    return next(iter(measured(ranked, [name], [k]).values())).value
