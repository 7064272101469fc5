"""A model's scores on a problem: the dot products of its towers, and those of a mixture with other sources."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

import shortlist as sl
from benchmarks.quality.measures import Scorer
from benchmarks.quality.problems import Problem
from shortlist.evaluation.scorers import Mixed, Vectors
from shortlist.model.history_inputs import with_histories
from shortlist.sources import histories_of


def vectors(towers: sl.TwoTower, problem: Problem) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The vectors of the asked queries ``[asked, heads · dim]``, with what is given of them, and of all candidates."""
    asked = problem.train.queries[problem.queries]
    if problem.given is problem.train:
        asked = towers.with_histories(asked, problem.given)
    else:  # what was chosen since training counts too
        asked = with_histories(towers.query, asked, problem.given)
    return towers.query_vectors(asked), towers.candidate_vectors(problem.train.candidates)


def mixed(model: sl.Mixture, problem: Problem) -> Mixed:
    """The mixture's scores of the asked queries."""
    asked, candidates = problem.train.queries[problem.queries], problem.train.candidates
    ids = asked[problem.train.query], candidates[problem.train.candidate]
    towers = []
    for one in (model.towers, *model.others):
        query, candidate = vectors(one, problem)
        towers.append(Vectors(one.split_heads(torch.from_numpy(query)), torch.from_numpy(candidate)))
    context = model.context_of(asked, histories_of(problem.given, *ids, model.length))
    return Mixed(tuple(towers), model.added, context)


def scorer(model: sl.Mixture, problem: Problem) -> Scorer:
    """The mixture's scores of query rows; what was seen does not compete where the protocol says so."""
    found = mixed(model, problem)

    def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        first = int(np.searchsorted(problem.queries, rows[0]))
        return found.scores(first, first + len(rows), problem.hidden(rows)).float().numpy()

    return score
