"""Scores as every index reports them, and the best of the candidates found.

Float32 products from BLAS differ in their last bits with the shape of the block. So they only rule out candidates: those
within rounding error of the k-th best are scored again in float64 and rounded once. A score therefore
depends on the query and the candidate alone, equal vectors score equally, and every index reports the same
numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from shortlist.index.halves import Halves
from shortlist.index.values import Floats, Ints, offsets_of

__all__ = ["SHORTEST", "Matches", "Pairs", "best", "join", "pair_scores", "slack_of", "tolerance"]

_PAIRS = 1 << 14  # pairs scored in float64 at a time
SHORTEST = 1e-15  # shorter vectors count as this long: float32 loses the squares of their numbers, and their products


@dataclass(frozen=True)
class Matches:
    """Candidates of several queries: three arrays of one length, sorted by row, then best first."""

    rows: Ints
    positions: Ints
    scores: Floats


@dataclass(frozen=True)
class Pairs:
    """(query, position) pairs, sorted by query; ``offsets[i]:offsets[i + 1]`` are those of query i."""

    rows: Ints
    positions: Ints
    offsets: Ints

    def block(self, low: int, high: int) -> Pairs:
        """The pairs of queries ``low`` to ``high``, their rows counted from ``low``."""
        if low == 0 and high == self.offsets.size - 1:
            return self
        first, last = self.offsets[low], self.offsets[high]
        offsets = self.offsets[low : high + 1] - first
        return Pairs(self.rows[first:last] - low, self.positions[first:last], offsets)

    def take(self, queries: Ints) -> Pairs:
        """The pairs of some queries (in rising order), renumbered 0, 1, 2, …"""
        counts = np.diff(self.offsets)
        chosen = np.zeros(counts.size, bool)
        chosen[queries] = True
        rows = np.repeat(np.arange(queries.size), counts[queries])
        return Pairs.of(rows, self.positions[chosen[self.rows]], queries.size)

    @staticmethod
    def of(rows: Ints, positions: Ints, queries: int) -> Pairs:
        """Pairs from rows already in rising order."""
        return Pairs(rows, positions, offsets_of(np.bincount(rows, minlength=queries)))


def tolerance(norms: Floats, max_norm: float, dim: int) -> Floats:
    """Twice the most by which float32 can miss an inner product, ``[queries]``."""
    lengths = np.maximum(np.sqrt(norms), np.float32(SHORTEST))
    found: Floats = (2 * (dim + 4) * 2.0**-24 * max(max_norm, SHORTEST) * lengths).astype(np.float32)
    return found


def slack_of(norm: float, max_norm: float, dim: int) -> float:
    """``tolerance`` of one query whose squared length is ``norm``."""
    return 2 * (dim + 4) * 2.0**-24 * max(max_norm, SHORTEST) * max(math.sqrt(norm), SHORTEST)


def pair_scores(queries: Floats, vectors: Floats | Halves, rows: Ints, positions: Ints) -> Floats:
    """Inner product of each pair in float64, rounded to float32, ``[pairs]``."""
    if rows.size <= _PAIRS:
        wide = vectors.take(positions, axis=0).astype(np.float64)
        products: Floats
        if queries.shape[0] == 1:
            products = np.einsum("ij,j->i", wide, queries[0].astype(np.float64)).astype(np.float32)
        else:
            factors = queries.take(rows, axis=0).astype(np.float64)
            products = np.einsum("ij,ij->i", wide, factors).astype(np.float32)
        return products
    scores = np.empty(rows.size, np.float32)
    for low in range(0, rows.size, _PAIRS):
        part = slice(low, low + _PAIRS)
        scores[part] = pair_scores(queries, vectors, rows[part], positions[part])
    return scores


def best(found: Matches, queries: int, k: int) -> Matches:
    """The k best of each query, sorted; equal scores by rising position."""
    rows, positions, scores = found.rows, found.positions, found.scores
    if queries == 1:
        order = np.lexsort((positions, -scores))[:k]
        return Matches(rows[order], positions[order], scores[order])
    order = np.lexsort((positions, -scores, rows))
    counts = np.bincount(rows, minlength=queries)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    order = order[np.arange(order.size) - starts < k]
    return Matches(rows[order], positions[order], scores[order])


def join(parts: list[Matches]) -> Matches:
    """The parts end to end, unsorted."""
    if not parts:
        return Matches(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    return Matches(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )
