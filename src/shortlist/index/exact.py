"""Exact top k by inner product: blocked matrix products, then one careful look at the few that may belong.

Float32 products from BLAS differ in their last bits with the shape of the block. So they only sieve: whatever
comes within rounding error of the k-th best is scored again in float64 and rounded once. A score therefore
depends on the query and the candidate alone, equal vectors score equally, and every index reports the same
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shortlist.index.values import Floats, Ints

__all__ = ["Found", "Pairs", "best", "join", "pair_scores", "tolerance", "top"]

_ROWS = 1024  # queries in a block
_SCORES = 1 << 22  # scores in a block of several queries
_COLUMNS = 1 << 18  # candidates in a block, at most
_LEAST = 1024  # candidates in a block, at least
_BUDGET = 1 << 16  # candidates held before only the best are kept
_PAIRS = 1 << 14  # pairs scored in float64 at a time
_LOWEST = np.float32(-3.0e38)  # below any score, above −inf


@dataclass(frozen=True)
class Found:
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
        offsets = np.zeros(queries + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=queries), out=offsets[1:])
        return Pairs(rows, positions, offsets)


def tolerance(norms: Floats, max_norm: float, dim: int) -> Floats:
    """Twice the most by which float32 can miss an inner product, ``[queries]``."""
    return (2 * (dim + 4) * 2.0**-24 * max_norm * np.sqrt(norms)).astype(np.float32)


def pair_scores(queries: Floats, vectors: Floats, rows: Ints, positions: Ints) -> Floats:
    """Inner product of each pair in float64, rounded to float32, ``[pairs]``."""
    if rows.size <= _PAIRS:
        wide = vectors[positions].astype(np.float64)
        if queries.shape[0] == 1:
            factors = np.broadcast_to(queries.astype(np.float64), wide.shape)
        else:
            factors = queries[rows].astype(np.float64)
        products: Floats = np.einsum("ij,ij->i", wide, factors).astype(np.float32)
        return products
    scores = np.empty(rows.size, np.float32)
    for low in range(0, rows.size, _PAIRS):
        part = slice(low, low + _PAIRS)
        scores[part] = pair_scores(queries, vectors, rows[part], positions[part])
    return scores


def best(found: Found, queries: int, k: int) -> Found:
    """The k best of each query, sorted; equal scores by rising position."""
    rows, positions, scores = found.rows, found.positions, found.scores
    if queries == 1:
        order = np.lexsort((positions, -scores))[:k]
        return Found(rows[order], positions[order], scores[order])
    order = np.lexsort((positions, -scores, rows))
    counts = np.bincount(rows, minlength=queries)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    order = order[np.arange(order.size) - starts < k]
    return Found(rows[order], positions[order], scores[order])


def top(
    queries: Floats,
    norms: Floats,
    vectors: Floats,
    max_norm: float,
    k: int,
    *,
    blocked: Ints | None = None,
    allowed: Ints | None = None,
    excluded: Pairs | None = None,
) -> Found:
    """The k best candidates of every query, exactly.

    Args:
        queries: float32 ``[queries, dim]``; ``norms`` their squared lengths.
        vectors: float32 ``[n, dim]``, none longer than ``max_norm``.
        k: how many, at least 1.
        blocked: sorted positions that no query may have.
        allowed: sorted positions, the only ones any query may have (not given together with ``blocked``).
        excluded: pairs of query and position that do not go together.
    """
    n = vectors.shape[0]
    if blocked is not None and _better_gathered(blocked.size, n, queries.shape[0]):
        allowed = _others(blocked, n)
        blocked = None
    elif allowed is not None and not _better_gathered(n - allowed.size, n, queries.shape[0]):
        blocked = _others(allowed, n)
        allowed = None
    if allowed is not None and excluded is not None:
        excluded = _within(excluded, allowed, queries.shape[0])
    parts = []
    for low in range(0, queries.shape[0], _ROWS):
        high = min(low + _ROWS, queries.shape[0])
        block = _Block(queries[low:high], tolerance(norms[low:high], max_norm, vectors.shape[1]), vectors, k,
                       blocked, allowed, None if excluded is None else excluded.block(low, high))  # fmt: skip
        found = block.run()
        parts.append(Found(found.rows + low, found.positions, found.scores) if low else found)
    if len(parts) == 1:
        return parts[0]
    return join(parts)


def _better_gathered(blocked: int, n: int, queries: int) -> bool:
    return blocked * 2 > n or (queries >= 8 and blocked * 64 > n)


def _others(positions: Ints, n: int) -> Ints:
    rest = np.ones(n, bool)
    rest[positions] = False
    return np.flatnonzero(rest)


def _within(pairs: Pairs, allowed: Ints, queries: int) -> Pairs:
    """Pairs whose position is among ``allowed``, as indexes into it."""
    at = np.searchsorted(allowed, pairs.positions)
    inside = at < allowed.size
    inside[inside] = allowed[at[inside]] == pairs.positions[inside]
    return Pairs.of(pairs.rows[inside], at[inside], queries)


def join(parts: list[Found]) -> Found:
    """The parts end to end, unsorted."""
    if not parts:
        return Found(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    return Found(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def _floor(scores: Floats, k: int) -> Floats:
    """A lower bound of the k-th best score of each row, ``[rows]``: that of the bests of groups."""
    rows, columns = scores.shape
    if columns < k:
        return np.full(rows, -np.inf, np.float32)
    groups = max(4 * k, 512)
    depth = columns // groups
    if depth >= 2:
        scores = scores[:, : depth * groups].reshape(rows, depth, groups).max(axis=1)
        columns = groups
    kth: Floats = np.partition(scores, columns - k, axis=1)[:, columns - k]
    return kth


@dataclass
class _Block:
    """One block of queries against every candidate."""

    queries: Floats
    slack: Floats
    vectors: Floats
    k: int
    blocked: Ints | None
    allowed: Ints | None
    excluded: Pairs | None

    def run(self) -> Found:
        m = self.queries.shape[0]
        n = self.vectors.shape[0] if self.allowed is None else self.allowed.size
        step = min(_COLUMNS, max(_LEAST, _SCORES // m))
        budget = max(4 * m * self.k, _BUDGET)
        masks = self._masks() if n > step else self.excluded
        floor = np.full(m, -np.inf, np.float32)
        held: list[Found] = []
        count = 0
        for low in range(0, n, step):
            high = min(low + step, n)
            scores = self._scores(low, high, masks)
            if low == 0:
                floor = _floor(scores, self.k)
            part = self._sieve(scores, low, floor)
            held.append(part)
            count += part.rows.size
            if count > budget and high < n:
                held, floor = self._prune(held, floor)
                count = held[0].rows.size
        return best(join(held) if len(held) != 1 else held[0], m, self.k)

    def _masks(self) -> Pairs | None:
        if self.excluded is None:
            return None
        order = np.argsort(self.excluded.positions)
        return Pairs(self.excluded.rows[order], self.excluded.positions[order], self.excluded.offsets)

    def _scores(self, low: int, high: int, masks: Pairs | None) -> Floats:
        """Scores of candidates ``low`` to ``high``, ``[queries, high - low]``; −inf where forbidden."""
        whole = low == 0 and high == (self.vectors.shape[0] if self.allowed is None else self.allowed.size)
        tile = self.vectors[low:high] if self.allowed is None else self.vectors[self.allowed[low:high]]
        alone = self.queries.shape[0] == 1
        scores: Floats = (tile @ self.queries[0])[None, :] if alone else self.queries @ tile.T
        if self.blocked is not None:
            first, last = np.searchsorted(self.blocked, (low, high))
            scores[:, self.blocked[first:last] - low] = -np.inf
        if masks is not None:
            if whole:
                scores[masks.rows, masks.positions] = -np.inf
            else:
                first, last = np.searchsorted(masks.positions, (low, high))
                scores[masks.rows[first:last], masks.positions[first:last] - low] = -np.inf
        return scores

    def _sieve(self, scores: Floats, low: int, floor: Floats) -> Found:
        """Those that may be among the k best, scored exactly."""
        cut = np.maximum(floor - self.slack, _LOWEST)
        if scores.shape[0] == 1:
            columns = np.flatnonzero(scores[0] >= cut[0])
            rows = np.zeros(columns.size, np.int64)
        else:
            rows, columns = np.divmod(np.flatnonzero(scores >= cut[:, None]), scores.shape[1])
        positions = columns + low if self.allowed is None else self.allowed[columns + low]
        if not self.slack.all():
            rows, positions = self._thin(rows, positions)
        return Found(rows, positions, pair_scores(self.queries, self.vectors, rows, positions))

    def _thin(self, rows: Ints, positions: Ints) -> tuple[Ints, Ints]:
        """Keeps the first k of each query that is all zeros: so are its scores."""
        zero: npt.NDArray[np.bool_] = ~np.any(self.queries, axis=1)
        counts = np.bincount(rows, minlength=self.slack.size)
        rank = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
        keep = (rank < self.k) | ~zero[rows]
        return rows[keep], positions[keep]

    def _prune(self, held: list[Found], floor: Floats) -> tuple[list[Found], Floats]:
        kept = best(join(held), floor.size, self.k)
        counts = np.bincount(kept.rows, minlength=floor.size)
        full = counts >= self.k
        floor = floor.copy()
        floor[full] = np.maximum(floor[full], kept.scores[(np.cumsum(counts) - 1)[full]])
        return [kept], floor
