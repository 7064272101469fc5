"""Exact top k by inner product: a first pass over every candidate, then exact scores of the few that remain."""

from __future__ import annotations

import numpy as np

from shortlist.index.exact import SHORTEST, Matches, Pairs, best, join, pair_scores
from shortlist.index.halves import Halves, whole
from shortlist.index.pruning import Masks, Pruning
from shortlist.index.scan_arrays import Plain, ScanArray
from shortlist.index.values import Floats, Ints

__all__ = ["others", "top"]

_ROWS = 1024  # queries in a block, at most
_PAIRS = 1 << 22  # results of a block, at most
_SMALL = 1 << 14  # candidates that one query scores without a first pass
_FEW = 1 << 12  # candidates that several queries score so
_SCORES = 1 << 17  # scores of several queries at a time: what a processor's own cache holds
_VECTOR = 1 << 13  # multiplications of a product with one query: what OpenBLAS does in one thread
_PRODUCT = 1 << 18  # and with several
_GROUP = 4  # scores of which the largest alone is looked at for the k-th best
_LOWEST = -3.0e38  # below any score, above −inf


def top(
    queries: Floats,
    norms: Floats,
    vectors: Floats | Halves,
    max_norm: float,
    k: int,
    *,
    blocked: Ints | None = None,
    allowed: Ints | None = None,
    excluded: Pairs | None = None,
    scan: ScanArray | None = None,
) -> Matches:
    """The k best candidates of every query, exactly.

    Args:
        queries: float32 ``[queries, dim]``; ``norms`` their squared lengths.
        vectors: float32 ``[n, dim]``, none longer than ``max_norm``.
        k: how many, at least 1.
        blocked: sorted positions that no query may have.
        allowed: sorted positions, the only ones any query may have (not given together with ``blocked``).
        excluded: pairs of query and position that do not go together.
        scan: a smaller copy of the vectors to read first; the few that remain are scored from ``vectors``.
    """
    n, dim = vectors.shape
    closed = None
    if blocked is not None and _better_gathered(blocked.size, n):
        allowed, blocked = others(blocked, n), None
    elif allowed is not None and not _better_gathered(n - allowed.size, n):
        closed = np.full(n, -np.inf, np.float32)
        closed[allowed] = 0
        allowed = None
    if allowed is not None:
        excluded = None if excluded is None else _within(excluded, allowed, len(queries))
        n = allowed.size
    if blocked is not None and blocked.size * 16 > n:
        closed = np.zeros(n, np.float32)
        closed[blocked] = -np.inf
        blocked = None
    lengths = np.maximum(np.sqrt(norms), np.float32(SHORTEST)) * np.float32(1 + dim * 2.0**-23 + 1e-6)
    longest = max(max_norm, SHORTEST) * (1.0 if scan is None else 1.02 + dim**0.5 / 254)
    margins = (lengths * np.float32((dim + 10) * 2.0**-24 * longest)).astype(np.float32)
    if len(queries) == 1 and n <= _SMALL and scan is None:
        chosen = whole(vectors) if allowed is None else vectors.take(allowed, axis=0)
        barred = None if excluded is None else excluded.positions
        positions = _few(queries[0], chosen, k, float(margins[0]), closed, blocked, barred)
        positions = positions if allowed is None else allowed[positions]
        rows = np.zeros(positions.size, np.int64)
        return best(Matches(rows, positions, pair_scores(queries, vectors, rows, positions)), 1, k)
    few = 0 < n <= _FEW and scan is None and bool(norms.all())  # each candidate is a best one of a query of zeros
    step = max(1, min(_ROWS, _PAIRS // max(1, min(k, n))))
    if few:
        chosen = whole(vectors) if allowed is None else vectors.take(allowed, axis=0)
        step = min(step, max(8, _VECTOR // dim), max(1, _SCORES // n))
    parts = []
    for low in range(0, len(queries), step):
        part = slice(low, low + step)
        pairs = None if excluded is None else excluded.block(low, min(low + step, len(queries)))
        if few:
            rows, positions = _several(queries[part], chosen, k, margins[part], closed, blocked, pairs)
            positions = positions if allowed is None else allowed[positions]
        else:
            pruning = Pruning(
                queries[part], lengths[part], margins[part], vectors, scan or Plain(vectors), n, k, allowed,
                _masks(blocked, closed, pairs),
            )  # fmt: skip
            kept = pruning.run()
            rows, positions = kept.rows, kept.positions
        scores = pair_scores(queries[part], vectors, rows, positions)
        found = best(Matches(rows, positions, scores), len(queries[part]), k)
        parts.append(Matches(found.rows + low, found.positions, found.scores) if low else found)
    return parts[0] if len(parts) == 1 else join(parts)


def _few(
    query: Floats,
    vectors: Floats,
    k: int,
    margin: float,
    closed: Floats | None,
    *barred: Ints | None,
) -> Ints:
    """Positions that may be among one query's k best of a few thousand: what pruning does, without its tiles."""
    n, dim = vectors.shape
    size = max(1, _VECTOR // dim)
    whole = n - n % size
    scores = np.empty(n, np.float32)
    np.matmul(vectors[:whole].reshape(-1, size, dim), query, out=scores[:whole].reshape(-1, size))
    np.matmul(vectors[whole:], query, out=scores[whole:])
    if closed is not None:
        scores += closed
    for positions in barred:
        if positions is not None:
            scores[positions] = -np.inf
    if k >= n:
        return np.flatnonzero(scores > -np.inf)
    kth = np.partition(scores, n - k)[n - k]
    return np.flatnonzero(scores >= max(kth - 2 * margin, _LOWEST))


def _several(
    queries: Floats,
    vectors: Floats,
    k: int,
    margins: Floats,
    closed: Floats | None,
    blocked: Ints | None,
    pairs: Pairs | None,
) -> tuple[Ints, Ints]:
    """Rows and positions that may be among the k best of several queries, as ``_few`` for one."""
    (m, dim), n = queries.shape, len(vectors)
    size = max(1, _PRODUCT // (m * dim))
    whole = n - n % size
    turned, found = np.ascontiguousarray(queries.T), np.empty((n, m), np.float32)
    tiles = vectors[:whole].reshape(-1, size, dim)  # [tiles, size, dim]; first in the product: OpenBLAS copies none
    np.matmul(tiles, turned, out=found[:whole].reshape(-1, size, m))
    np.matmul(vectors[whole:], turned, out=found[whole:])
    scores = np.ascontiguousarray(found.T)
    if closed is not None:
        scores += closed
    if blocked is not None:
        scores[:, blocked] = -np.inf
    if pairs is not None:
        scores[pairs.rows, pairs.positions] = -np.inf
    if k >= n:
        kept = np.flatnonzero(scores > -np.inf)
    else:
        largest = _largest(scores, k)
        kth = np.partition(largest, largest.shape[1] - k, axis=1)[:, largest.shape[1] - k]
        kept = np.flatnonzero(scores >= np.maximum(kth - 2 * margins, np.float32(_LOWEST))[:, None])
    rows, positions = np.divmod(kept, n)
    return rows, positions


def _largest(scores: Floats, k: int) -> Floats:
    """The largest of every ``_GROUP`` scores of each query, if there are many: their k-th best is at most that of all."""
    width = scores.shape[1] // _GROUP
    if width < 8 * k:
        return scores
    largest: Floats = scores[:, : _GROUP * width].reshape(len(scores), _GROUP, width).max(axis=1)
    return largest


def _masks(blocked: Ints | None, closed: Floats | None, pairs: Pairs | None) -> Masks | None:
    """The candidates that may not be found, as the first pass takes them; None where there are none."""
    if pairs is not None and pairs.rows.size == 0:
        pairs = None
    if blocked is None and closed is None and pairs is None:
        return None
    if pairs is None:
        return Masks(blocked, closed)
    order = np.argsort(pairs.positions)
    return Masks(blocked, closed, pairs.rows[order], pairs.positions[order])


def _better_gathered(blocked: int, n: int) -> bool:
    """Whether copying the remaining vectors costs less than scoring all."""
    return blocked * 4 > 3 * n


def others(positions: Ints, n: int) -> Ints:
    """All positions below ``n`` but these, rising."""
    rest = np.ones(n, bool)
    rest[positions] = False
    return np.flatnonzero(rest)


def _within(pairs: Pairs, allowed: Ints, queries: int) -> Pairs:
    """Pairs whose position is among ``allowed``, as indexes into it."""
    at = np.searchsorted(allowed, pairs.positions)
    inside = at < allowed.size
    inside[inside] = allowed[at[inside]] == pairs.positions[inside]
    return Pairs.of(pairs.rows[inside], at[inside], queries)
