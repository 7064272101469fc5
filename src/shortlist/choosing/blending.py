"""The best share of neighbours beside a model's towers, on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist.choosing.trial import Figure, Trial
from shortlist.evaluation.scorers import Mixed, Vectors, part_of
from shortlist.evaluation.validator import Validator
from shortlist.model import TwoTower
from shortlist.sources import Blend, Mixture, Neighbours

__all__ = ["SHARES", "Blended", "best_blend"]

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
QUERIES = 4_000


class Blended(NamedTuple):
    """A mixture with the blend that all asked queries prefer, and those that each half of them prefers, by row: even and odd.

    A blend that is measured on the queries that it was chosen by looks better than it is; each half's is measured on the other.
    """

    mixture: Mixture
    even: Mixture
    odd: Mixture

    def measure(self, trial: Trial) -> Figure:
        """The figure of the two halves, each by the blend that the other half prefers."""
        of_even = trial.measure(self.odd)
        if self.even.blend == self.odd.blend:
            return of_even
        return of_even.alternated(trial.measure(self.even))


def best_blend(
    towers: TwoTower,
    neighbours: Neighbours,
    trial: Trial,
    temperatures: Sequence[float],
    shares: Sequence[float] = SHARES,
) -> Blended:
    """The mixture of both with the share and temperature that reach the highest recall of the trial's pairs at its k.

    All shares are tried at the first temperature, then the other temperatures with the shares near the best. Each pass makes
    the scores once, of at most 4,000 of the trial's queries. Equal ones: the smaller share.
    """
    mixture = Mixture.of(towers, neighbours, trial.seen, share=0.5, temperature=temperatures[0])
    blends = [Blend(share, temperatures[0]) for share in shares]
    recall = _recall(mixture, trial, blends)
    if len(temperatures) > 1:
        best = blends[_first_best(recall.mean(1))]
        near = [share for share in shares if abs(share - best.share) < 0.15]
        more = [Blend(share, temperature) for temperature in temperatures[1:] for share in near]
        recall = np.concatenate([recall, _recall(mixture, trial, more)])
        blends += more
    halves = [recall, recall[:, ::2], recall[:, 1::2] if recall.shape[1] > 1 else recall]
    return Blended(*(mixture.with_blend(blends[_first_best(half.mean(1))]) for half in halves))


def _first_best(values: NDArray[np.float64]) -> int:
    return int(np.argmax(np.round(values, 9)))


def _recall(mixture: Mixture, trial: Trial, blends: Sequence[Blend]) -> NDArray[np.float64]:
    """Recall at the trial's k of each blend and asked query, ``[blends, queries]``."""
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
    return hits[:, :last_asked] / np.maximum(truths[:last_asked], 1)
