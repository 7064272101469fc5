"""A block of queries against every candidate: cheap products rule out candidates that cannot be among the best.

Each candidate's true score is within an interval around its float32 product: rounding, and what a smaller copy of
the vectors misses. Where at least k candidates of a query have lower ends of ``floor`` or more, one whose upper end is
below cannot be among its k best. So only candidates whose interval reaches the floor are kept, and the floor rises.

1. A sample of the candidates, evenly spread, gives the first floor of every query.
2. Threads take tiles of candidates in turn. Products are made 32 queries by some 256 candidates at a time, so small
   that a BLAS does each in the thread that asks: its own threads, which wait for each other, stay out of it.
3. Of each tile only the largest of every eight products is compared with the floor; a group that reaches it is
   looked through.
4. Where too many are kept, the floor is raised to the k-th best lower end so far, and the rest is dropped.
"""

from __future__ import annotations

import itertools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shortlist.index.exact import Matches, best, pair_scores
from shortlist.index.halves import Halves
from shortlist.index.scan_arrays import ScanArray
from shortlist.index.values import Floats, Ints

__all__ = ["Kept", "Masks", "Pruning", "threads_here"]

_TILE = 1 << 19  # products in a tile of several queries
_LINE = 1 << 17  # products in a tile of one query
_WIDE = 32  # queries in a product
_PRODUCT = 1 << 18  # multiplications in a product of several queries: at most what OpenBLAS does in one thread
_VECTOR = 1 << 13  # and in a product of one
_GROUPS = 32  # groups that a product's candidates are compared in, at most; four times as many for one query
_SAMPLE = 4096  # candidates in the first sample, at least
_SPARE = 4  # groups of the first sample for each wanted candidate, at least
_BUDGET = 1 << 16  # candidates kept before the floor is raised, at least
_THREADED = 1 << 22  # multiplications from which a search uses a second thread
_LOWEST = np.float32(-3.0e38)  # below any score, above −inf


@dataclass(frozen=True)
class Kept:
    """Candidates that may be among the best: rows, positions, and the ends of the interval of each score."""

    rows: Ints
    positions: Ints
    low: Floats
    high: Floats

    @staticmethod
    def join(parts: list[Kept]) -> Kept:
        """The parts end to end."""
        if len(parts) == 1:
            return parts[0]
        none = [np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32)]
        names = ("rows", "positions", "low", "high")
        if not parts:
            return Kept(*none)  # type: ignore[arg-type]
        return Kept(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def only(self, keep: npt.NDArray[np.bool_] | Ints) -> Kept:
        """Some of them, or all in another order."""
        return Kept(self.rows[keep], self.positions[keep], self.low[keep], self.high[keep])


@dataclass(frozen=True)
class Masks:
    """The candidates that may not be found: positions sorted, and (row, position) pairs sorted by position.

    Attributes:
        closed: float32 ``[n]``, −inf for the blocked and 0 for others, instead of ``blocked`` where many are blocked.
    """

    blocked: Ints | None = None
    closed: Floats | None = None
    rows: Ints | None = None
    positions: Ints | None = None

    def apply(self, scores: Floats, low: int, high: int) -> None:
        """Puts −inf into ``[blocks, wide blocks, candidates, wide]`` scores of positions ``low`` to ``high``."""
        size, wide = scores.shape[2], scores.shape[3]
        if self.closed is not None:
            np.add(scores, self.closed[low:high].reshape(-1, 1, size, 1), out=scores)
        if self.blocked is not None:
            first, last = np.searchsorted(self.blocked, (low, high))
            block, at = np.divmod(self.blocked[first:last] - low, size)
            scores[block, :, at, :] = -np.inf
        if self.rows is not None and self.positions is not None:
            first, last = np.searchsorted(self.positions, (low, high))
            block, at = np.divmod(self.positions[first:last] - low, size)
            column, inner = np.divmod(self.rows[first:last], wide)
            scores[block, column, at, inner] = -np.inf


@dataclass
class Pruning:
    """The search of one block of queries.

    Attributes:
        queries: float32 ``[queries, dim]``; ``lengths`` at least their lengths, ``margins`` the most by which a
            float32 product with any candidate is off.
        vectors: the true vectors. scan: what is read; ``allowed`` the positions of it to look at, or None for all ``n``.
        k: how many are wanted. masks: what may not be found, counted in ``allowed`` where that is set.
    """

    queries: Floats
    lengths: Floats
    margins: Floats
    vectors: Floats | Halves
    scan: ScanArray
    n: int
    k: int
    allowed: Ints | None = None
    masks: Masks | None = None
    floor: Floats = field(init=False)
    _turned: Floats = field(init=False)
    _zero: npt.NDArray[np.bool_] | None = field(init=False)

    def __post_init__(self) -> None:
        m, dim = self.queries.shape
        self._wide = 1 if m == 1 else min(m, _WIDE)
        blocks = -(-m // self._wide)
        padded = np.zeros((blocks * self._wide, dim), np.float32)
        padded[:m] = self.queries
        self._turned = np.ascontiguousarray(padded.reshape(blocks, self._wide, dim).transpose(0, 2, 1))
        self.floor = np.full(m, -np.inf, np.float32)
        most = (_VECTOR if m == 1 else _PRODUCT) // (self._wide * dim)
        self._size = 1 << max(3, int(math.log2(max(8, most))))  # candidates in a product
        zero = ~np.any(self.queries, axis=1)
        self._zero = zero if zero.any() else None

    def run(self) -> Kept:
        """All candidates that may be among the k best, without forbidden ones; the true best are among them."""
        self._first_floor()
        tile = max(self._size, (_LINE if len(self.queries) == 1 else _TILE) // max(1, self._padded))
        tile -= tile % self._size
        whole = self.n - self.n % self._size
        starts = [(low, min(low + tile, whole), self._size) for low in range(0, whole, tile)]
        if whole < self.n:
            starts.append((whole, self.n, self.n - whole))
        work = self.n * self.queries.size
        threads = min(len(starts), threads_here()) if work >= _THREADED else 1
        turn = itertools.count()
        if threads <= 1:
            return self._raised(self._work(starts, turn))
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(lambda _: self._work(starts, turn), range(threads)))
        return self._raised(Kept.join(parts))

    @property
    def _padded(self) -> int:
        return int(self._turned.shape[0] * self._wide)

    def _work(self, tiles: list[tuple[int, int, int]], turn: itertools.count[int]) -> Kept:
        """The work of one thread: it takes the next tile until none is left."""
        held: list[Kept] = []
        count, budget = 0, max(_BUDGET, 4 * self.k * len(self.queries))
        scratch = _Scratch()
        while (number := next(turn)) < len(tiles):
            low, high, size = tiles[number]
            scores, error = self._scores(low, high, size, scratch)
            part = self._kept(scores, low, error, scratch)
            if part.rows.size:
                held.append(part)
                count += part.rows.size
            if count > budget:
                held = [self._raised(Kept.join(held))]
                if held[0].rows.size * 2 > budget:
                    held = [self._settled(held[0])]
                count = held[0].rows.size
        return Kept.join(held)

    def _scores(self, low: int, high: int, size: int, scratch: _Scratch) -> tuple[Floats, float]:
        """Products with candidates ``low`` to ``high``, −inf where forbidden, and a bound on the vectors' errors.

        ``[blocks of size candidates, blocks of wide queries, size, wide]``
        """
        dim, blocks = self.queries.shape[1], (high - low) // size
        if self.allowed is None:
            vectors = self.scan.block(low, high, scratch.take("vectors", (high - low, dim)))
            error = self.scan.error(low, high)
        else:
            chosen = self.allowed[low:high]
            vectors = self.scan.take(chosen)
            error = self.scan.error(int(chosen[0]), int(chosen[-1]) + 1)
        if len(self.queries) == 1:
            line = scratch.take("scores", (blocks, size))
            np.matmul(vectors.reshape(blocks, size, dim), self.queries[0], out=line)
            scores = line.reshape(blocks, 1, size, 1)
        else:
            scores = scratch.take("scores", (blocks, self._turned.shape[0], size, self._wide))
            np.matmul(vectors.reshape(blocks, 1, size, dim), self._turned[None], out=scores)
        if self.masks is not None:
            self.masks.apply(scores, low, high)
        return scores, error

    def _first_floor(self) -> None:
        """Raises the floors by a sample: some products' worth of candidates, evenly spread."""
        size = min(self._size, self.n)
        wanted = max(_SAMPLE, 64 * self.k)
        if self.k * 8 > self.n or size == 0:
            return
        blocks, m = self.n // size, len(self.queries)
        groups = min(size, _GROUPS if m > 1 else 4 * _GROUPS)
        several = max(-(-wanted // size), -(-_SPARE * self.k // groups))  # products: fewer than k groups raise no floor
        chosen = np.unique(np.linspace(0, blocks - 1, min(blocks, several)).astype(np.int64))
        scratch = _Scratch()
        lows = []
        for block in chosen.tolist():
            scores, error = self._scores(block * size, (block + 1) * size, size, scratch)
            best = _halved(scores, scratch)[0]  # [wide blocks, groups, wide]
            flat = best.transpose(0, 2, 1).reshape(self._padded, -1)[:m]
            lows.append(flat - (self.margins + self.lengths * np.float32(error))[:, None])
        lower = np.concatenate(lows, axis=1)
        if lower.shape[1] >= self.k:
            kth = np.partition(lower, lower.shape[1] - self.k, axis=1)[:, lower.shape[1] - self.k]
            np.maximum(self.floor, kth, out=self.floor)

    def _kept(self, scores: Floats, low: int, error: float, scratch: _Scratch) -> Kept:
        """Those of a tile whose interval reaches the floor."""
        size, wide = scores.shape[2:]
        off = self.margins + self.lengths * np.float32(error)
        cut = np.full(self._padded, np.inf, np.float32)
        cut[: len(off)] = np.maximum(self.floor - off, _LOWEST)
        groups = _halved(scores, scratch)
        hits = np.flatnonzero(groups >= cut.reshape(1, -1, 1, wide))
        hits, inner = np.divmod(hits, wide)
        hits, group = np.divmod(hits, groups.shape[2])
        block, column = np.divmod(hits, scores.shape[1])
        members = group[:, None] + np.arange(0, size, groups.shape[2])
        values = scores[block[:, None], column[:, None], members, inner[:, None]]
        rows = column * wide + inner
        at, member = np.divmod(np.flatnonzero(values >= cut[rows, None]), max(1, members.shape[1]))
        rows, found = rows[at], values[at, member]
        positions = low + block[at] * size + members[at, member]
        if self.allowed is not None:
            positions = self.allowed[positions]
        kept = Kept(rows, positions, found - off[rows], found + off[rows])
        return kept if self._zero is None else self._thin(kept)

    def _thin(self, kept: Kept) -> Kept:
        """Keeps the first k of each query that is all zeros: so are its scores."""
        assert self._zero is not None
        order = np.lexsort((kept.positions, kept.rows))
        kept = kept.only(order)
        counts = np.bincount(kept.rows, minlength=len(self.queries))
        rank = np.arange(kept.rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
        return kept.only((rank < self.k) | ~self._zero[kept.rows])

    def _raised(self, kept: Kept) -> Kept:
        """Raises the floors to the k-th best lower end, and keeps what reaches them."""
        counts = np.bincount(kept.rows, minlength=len(self.queries))
        full = np.flatnonzero(counts >= self.k)
        if full.size:
            order = np.lexsort((-kept.low, kept.rows))
            kth = kept.low[order[(np.cumsum(counts) - counts)[full] + self.k - 1]]
            self.floor[full] = np.maximum(self.floor[full], kth)
        return kept.only(kept.high >= self.floor[kept.rows])

    def _settled(self, kept: Kept) -> Kept:
        """The k best of each query by their true scores, for candidates too near each other for intervals."""
        m = len(self.queries)
        scores = pair_scores(self.queries, self.vectors, kept.rows, kept.positions)
        found = best(Matches(kept.rows, kept.positions, scores), m, self.k)
        return self._raised(Kept(found.rows, found.positions, found.scores, found.scores))


class _Scratch:
    """One thread's arrays, used again for every tile."""

    def __init__(self) -> None:
        self._held: dict[str, Floats] = {}

    def take(self, name: str, shape: tuple[int, ...]) -> Floats:
        """An array of ``shape`` with anything in it."""
        size = math.prod(shape)
        if name not in self._held or self._held[name].size < size:
            self._held[name] = np.empty(size, np.float32)
        return self._held[name][:size].reshape(shape)


def _halved(scores: Floats, scratch: _Scratch) -> Floats:
    """The largest scores of groups: candidates i, i + groups, i + 2·groups, … of each product."""
    groups, step = scores, 0
    most = _GROUPS if scores.shape[3] > 1 else 4 * _GROUPS
    while groups.shape[2] > most and groups.shape[2] % 2 == 0:
        half = groups.shape[2] // 2
        out = scratch.take(f"halves {step}", (*groups.shape[:2], half, groups.shape[3]))
        groups, step = np.maximum(groups[:, :, :half], groups[:, :, half:], out=out), step + 1
    return groups


def threads_here() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
