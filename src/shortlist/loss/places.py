"""The pairs of a batch by their place in [queries, candidates], and sums over a row that leave one place out.

A place that holds nearly all of its row's mass cannot be taken out of the row's sum by subtraction: what is left would be
rounding. So the rest of a row is summed without the pairs' own places, and these are added in float64, leaving out the
one in question. Pairs that share a place are one pair with the sum of their weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Pairs", "PlacedPairs", "by_block", "exact", "merged", "occurrences", "placed", "without_own"]


LEAST_SHARE = 1e-9
"""The least share of a float64 sum that may remain after a subtraction for seven digits of it to be right."""


def exact(like: Tensor) -> torch.dtype:
    """float64, or float32 on a device that has no other."""
    return torch.float32 if like.device.type == "mps" else torch.float64


def occurrences(places: Tensor, size: int) -> Tensor:
    """How often each of ``size`` places occurs, int64 ``[size]``. ``torch.bincount`` waits for a GPU; this does not."""
    return torch.zeros(size, dtype=torch.long, device=places.device).scatter_add_(0, places, torch.ones_like(places))


class Pairs(NamedTuple):
    """Pairs as given; all ``[B]``."""

    query: Tensor
    candidate: Tensor
    weight: Tensor

    def places(self, columns: int) -> Tensor:
        """Their places in a flat block of so many columns ``[B]``."""
        return torch.add(self.candidate, self.query, alpha=columns)


class PlacedPairs(NamedTuple):
    """Pairs of a block of rows; all ``[pairs]``.

    Attributes:
        row: its row in the block.
        candidate: its column in the block.
        at: its place in the flat block.
        weight: the weight of all pairs at that place, in the precision of ``exact``.
        first: whether the pair is the one of its place that counts in sums; None where no two pairs share a place.
    """

    row: Tensor
    candidate: Tensor
    at: Tensor
    weight: Tensor
    first: Tensor | None

    def once(self, values: Tensor) -> Tensor:
        """``values`` at one pair of each place, 0 at its repeats."""
        return values if self.first is None else torch.where(self.first, values, 0)


def by_block(pairs: Pairs, queries: int, rows: int) -> list[Pairs]:
    """The pairs of each block of ``rows`` queries; query numbers count from the block's first."""
    if rows >= queries:
        return [pairs]
    order = torch.argsort(pairs.query, stable=True)
    pairs = Pairs(*(column.index_select(0, order) for column in pairs))
    bounds = torch.arange(0, queries + rows, rows, device=order.device)
    edges = torch.searchsorted(pairs.query, bounds).tolist()
    parts = [Pairs(*(column[first:last] for column in pairs)) for first, last in pairwise(edges)]
    return [part._replace(query=part.query - number * rows) for number, part in enumerate(parts)]


def merged(pair_query: Tensor, pair_candidate: Tensor, weight: Tensor | None, columns: int) -> Pairs:
    """The distinct pairs, each with the float64 sum of its weights (1 each by default).

    Args:
        columns: the number of candidates.
    """
    keys, of_place = torch.unique(pair_query * columns + pair_candidate, return_inverse=True)
    weights = torch.ones_like(of_place, dtype=exact(of_place)) if weight is None else weight.to(exact(of_place))
    together = torch.zeros_like(keys, dtype=weights.dtype).index_add_(0, of_place, weights)
    return Pairs(keys // columns, keys % columns, together)


def placed(pairs: Pairs, at: Tensor, block: Tensor) -> PlacedPairs:
    """The pairs, with one chosen of those that share a place.

    Args:
        at: their places in the block.
        block: memory ``[rows, candidates]`` that may be written over at these places.
    """
    whole = {4: torch.int32, 8: torch.int64}.get(block.element_size())
    marks = torch.empty_like(block, dtype=torch.int32).view(-1) if whole is None else block.view(-1).view(whole)
    number = torch.arange(len(at), dtype=marks.dtype, device=at.device)
    marks.scatter_(0, at, number)  # of several pairs at one place, any one is kept
    of_place = marks.index_select(0, at)
    if at.device.type == "cpu" and torch.equal(of_place, number):  # on a GPU the answer would have to be waited for
        return PlacedPairs(*pairs[:2], at, pairs.weight, None)
    together = torch.zeros_like(pairs.weight).index_add_(0, of_place, pairs.weight)
    return PlacedPairs(*pairs[:2], at, together.index_select(0, of_place), torch.eq(of_place, number))


def without_own(pairs: PlacedPairs, mass: Tensor, rest: Tensor) -> Tensor:
    """The mass of each pair's row without its own place ``[pairs]``, to the last digits however large its own is.

    Args:
        mass: ``[pairs]``, that of each pair's place.
        rest: ``[rows]``, that of all other places of the row. Both, and the result, in the precision of ``exact``.
    """
    row, once = pairs.row, pairs.once(mass)
    if mass.device.type == "cpu" and len(mass):
        others = rest.index_add(0, row, once).index_select(0, row).sub_(mass)
        if not torch.sub(others, mass, alpha=LEAST_SHARE).amin().item() < 0:  # float64 has digits to spare
            return others
    largest = torch.zeros_like(rest).scatter_reduce_(0, row, mass, "amax")
    top = largest.index_select(0, row)
    is_largest = mass == top
    smaller = rest.index_add(0, row, torch.where(is_largest, 0, once))
    number = torch.zeros_like(rest).index_add_(0, row, pairs.once(is_largest.to(mass.dtype)))
    # the largest is left out by not adding it; another one is at most half of the sum, and may be subtracted
    whole = torch.addcmul(smaller, number, largest)
    alone = torch.addcmul(smaller, (number - 1).clamp_(min=0), largest)
    return torch.where(is_largest, alone.index_select(0, row), whole.index_select(0, row) - mass)
