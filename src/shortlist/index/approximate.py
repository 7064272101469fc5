"""What approximate indexes share: ask a native index, filter, widen, and fall back to exact search.

1. Where a filter leaves few candidates, exact search over those few is cheaper and better: done.
2. The native index is asked for more candidates than k, in proportion to what the filters take away.
3. A query left with fewer than ``min(k, eligible)`` is asked again, wider, and at last searched exactly.
4. What remains is scored as everywhere (``shortlist.index.exact``), so all indexes report the same scores.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from shortlist.errors import ConfigError, did_you_mean
from shortlist.index.base import LiveIndex, Snapshot
from shortlist.index.exact import Found, best, join, pair_scores, tolerance
from shortlist.index.segment import Filters, Request, member
from shortlist.index.values import Floats, Ints

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ApproximateIndex", "Width"]

_FEW = 20_000  # exact search over a filter's candidates, up to this many
_PART = 0.1  # or up to this part of all
_LOST = 64  # results asked for beyond 2·k where some will be filtered out
_GATHERED = 1 << 20  # numbers gathered at a time for a first ranking
_SPARE = 8  # results asked for beyond k, to order near ties by their exact scores


@dataclass(frozen=True)
class Width:
    """How far to look: results wanted, candidates to re-rank for them, and a factor on every other effort."""

    results: int
    rerank: int
    effort: float


class ApproximateIndex(LiveIndex):
    """An index that looks at some of the candidates.

    A kind gives ``_probe``, ``_rerank``, the number of candidates it re-ranks when no filter is set, and
    ``_ranks``: whether the order of what ``_probe`` returns is exact. ``at_search`` names the settings that a built
    index can change; ``recall`` and ``k`` among the settings are the promise that ``build`` keeps.
    """

    _ranks: ClassVar[bool] = True
    at_search: ClassVar[tuple[str, ...]] = ()

    def build(self, vectors: Floats, ids: Ints | None = None, queries: Floats | None = None) -> LiveIndex:
        """A new index of these settings (see :class:`~shortlist.index.contract.Index`).

        Where a recall is promised, what the settings leave out is tuned first, and ``tuning`` says how that went.
        """
        if self._settings.recall is None:
            return super().build(vectors, ids)
        from shortlist.index.tuning import keep_promise

        return keep_promise(self, vectors, ids, queries)

    def with_search(self, **options: int | None) -> Self:
        """This index under other settings at search; nothing is built or copied.

        Raises:
            ConfigError: an option that takes a build.
        """
        for name in options:
            if name not in self.at_search:
                raise ConfigError(
                    f"{type(self).__name__}'s {name} cannot be changed without a build.",
                    hint=did_you_mean(name, self.at_search),
                )
        return self.with_settings(**options)

    def with_settings(self, **options: Any) -> Self:
        """This index, or these settings, under others; what is built stays as it was built."""
        again = type(self)(**{**asdict(self._settings), **options})
        again._snapshot = self._snapshot
        return again

    @abstractmethod
    def require(self) -> None:
        """Raises ``MissingExtraError`` or ``SearchError`` unless the library behind the index runs here."""

    @abstractmethod
    def _probe(self, native: Any, queries: Floats, width: Width) -> tuple[Ints, Floats | None]:
        """Positions ``[queries, results]``, best first, −1 for none; and their scores, unless those are rough."""

    @abstractmethod
    def _rerank(self, n: int, k: int) -> int:
        """Candidates to re-rank among ``n``."""

    def _search_base(self, snapshot: Snapshot, request: Request, filters: Filters) -> Found:
        base, n, m = snapshot.base, snapshot.base.ids.size, request.queries.shape[0]
        free = filters.free(n)
        few = free < n and (free <= _FEW or free <= _PART * n)
        if snapshot.native is None or filters.lists is not None or few or request.k * 4 >= free or m == 0:
            return base.search(request, filters)
        if m == 1 and self._ranks and filters.blocked is None and filters.allowed is None and filters.excluded is None:
            found = self._alone(snapshot, request)
            if found is not None:
                return found
        if filters.excluded is not None:
            filters = replace(filters, excluded=base.distinct(filters.excluded))
        return self._widening(snapshot, request, filters, n / free)

    def _alone(self, snapshot: Snapshot, request: Request) -> Found | None:
        """A single query without filters, by the shortest way to the same answer; None where too few are found."""
        base, k, n = snapshot.base, request.k, snapshot.base.ids.size
        rerank = self._rerank(n, k)
        width = Width(min(rerank, k + _SPARE), rerank, 1.0)
        probed, rough = self._probe(snapshot.native, request.queries, width)
        positions, scores = probed[0], None if rough is None else rough[0]
        if positions.size < min(k, n) or scores is None or positions.min() < 0:
            return None
        if positions.size > k:
            slack = tolerance(request.norms, base.max_norm, snapshot.dim)[0]
            near = int(np.searchsorted(-scores[k:], -(scores[k - 1] - slack), side="right"))  # scores fall
            positions = positions[: k + near]
        rows = np.zeros(positions.size, np.int64)
        exact = pair_scores(request.queries, base.vectors, rows, positions)
        order = np.lexsort((positions, -exact))[:k]
        return Found(rows[:k], positions[order], exact[order])

    def _widening(self, snapshot: Snapshot, request: Request, filters: Filters, effort: float) -> Found:
        base, n, m = snapshot.base, snapshot.base.ids.size, request.queries.shape[0]
        eligible, open_ = filters.eligible(n, m), filters.mask(n)
        pending, parts = np.arange(m), []
        for width, enough in self._widths(request.k, n, effort, filters):
            rows, part = _sub(request, filters, pending)
            found, kept = self._candidates(snapshot, rows, part, open_, width)
            short = kept < np.minimum(eligible[pending], enough)
            parts.append(_renumber(found, pending, ~short))
            pending = pending[short]
            if pending.size == 0:
                break
        if pending.size:
            rows, part = _sub(request, filters, pending)
            parts.append(_renumber(base.search(rows, part), pending, np.ones(pending.size, bool)))
        return parts[0] if len(parts) == 1 else best(join(parts), m, request.k)

    def _widths(self, k: int, n: int, effort: float, filters: Filters) -> Iterator[tuple[Width, int]]:
        """How far to look, wider each time, and how many must pass the filters for that to do."""
        taken = 0 if filters.excluded is None else int(np.diff(filters.excluded.offsets).max(initial=0))
        rerank = self._rerank(n, k)
        first = min(n, math.ceil(rerank * effort))
        spare = _SPARE if taken == 0 and effort == 1.0 else k + _LOST
        results = min(first, math.ceil((k + spare) * effort)) if self._ranks else first
        # Seen items are often the very best. Where they are half of what came back, more may have been lost.
        yield Width(results, first, effort), max(k, results // 2) if taken else k
        for factor in (4, 16):
            wide = min(n, math.ceil((rerank * factor + taken) * effort))
            yield Width(wide, wide, effort * factor), k
            if wide == n:
                return

    def _candidates(
        self,
        snapshot: Snapshot,
        request: Request,
        filters: Filters,
        open_: npt.NDArray[np.bool_] | None,
        width: Width,
    ) -> tuple[Found, Ints]:
        """The best that the native index offers and the filters let through, and how many those are per query."""
        base, k, m = snapshot.base, request.k, request.queries.shape[0]
        positions, scores = self._probe(snapshot.native, request.queries, width)
        keep = _keep(positions, filters, open_, base.ids.size)
        kept: Ints = keep.sum(axis=1)
        if scores is None:
            positions, keep, scores = _ranked(positions, keep, request.queries, base.vectors)
        if k < positions.shape[1]:
            keep &= _near_best(scores, keep, k, tolerance(request.norms, base.max_norm, snapshot.dim))
        rows, columns = np.divmod(np.flatnonzero(keep), positions.shape[1])
        chosen = positions[rows, columns]
        exact = pair_scores(request.queries, base.vectors, rows, chosen)
        return best(Found(rows, chosen, exact), m, k), kept


def _keep(positions: Ints, filters: Filters, open_: npt.NDArray[np.bool_] | None, size: int) -> npt.NDArray[np.bool_]:
    """Which of ``[queries, results]`` are there and pass the filters, whose pairs are sorted."""
    keep = positions >= 0
    if open_ is not None:
        keep &= open_[positions]
    elif filters.blocked is not None:
        keep &= ~member(filters.blocked, positions.ravel()).reshape(keep.shape)
    if filters.excluded is not None:
        taken = filters.excluded.rows * size + filters.excluded.positions
        keys = positions + np.arange(positions.shape[0])[:, None] * size
        keep &= ~member(taken, keys.ravel()).reshape(keep.shape)
    return keep


def _ranked(
    positions: Ints, keep: npt.NDArray[np.bool_], queries: Floats, vectors: Floats
) -> tuple[Ints, npt.NDArray[np.bool_], Floats]:
    """The same results, by falling score."""
    scores = np.empty(positions.shape, np.float32)
    step = max(1, _GATHERED // max(1, positions.shape[1] * vectors.shape[1]))
    for low in range(0, positions.shape[0], step):
        part = slice(low, low + step)
        scores[part] = (vectors[positions[part]] @ queries[part, :, None])[:, :, 0]
    order = np.argsort(-scores, axis=1)
    return (
        np.take_along_axis(positions, order, axis=1),
        np.take_along_axis(keep, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
    )


def _near_best(scores: Floats, keep: npt.NDArray[np.bool_], k: int, slack: Floats) -> npt.NDArray[np.bool_]:
    """Which are within rounding error of the k-th of those kept; scores fall along each row."""
    reached = np.cumsum(keep, axis=1) >= k
    full = reached[:, -1]
    kth = scores[np.arange(scores.shape[0]), np.argmax(reached, axis=1)]
    near: npt.NDArray[np.bool_] = scores >= np.where(full, kth - slack, -np.inf)[:, None]
    return near


def _sub(request: Request, filters: Filters, rows: Ints) -> tuple[Request, Filters]:
    if rows.size == request.queries.shape[0]:
        return request, filters
    part = replace(request, queries=request.queries[rows], norms=request.norms[rows])
    return part, filters.take(rows)


def _renumber(found: Found, rows: Ints, chosen: npt.NDArray[np.bool_]) -> Found:
    """Found entries of the chosen rows, under the numbers that the rows have outside."""
    keep = chosen[found.rows]
    return Found(rows[found.rows[keep]], found.positions[keep], found.scores[keep])
