"""The best weights of a mixture's sources, on held-out rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.choosing.trial import Figure, Trial
from shortlist.data import Dataset
from shortlist.evaluation import Pairs, TestSet
from shortlist.evaluation.mixing import mixed
from shortlist.evaluation.ranked import Truths, distinct_places
from shortlist.evaluation.ranks import found_ranks
from shortlist.evaluation.scorers import part_of
from shortlist.intervals import PairSums
from shortlist.model import TwoTower
from shortlist.sources import Mixture, Neighbours, Weights

__all__ = ["SHARES", "Blended", "best_blend"]

T = TypeVar("T")
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NEAR = 0.25  # between two shares
LEVEL = 1.0  # standard errors of a difference that is none
QUERIES = 4_000
BEST = 250  # candidates of each source that are compared; the measured lists are a tenth to a half as long


class Blended(NamedTuple):
    """A mixture with the weights that all asked queries prefer, and those that each half of them prefers, by row: even and odd.

    Weights that are measured on the queries that they were chosen by look better than they are; each half's are measured on the other.
    """

    mixture: Mixture
    even: Mixture
    odd: Mixture
    asked: _Asked

    def measure(self, trial: Trial) -> Figure:
        """The figure of the two halves, each by the weights that the other half prefers."""
        if trial.metric == "recall" and self.asked.whole:
            started = time.perf_counter()
            weight = self.asked.weight
            sums = [
                [PairSums(self.asked.recall(one.weights, k) * weight, weight) for k in trial.ks]
                for one in (self.odd, self.even)
            ]
            seconds = (time.perf_counter() - started) / 2
            first, second = (trial.figure(one, seconds) for one in sums)
            return first.alternated(second)
        of_even = trial.measure(self.odd)
        if self.even.weights == self.odd.weights:
            return of_even
        return of_even.alternated(trial.measure(self.even))


def best_blend(
    towers: TwoTower,
    other: Neighbours | TwoTower,
    trial: Trial,
    temperatures: Sequence[float],
    shares: Sequence[float] = SHARES,
    of_other: Sequence[float] = (),
) -> Blended:
    """The mixture of both with the share and temperatures that reach the highest recall of the trial's pairs at its k.

    All shares are tried at the first temperature, then at each further one the shares near the best of the one before; on at most
    4,000 of the trial's queries. Of blends that are level, by no more than one standard error of the difference, the one with
    the highest recall at ten times k is taken: a list that is good at its top alone is less useful to a later ranker.

    Args:
        other: its share is what is looked for.
        temperatures: of the first towers.
        of_other: temperatures of other towers, tried in the same way at the best temperature of the first.
    """
    first = (temperatures[0], *of_other[:1])
    tries = _Tries(Mixture([towers, other], trial.seen, weights=[0.5, 0.5], temperatures=first), trial)
    near = tuple(shares)

    def try_at(at: tuple[float, ...]) -> None:
        nonlocal near
        best = tries.best({share: Weights((1 - share, share), at) for share in near})
        near = tuple(share for share in shares if abs(share - best) < NEAR)

    for temperature in temperatures:
        try_at((temperature, *of_other[:1]))
    for temperature in of_other[1:]:
        try_at((tries.highest.temperatures[0], temperature))
    return tries.blended()


class _Tries:
    """Weights that were tried for a mixture, with their recall."""

    def __init__(self, mixture: Mixture, trial: Trial) -> None:
        self.mixture, self.trial = mixture, trial
        self.asked = _Asked.of(mixture, trial)
        self.weights: list[Weights] = []
        self.recall: list[NDArray[np.float64]] = []

    def best(self, tried: dict[T, Weights]) -> T:
        """Tries them; which of these has the highest recall, the first of equal ones."""
        found = [self.asked.counted(one, self.trial.k) for one in tried.values()]
        self.weights += tried.values()
        self.recall += found
        return max(zip(tried, found, strict=True), key=lambda pair: round(float(pair[1].mean()), 9))[0]

    @property
    def highest(self) -> Weights:
        """Those with the highest recall so far."""
        means = [round(float(one.mean()), 9) for one in self.recall]
        return self.weights[means.index(max(means))]

    def blended(self) -> Blended:
        """The mixture with the best weights, of all queries and of each half."""
        recall = np.array(self.recall)
        deep: dict[int, NDArray[np.float64]] = {}

        def chosen(half: NDArray[np.int64]) -> Mixture:
            level = _level(recall[:, half])
            for number in level:
                if len(level) > 1 and number not in deep:
                    deep[number] = self.asked.counted(self.weights[number], 10 * self.trial.k)
            if len(level) > 1:
                level = [max(level, key=lambda number: (round(float(deep[number][half].mean()), 9), -number))]
            return self.mixture.with_weights(self.weights[level[0]])

        every = np.arange(recall.shape[1])
        halves = (every, every[::2], every[1::2] if len(every) > 1 else every)
        whole, even, odd = (chosen(half) for half in halves)
        return Blended(whole, even, odd, self.asked)


def _level(recall: NDArray[np.float64]) -> list[int]:
    """The blends whose recall ``[blends, queries]`` is level with the highest, by ``LEVEL`` standard errors of the difference."""
    best = int(np.argmax(np.round(recall.mean(1), 9)))
    gain = recall[best] - recall
    level: list[int] = np.flatnonzero(gain.mean(1) <= LEVEL * gain.std(1) / max(recall.shape[1], 1) ** 0.5).tolist()
    return level


@dataclass(frozen=True, eq=False)
class _Asked:
    """All sources' scores of the candidates that can come first, for some queries: their own best ``BEST`` each.

    Attributes:
        towers: float32 ``[queries, candidates]`` of each towers, −inf where a place is empty.
        others: float32 ``[queries, candidates]`` of each other source, 0 where a place is empty.
        query: the query of each distinct pair.
        own_towers: each towers' score of each pair.
        own_others: each other source's score of each pair.
        popular: the place of each pair by popularity where that answers its query, else 0.
        truths: distinct pairs of each query.
        weight: what each query counts: 1, or what its pairs weigh together.
        weighted: whether pairs have weights.
        whole: whether all of the trial's queries are here.
    """

    towers: list[Tensor]
    others: list[Tensor]
    query: Tensor
    own_towers: list[Tensor]
    own_others: list[Tensor]
    popular: NDArray[np.float64]
    truths: NDArray[np.float64]
    weight: NDArray[np.float64]
    weighted: bool
    whole: bool

    @classmethod
    def of(cls, mixture: Mixture, trial: Trial) -> _Asked:
        """One pass over the scores of at most ``QUERIES`` of the trial's queries."""
        pairs = _spread(trial.test)
        test = TestSet.of(mixture.towers, pairs, trial.seen, weighted=trial.weighted)
        scorer = mixed(mixture, test.vectors(), test.queries, test.candidates, trial.seen)
        histories = scorer.context.histories
        hidden = test.hidden if trial.exclude_seen else None
        count = min(len(test.queries), QUERIES)
        distinct = Truths.of_pairs(test)
        inside = distinct[(test.query[distinct] < count) & (test.candidate[distinct] >= 0)]
        query, own = test.query[inside], torch.from_numpy(test.candidate[inside])
        step = max(1, (1 << 21) // max(scorer.candidates, 1))
        parts = []
        number = len(scorer.towers)
        mine = [torch.zeros(len(query)) for _ in mixture.sources]
        for first in range(0, count, step):
            last = min(first + step, count)
            towers, others = scorer.parts(first, last, part_of(hidden, first, last))
            here = np.flatnonzero((query >= first) & (query < last))
            at = torch.from_numpy(query[here] - first)
            for one, scores in zip(mine, (*towers, *others), strict=True):
                one[here] = scores[at, own[here]]
            parts.append(_union(towers, others))
        cold = ~test.known & (np.diff(histories.offsets) == 0) & mixture.reads_ids_alone
        popular = np.zeros(len(query))
        if cold.any():
            new = np.flatnonzero(cold[query])
            asked = Pairs(torch.from_numpy(query[new]), own[new], hidden)
            rank = found_ranks(test.popularity().ranks(asked), scorer.candidates).numpy()
            popular[new] = rank
            order = np.lexsort((rank, query[new]))
            found = new[order[np.isfinite(rank[order])]]
            popular[found] = distinct_places(popular[found], query[found])
        truths = np.bincount(test.query[distinct], minlength=len(test.queries)).astype(np.float64)[:count]
        weight = (truths > 0).astype(np.float64)
        if test.weight is not None:
            weight = np.bincount(test.query, test.weight, len(test.queries)).astype(np.float64)[:count]
        whole = pairs is trial.test and count == len(test.queries)
        joined = [torch.cat(one) for one in zip(*parts, strict=True)]
        return cls(
            joined[:number], joined[number:], torch.from_numpy(query), mine[:number], mine[number:],
            popular, truths, weight, trial.weighted, whole,
        )  # fmt: skip

    def recall(self, weights: Weights, k: int) -> NDArray[np.float64]:
        """The share of each query's distinct pairs that are among its first k, ``[queries]``; candidates that tie with a pair
        count against it, other pairs of its query do not."""
        parts = [self._towers_at(number, temperature) for number, temperature in enumerate(weights.temperatures)]
        parts += self._others
        (first, own_first), *rest = parts
        total, own = weights.values[0] * first, weights.values[0] * own_first
        for (part, own_part), weight in zip(rest, weights.values[1:], strict=True):
            total, own = torch.add(total, part, alpha=weight), torch.add(own, own_part, alpha=weight)
        after = total.new_full((len(total),), -torch.inf)  # the best of those that are no longer among the first k
        if k < total.shape[1]:
            place = total.shape[1] - k - 1
            after = torch.from_numpy(np.partition(total.numpy(), place, axis=1)[:, place].copy())
        among = (own > after[self.query]).numpy()
        among = np.where(self.popular > 0, self.popular <= k, among)
        hits = np.bincount(self.query.numpy(), among, len(self.truths))
        level = (own == after[self.query]).numpy() & (self.popular == 0)
        pairs = np.bincount(self.query.numpy()[level], minlength=len(self.truths))
        several = np.flatnonzero((pairs > 1) & torch.isfinite(after).numpy())  # they share the last of their places
        if len(several):
            last = (total[several] >= after[several, None]).sum(1).numpy()
            hits[several] += np.maximum(k - (last - pairs[several]), 0)
        found: NDArray[np.float64] = hits / np.maximum(self.truths, 1)
        return found

    def counted(self, weights: Weights, k: int) -> NDArray[np.float64]:
        """``recall`` of each query, times what the query counts where pairs have weights: a mean weighs queries as the figure does."""
        found = self.recall(weights, k)
        return found * (self.weight / max(float(self.weight.mean()), 1e-300)) if self.weighted else found

    def _towers_at(self, number: int, temperature: float) -> tuple[Tensor, Tensor]:
        """One towers' part of all candidates and of each pair, at full weight; −inf where a place is empty."""
        if (number, temperature) not in self._parts:
            scores, mine = self.towers[number], self.own_towers[number]
            best = scores.amax(1, keepdim=True)
            towers = torch.exp((scores - best) / temperature).masked_fill_(torch.isneginf(scores), -torch.inf)
            own = torch.exp((mine - best[self.query, 0]) / temperature)
            own.masked_fill_(torch.isneginf(mine), -torch.inf)
            self._parts[number, temperature] = towers, own
        return self._parts[number, temperature]

    @cached_property
    def _parts(self) -> dict[tuple[int, float], tuple[Tensor, Tensor]]:
        """By source and temperature."""
        return {}

    @cached_property
    def _others(self) -> list[tuple[Tensor, Tensor]]:
        """The other sources' parts of all candidates and of each pair, at full weight."""
        found = []
        for scores, mine in zip(self.others, self.own_others, strict=True):
            largest = scores.amax(1, keepdim=True).clamp(min=1e-30)
            found.append((scores / largest, mine / largest[self.query, 0]))
        return found


def _spread(pairs: Dataset) -> Dataset:
    """The rows of ``QUERIES`` of the queries, evenly spread over their table, which may have the oldest first; all where there are no
    more. Neighbours are kept in pairs, so that even and odd ones are those of all queries."""
    asked = np.unique(pairs.query_rows)
    if len(asked) <= QUERIES:
        return pairs
    even = 2 * np.linspace(0, len(asked) // 2 - 1, QUERIES // 2).astype(np.int64)
    kept = asked[np.concatenate([even, even + 1])]
    return pairs.with_interactions(pairs.interactions.filter(pl.Series(np.isin(pairs.query_rows, kept))))


def _union(towers: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """All scores of the ``BEST`` candidates by each source, ``[queries, sources · BEST]``; one that several have occurs once."""
    sources = [*towers, *others]
    most = min(BEST, towers[0].shape[1])
    picked: list[Tensor] = []
    again: list[Tensor] = []  # which of those picked are in an earlier place too
    last: list[Tensor] = []
    for scores in sources:
        values, rows = torch.topk(scores, most, dim=1, sorted=False)
        least = values.amin(1, keepdim=True)
        repeats = torch.zeros_like(rows, dtype=torch.bool)
        for earlier, least in zip(sources, last, strict=False):
            repeats |= earlier.gather(1, rows) >= least
        if len(last) > len(towers):  # what the table or list before it filled its places with, this one would too
            repeats |= values <= 0
        picked.append(rows)
        again.append(repeats)
        last.append(least.clamp(min=1e-30) if len(last) >= len(towers) else least)
    rows, repeats = torch.cat(picked, 1), torch.cat(again, 1)
    found = [scores.gather(1, rows) for scores in sources]
    return [scores.masked_fill(repeats, -torch.inf) if at < len(towers) else scores for at, scores in enumerate(found)]
