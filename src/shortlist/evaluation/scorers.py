"""Scorers, which can be ranked: dot products of vectors, or scores made row by row; each with exact ranks and exact lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.evaluation.ranks import Hidden, Pairs, best_columns, check_finite, edges_of, ranks, top_lists
from shortlist.evaluation.staged import in_order
from shortlist.index import Lists
from shortlist.loss.counts import kernel_for_scores, reaching
from shortlist.sources import Added, Context, Neighbours, Weights, places_of_all

__all__ = ["ByRow", "Cold", "Mixed", "NeighbourScores", "Scorer", "Vectors", "among", "part_of", "without"]

TILE = 1 << 21  # scores in memory at a time: larger arrays come fresh from the system, page by page
COMPARED = 1 << 21
ROUNDING = 1e-6


class Scorer(Protocol):
    """Scores every candidate for every asked query."""

    @property
    def candidates(self) -> int:
        """How many candidates there are."""

    def ranks(self, pairs: Pairs) -> Tensor:
        """The rank of each pair, int64 ``[pairs]``, as ``evaluation.ranks.ranks`` defines it."""

    def top(self, k: int, hidden: Hidden | None = None) -> Tensor:
        """The k best candidates of each query, int64 ``[queries, k]``, as ``evaluation.ranks.top_lists`` defines it."""


class Vectors(NamedTuple):
    """Query vectors ``[queries, dim]`` (or with heads) and candidate vectors ``[candidates, dim]``; scores are dot products."""

    query: Tensor
    candidate: Tensor

    @property
    def candidates(self) -> int:
        """How many candidates there are."""
        return len(self.candidate)

    def first(self, candidates: int) -> Vectors:
        """The same for the first so many candidates."""
        return Vectors(self.query, self.candidate[:candidates])

    def to(self, device: torch.device) -> Vectors:
        """The same on another device."""
        return Vectors(self.query.to(device), self.candidate.to(device))

    def ranks(self, pairs: Pairs) -> Tensor:
        return ranks(self.query, self.candidate, pairs)

    def top(self, k: int, hidden: Hidden | None = None) -> Tensor:
        return top_lists(self.query, self.candidate, k, hidden)


class ByRow(ABC):
    """Scores that are made for whole rows of queries at a time."""

    candidates: int
    queries: int

    @abstractmethod
    def scores(self, first: int, last: int, hidden: Hidden | None) -> Tensor:
        """Scores ``[last − first, candidates]``; −inf for hidden candidates (rows of ``hidden`` count from ``first``)."""

    def ranks(self, pairs: Pairs) -> Tensor:
        order = torch.argsort(pairs.query.cpu(), stable=True)
        ordered = pairs.cpu().only(order)
        above = torch.full((len(order),), self.candidates, dtype=torch.long)
        step = self._step
        edges = edges_of(ordered.query, self.queries, step)
        for number, first in enumerate(range(0, self.queries, step)):
            low, high = edges[number], edges[number + 1]
            if low == high:
                continue
            last = min(first + step, self.queries)
            scores = self.scores(first, last, part_of(pairs.hidden, first, last)).cpu()
            width = max(1, COMPARED // self.candidates)
            for start in range(low, high, width):
                part = slice(start, min(start + width, high))
                above[part] = _above(scores, ordered.only(part).of_rows(first, None))
        found = torch.empty_like(above)
        found[order] = above + 1
        return found

    def top(self, k: int, hidden: Hidden | None = None) -> Tensor:
        lists = torch.full((self.queries, k), -1, dtype=torch.long)
        width, step = min(k, self.candidates), self._step
        for first in range(0, self.queries, step):
            last = min(first + step, self.queries)
            scores = self.scores(first, last, part_of(hidden, first, last)).cpu()
            lists[first:last, :width] = best_columns(scores, width)
        return lists

    @property
    def _step(self) -> int:
        return max(1, TILE // max(self.candidates, 1))


@dataclass(frozen=True, eq=False)
class NeighbourScores(ByRow):
    """A table of neighbours alone: its own scores; other candidates are below 0, by popularity: −1 / (1 + count).

    Attributes:
        histories: of each asked query, rows of the table, oldest first.
        place: int64 ``[candidates]``, the row in the table of each candidate, −1 for one that it lacks.
        counts: ``[candidates]``, training interactions.
    """

    neighbours: Neighbours
    histories: Lists
    place: NDArray[np.int64]
    counts: NDArray[np.float64]

    @property
    def candidates(self) -> int:  # type: ignore[override]
        return len(self.place)

    @property
    def queries(self) -> int:  # type: ignore[override]
        return len(self.histories)

    def scores(self, first: int, last: int, hidden: Hidden | None) -> Tensor:
        near = torch.from_numpy(_placed(self.neighbours, self.histories, self.place, first, last))
        popular = torch.from_numpy(-1 / (1 + self.counts))
        return without(torch.where(near > 0, near.double(), popular), hidden)


@dataclass(frozen=True, eq=False)
class Mixed(ByRow):
    """Towers, tables of neighbours and ranked lists, added by ``Weights`` over the candidates that each query may have.

    Candidates beyond a table or a list are not known to it.

    Attributes:
        towers: vectors of each, the first towers first.
        added: the other sources, and the weights of all.
        context: histories and segments of the queries.

    Raises:
        TrainingError: where a vector is not finite.
    """

    towers: tuple[Vectors, ...]
    added: Added
    context: Context

    def __post_init__(self) -> None:
        for one in self.towers:
            check_finite("query", one.query)
            check_finite("candidate", one.candidate)

    @property
    def candidates(self) -> int:  # type: ignore[override]
        return len(self.towers[0].candidate)

    @property
    def queries(self) -> int:  # type: ignore[override]
        return len(self.towers[0].query)

    def parts(self, first: int, last: int, hidden: Hidden | None) -> tuple[list[Tensor], list[Tensor]]:
        """Scores of each towers and of each other source, ``[rows, candidates]``; −inf and 0 for hidden candidates."""
        towers = []
        for one, exact in zip(self.towers, self._exact, strict=True):
            rows = one.query[first:last].double()  # rounded once, as an index has it: equal vectors tie
            scores = rows @ exact.T if rows.ndim == 2 else (rows @ exact.T).amax(1)
            towers.append(without(scores.float().cpu(), hidden))
        others = []
        for table in self.added.tables:
            place = np.arange(self.candidates)
            place[len(table) :] = -1
            others.append(torch.from_numpy(_placed(table, self.context.histories, place, first, last)))
        if self.added.lists:
            closed = None if hidden is None else np.zeros((last - first, self.candidates), np.bool_)
            if closed is not None and hidden is not None:
                closed[hidden.query.cpu().numpy(), hidden.candidate.cpu().numpy()] = True
            for number, ranked in enumerate(self.added.lists):
                segments = self.context.segments[first:last, number]
                others.append(torch.from_numpy(ranked.dense(segments, self.candidates, closed)))
        if hidden is not None:
            for other in others:
                other[hidden.query.cpu(), hidden.candidate.cpu()] = 0
        return towers, others

    def scores(self, first: int, last: int, hidden: Hidden | None) -> Tensor:
        return self.totals(first, *self.parts(first, last, hidden))

    def totals(self, first: int, towers: list[Tensor], others: list[Tensor]) -> Tensor:
        """The scores by all sources of the queries from ``first`` on, from what ``parts`` returns of them."""
        of_towers, of_others = [one.double() for one in towers], [one.double() for one in others]
        total = self.added_up(of_towers, of_others, self.added.weights)
        lengths = np.diff(self.context.histories.offsets)[first : first + len(total)]
        before = -1
        for most, weights in self.added.by_history:
            rows = torch.from_numpy(np.flatnonzero((lengths > before) & (lengths <= most)))
            total[rows] = self.added_up([one[rows] for one in of_towers], [one[rows] for one in of_others], weights)
            before = most
        if self.added.stage is not None:
            return in_order(total, towers, others, self.context, self.added.stage, first)
        return self._placed(total, towers, others) if self.added.quotas else total

    def _placed(self, total: Tensor, towers: list[Tensor], others: list[Tensor]) -> Tensor:
        """Scores in the order of places under quotas; −inf stays."""
        sources = [one.numpy() for one in (*towers, *others)]
        lowest = [-np.inf] * len(towers) + [0.0] * len(others)
        placed = torch.from_numpy(places_of_all(total.numpy(), sources, self.added.quotas, lowest))
        return placed.masked_fill_(torch.isneginf(total), -torch.inf)

    def first(self, candidates: int) -> Mixed:
        """The same for the first so many candidates."""
        return Mixed(tuple(one.first(candidates) for one in self.towers), self.added, self.context)

    @cached_property
    def _exact(self) -> tuple[Tensor, ...]:
        return tuple(one.candidate.double() for one in self.towers)

    @property
    def _step(self) -> int:
        sources = len(self.towers) + len(self.added.lists) + len(self.added.tables)
        return max(1, 2 * TILE // max(sources, 2) // max(self.candidates, 1))

    @staticmethod
    def added_up(towers: list[Tensor], others: list[Tensor], weights: Weights) -> Tensor:
        """All parts as ``weights`` adds them, see ``Weights.total``; −inf where the first towers have it."""
        below = [one - one.amax(1, keepdim=True) for one in towers]
        total = weights.of_towers[0] * torch.exp(below[0] / weights.temperatures[0])
        for one, weight, temperature in zip(below[1:], weights.of_towers[1:], weights.temperatures[1:], strict=True):
            total = total + weight * torch.exp(one / temperature)
        for other, weight in zip(others, weights.of_others, strict=True):
            largest = other.amax(1, keepdim=True)
            total = total + weight * (other / torch.where(largest > 0, largest, 1.0))
        return torch.where(total > 0, total, below[0]).masked_fill_(torch.isneginf(towers[0]), -torch.inf)


@dataclass(frozen=True, eq=False)
class Cold:
    """Another scorer, with popularity for unknown queries, as a recommender answers them.

    Attributes:
        cold: bool ``[queries]``.
        popular: ``Vectors`` of popularity.
    """

    scorer: Scorer
    cold: Tensor
    popular: Vectors

    @property
    def candidates(self) -> int:
        return self.scorer.candidates

    def ranks(self, pairs: Pairs) -> Tensor:
        found = torch.empty(len(pairs.query), dtype=torch.long, device=pairs.query.device)
        cold = self.cold.to(pairs.query.device)[pairs.query]
        for scorer, mask in ((self.scorer, ~cold), (self.popular, cold)):
            if mask.any():
                found[mask] = scorer.ranks(pairs.only(mask)).to(found.device)
        return found

    def top(self, k: int, hidden: Hidden | None = None) -> Tensor:
        lists = self.scorer.top(k, hidden).cpu()
        cold = self.cold.cpu()
        if cold.any():
            lists[cold] = self.popular.top(k, hidden).cpu()[cold]
        return lists


def _above(scores: Tensor, pairs: Pairs) -> Tensor:
    """How many candidates other than its own reach each pair's score, int64 ``[pairs]``; all where it cannot be found."""
    own, released = pairs.candidate, pairs.released
    own_scores = scores[pairs.query, own.clamp(min=0)]
    margin = own_scores.abs() * (ROUNDING if pairs.favourable else -ROUNDING)
    kernel = None if released is not None else kernel_for_scores(scores)
    if kernel is not None:
        reached = reaching(kernel, scores, pairs.query, own, own_scores + margin, higher=pairs.favourable)
    else:
        compared = pairs.reach(scores[pairs.query], (own_scores + margin).unsqueeze(1))  # [pairs, candidates]
        if released is not None:
            compared &= released.candidate.unsqueeze(0) <= released.pair.unsqueeze(1)
        reached = compared.scatter_(1, own.clamp(min=0).unsqueeze(1), False).sum(1)
    return torch.where((own < 0) | torch.isneginf(own_scores), scores.shape[1], reached)


def _placed(
    neighbours: Neighbours, histories: Lists, place: NDArray[np.int64], first: int, last: int
) -> NDArray[np.float32]:
    """Neighbours' scores of the queries ``first`` to ``last``, float32 ``[rows, candidates]``.

    Args:
        place: see NeighbourScores.
    """
    offsets = histories.offsets[first : last + 1]
    part = Lists(offsets - offsets[0], histories.values[offsets[0] : offsets[-1]])
    dense = neighbours.dense(part, len(neighbours))
    if np.array_equal(place, np.arange(len(neighbours))):
        return dense
    last_is_none = np.pad(dense, ((0, 0), (0, 1)))
    return last_is_none[:, place]


def among(hidden: Hidden | None, candidates: int) -> Hidden | None:
    """The hidden pairs among the first ``candidates`` candidates."""
    if hidden is None:
        return None
    kept = hidden.candidate < candidates
    return Hidden(hidden.query[kept], hidden.candidate[kept])


def part_of(hidden: Hidden | None, first: int, last: int) -> Hidden | None:
    """The hidden pairs of the queries ``first`` to ``last``, counted from ``first``."""
    if hidden is None:
        return None
    low, high = torch.searchsorted(hidden.query, torch.tensor([first, last], device=hidden.query.device)).tolist()
    return Hidden(hidden.query[low:high] - first, hidden.candidate[low:high])


def without(scores: Tensor, hidden: Hidden | None) -> Tensor:
    """The scores with −inf for hidden candidates."""
    if hidden is not None:
        scores[hidden.query.cpu(), hidden.candidate.cpu()] = -torch.inf
    return scores
