"""The best share of neighbours beside a model's towers, on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from shortlist.choose.trial import Trial
from shortlist.evaluation.scorers import Mixed, Vectors, part_of
from shortlist.evaluation.validator import Validator
from shortlist.model import TwoTower
from shortlist.sources import Blend, Mixture, Neighbours

__all__ = ["SHARES", "best_blend"]

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
QUERIES = 4_000


def best_blend(
    towers: TwoTower,
    neighbours: Neighbours,
    trial: Trial,
    temperatures: Sequence[float],
    shares: Sequence[float] = SHARES,
) -> Mixture:
    """The mixture of both with the share and temperature that reach the highest recall of the trial's pairs at its k.

    Every blend is measured on one pass over the scores, on at most 4,000 of the trial's queries. Equal ones: the smaller share.
    """
    mixture = Mixture.of(towers, neighbours, trial.seen, share=0.5, temperature=temperatures[0])
    first = [Blend(share, temperatures[0]) for share in shares]
    best = _best(mixture, trial, first)
    if len(temperatures) > 1:
        near = [share for share in shares if abs(share - best.share) < 0.15]
        more = [Blend(share, temperature) for temperature in temperatures[1:] for share in near]
        best = _best(mixture, trial, [best, *more])
    return mixture.with_blend(best)


def _best(mixture: Mixture, trial: Trial, blends: Sequence[Blend]) -> Blend:
    """The blend with the highest recall at the trial's k; of equal ones the first."""
    validator = Validator(mixture.towers, trial.test, (trial.k,), trial.seen)
    pairs = validator.pairs
    histories = mixture.histories_of(pairs.query_ids, trial.seen)
    scorer = Mixed(Vectors(*validator.vectors()), mixture.neighbours, histories, mixture.blend)
    hidden = validator.hidden if trial.exclude_seen else None
    truths = np.bincount(pairs.pair_query, minlength=len(pairs.queries))
    hits = np.zeros((len(blends), len(truths)))
    last_asked = min(len(truths), QUERIES)  # the trial's queries are in no order that matters
    step = max(1, (1 << 23) // max(scorer.candidates, 1))
    for first in range(0, last_asked, step):
        last = min(first + step, last_asked)
        towers_say, near = scorer.parts(first, last, part_of(hidden, first, last))
        inside = (pairs.pair_query >= first) & (pairs.pair_query < last) & (pairs.pair_candidate >= 0)
        query = torch.from_numpy(pairs.pair_query[inside] - first)
        own = torch.from_numpy(pairs.pair_candidate[inside])
        for number, blend in enumerate(blends):
            total = Mixed.added(towers_say, near, blend)
            least = torch.topk(total, min(trial.k, total.shape[1]), dim=1).values[:, -1]
            found = (total[query, own] >= least[query]).numpy()
            np.add.at(hits[number], pairs.pair_query[inside], found)
    recall = (hits[:, :last_asked] / np.maximum(truths[:last_asked], 1)).mean(1)
    return blends[int(np.argmax(np.round(recall, 9)))]
