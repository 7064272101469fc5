"""The best share of neighbours next to a model's towers, on held-out rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.choosing.trial import Figure, Trial
from shortlist.evaluation import Pairs, TestSet
from shortlist.evaluation.scorers import Mixed, part_of
from shortlist.intervals import PairSums
from shortlist.model import TwoTower
from shortlist.sources import Blend, Mixture, Neighbours

__all__ = ["SHARES", "Blended", "best_blend"]

SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NEAR = 0.25  # between two shares
LEVEL = 1.0  # standard errors of a difference that is none
QUERIES = 4_000
BEST = 250  # candidates of each source that are compared; the measured lists are a tenth to a half as long


class Blended(NamedTuple):
    """A mixture with the blend that all asked queries prefer, and those that each half of them prefers, by row: even and odd.

    A blend that is measured on the queries that it was chosen by looks better than it is; each half's is measured on the other.
    """

    mixture: Mixture
    even: Mixture
    odd: Mixture
    asked: _Asked

    def measure(self, trial: Trial) -> Figure:
        """The figure of the two halves, each by the blend that the other half prefers."""
        if trial.metric == "recall" and self.asked.whole:
            started = time.perf_counter()
            odd, even = (self.asked.recall(one.blend, trial.k) for one in (self.odd, self.even))
            sums = [PairSums(one * self.asked.weight, self.asked.weight) for one in (odd, even)]
            first, second = (Figure(one.value, one, (time.perf_counter() - started) / 2) for one in sums)
            return first.alternated(second)
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

    All shares are tried at the first temperature, then at each further one the shares near the best of the one before; on at most
    4,000 of the trial's queries. Of blends that are level, by no more than one standard error of the difference, the one with
    the highest recall at ten times k is taken: a list that is good at its top alone is less useful to a later ranker.
    """
    mixture = Mixture.of(towers, neighbours, trial.seen, share=0.5, temperature=temperatures[0])
    asked = _Asked.of(mixture, trial)
    blends: list[Blend] = []
    found: list[NDArray[np.float64]] = []
    near = tuple(shares)
    for temperature in temperatures:
        tried = [Blend(share, temperature) for share in near]
        blends += tried
        found += [asked.counted(blend, trial.k) for blend in tried]
        best = max(zip(tried, found[-len(tried) :], strict=True), key=lambda pair: round(float(pair[1].mean()), 9))[0]
        near = tuple(share for share in shares if abs(share - best.share) < NEAR)
    recall = np.array(found)
    deep: dict[int, NDArray[np.float64]] = {}

    def chosen(half: NDArray[np.int64]) -> Mixture:
        level = _level(recall[:, half])
        for number in level:
            if len(level) > 1 and number not in deep:
                deep[number] = asked.counted(blends[number], 10 * trial.k)
        if len(level) > 1:
            level = [max(level, key=lambda number: (round(float(deep[number][half].mean()), 9), -number))]
        return mixture.with_blend(blends[level[0]])

    every = np.arange(recall.shape[1])
    halves = (every, every[::2], every[1::2] if len(every) > 1 else every)
    whole, even, odd = (chosen(half) for half in halves)
    return Blended(whole, even, odd, asked)


def _level(recall: NDArray[np.float64]) -> list[int]:
    """The blends whose recall ``[blends, queries]`` is level with the highest, by ``LEVEL`` standard errors of the difference."""
    best = int(np.argmax(np.round(recall.mean(1), 9)))
    gain = recall[best] - recall
    level: list[int] = np.flatnonzero(gain.mean(1) <= LEVEL * gain.std(1) / max(recall.shape[1], 1) ** 0.5).tolist()
    return level


@dataclass(frozen=True, eq=False)
class _Asked:
    """Both sources' scores of the candidates that can come first, for some queries: their own best ``BEST`` each.

    Attributes:
        towers: float32 ``[queries, candidates]``, −inf where a place is empty.
        near: float32 ``[queries, candidates]``, 0 where a place is empty.
        query: the query of each pair.
        own_towers: the towers' score of each pair.
        own_near: the neighbours' score of each pair.
        popular: the rank of each pair by popularity where that answers its query, else 0.
        truths: pairs of each query.
        weight: what each query counts: 1, or what its pairs weigh together.
        weighted: whether pairs have weights.
        whole: whether all of the trial's queries are here.
    """

    towers: Tensor
    near: Tensor
    query: Tensor
    own_towers: Tensor
    own_near: Tensor
    popular: NDArray[np.int64]
    truths: NDArray[np.float64]
    weight: NDArray[np.float64]
    weighted: bool
    whole: bool

    @classmethod
    def of(cls, mixture: Mixture, trial: Trial) -> _Asked:
        """One pass over the scores of at most ``QUERIES`` of the trial's queries, whose order has no meaning."""
        test = TestSet.of(mixture.towers, trial.test, trial.seen, weighted=trial.weighted)
        histories = mixture.histories_of(test.query_ids, trial.seen)
        scorer = Mixed(test.vectors(), mixture.neighbours, histories, mixture.blend)
        hidden = test.hidden if trial.exclude_seen else None
        count = min(len(test.queries), QUERIES)
        inside = (test.query < count) & (test.candidate >= 0)
        query, own = test.query[inside], torch.from_numpy(test.candidate[inside])
        step = max(1, (1 << 21) // max(scorer.candidates, 1))
        parts = []
        own_towers, own_near = torch.zeros(len(query)), torch.zeros(len(query))
        for first in range(0, count, step):
            last = min(first + step, count)
            towers, near = scorer.parts(first, last, part_of(hidden, first, last))
            here = np.flatnonzero((query >= first) & (query < last))
            at = torch.from_numpy(query[here] - first)
            own_towers[here], own_near[here] = towers[at, own[here]], near[at, own[here]]
            parts.append(_union(towers, near))
        cold = ~test.known & (np.diff(histories.offsets) == 0) & mixture.towers.reads_ids_alone
        popular = np.zeros(len(query), np.int64)
        if cold.any():
            new = np.flatnonzero(cold[query])
            asked = Pairs(torch.from_numpy(query[new]), own[new], hidden)
            popular[new] = test.popularity().ranks(asked).numpy()
        truths = np.bincount(test.query, minlength=len(test.queries)).astype(np.float64)[:count]
        weight = (truths > 0).astype(np.float64)
        if test.weight is not None:
            weight = np.bincount(test.query, test.weight, len(test.queries))[:count]
        towers, near = (torch.cat(one) for one in zip(*parts, strict=True))
        whole = count == len(test.queries)
        return cls(
            towers,
            near,
            torch.from_numpy(query),
            own_towers,
            own_near,
            popular,
            truths,
            weight,
            trial.weighted,
            whole,
        )

    def recall(self, blend: Blend, k: int) -> NDArray[np.float64]:
        """The share of each query's pairs that are among its first k, ``[queries]``; candidates that tie with a pair count against it."""
        towers, own_towers = self._towers_at(blend.temperature)
        near, own_near = self._near
        total = torch.add((1 - blend.share) * towers, near, alpha=blend.share)
        own = torch.add((1 - blend.share) * own_towers, own_near, alpha=blend.share)
        after = total.new_full((len(total),), -torch.inf)  # the best of those that are no longer among the first k
        if k < total.shape[1]:
            after = torch.topk(total, k + 1, dim=1, sorted=False).values.amin(1)
        among = (own > after[self.query]).numpy()
        among = np.where(self.popular > 0, self.popular <= k, among)
        hits = np.bincount(self.query.numpy(), among, len(self.truths))
        found: NDArray[np.float64] = hits / np.maximum(self.truths, 1)
        return found

    def counted(self, blend: Blend, k: int) -> NDArray[np.float64]:
        """``recall`` of each query, times what the query counts where pairs have weights: a mean weighs queries as the figure does."""
        found = self.recall(blend, k)
        return found * (self.weight / max(float(self.weight.mean()), 1e-300)) if self.weighted else found

    def _towers_at(self, temperature: float) -> tuple[Tensor, Tensor]:
        """The towers' part of all candidates and of each pair, at full weight; −inf where a place is empty."""
        if temperature not in self._parts:
            best = self.towers.amax(1, keepdim=True)
            towers = torch.exp((self.towers - best) / temperature).masked_fill_(torch.isneginf(self.towers), -torch.inf)
            own = torch.exp((self.own_towers - best[self.query, 0]) / temperature)
            own.masked_fill_(torch.isneginf(self.own_towers), -torch.inf)
            self._parts[temperature] = towers, own
        return self._parts[temperature]

    @cached_property
    def _parts(self) -> dict[float, tuple[Tensor, Tensor]]:
        """By temperature."""
        return {}

    @cached_property
    def _near(self) -> tuple[Tensor, Tensor]:
        """The neighbours' part of all candidates and of each pair, at full weight."""
        largest = self.near.amax(1, keepdim=True).clamp(min=1e-30)
        return self.near / largest, self.own_near / largest[self.query, 0]


def _union(towers: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """Both scores of the ``BEST`` candidates by either source, ``[queries, 2 · BEST]``; one that both have occurs once."""
    most = min(BEST, towers.shape[1])
    by_towers, first = torch.topk(towers, most, dim=1)
    second = torch.topk(near, most, dim=1).indices
    again = towers.gather(1, second)
    again = again.masked_fill(again >= by_towers[:, -1:], -torch.inf)
    return torch.cat([by_towers, again], 1), torch.cat([near.gather(1, first), near.gather(1, second)], 1)
