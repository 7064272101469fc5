"""The base of approximate indexes: ask a native index, filter, widen, and fall back to exact search.

1. Where a filter leaves few candidates, exact search over those few is cheaper and better: done.
2. The native index is asked for more candidates than k, in proportion to those that the filters remove. Its own scores
   are rough and are not used: the candidates that pass the filters are ranked by their vectors, first in float32, then, where that could
   be off, as everywhere (``shortlist.index.exact``), so all indexes report the same scores.
3. Seen items are often the very best, and the next ones are further out. A query that lost many of its
   results to its own exclusions is asked again as wide as that takes; one left with fewer than ``min(k, eligible)``
   wider still, and at last exactly.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from shortlist._above import room_above
from shortlist.errors import ConfigError, did_you_mean
from shortlist.index.base import LiveIndex, Snapshot
from shortlist.index.block import Filters, SearchRequest, member
from shortlist.index.checks import LONGEST_SQUARED
from shortlist.index.exact import Matches, best, join, pair_scores, slack_of, tolerance
from shortlist.index.halves import Halves, whole
from shortlist.index.pruning import threads_here
from shortlist.index.ranking import Bounds, Ranked, ranked
from shortlist.index.storage import Reader, Writer, scratch
from shortlist.index.values import Floats, Hits, Ints, Lists

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BEARABLE", "ApproximateIndex", "Width", "renumber", "sub_request"]

_FEW = 20_000  # exact search over a filter's candidates, up to this many
# or while their square is at most so many times n · the candidates re-ranked: a filter that leaves f of n costs exact
# search f rows, and an index about as many times its usual work as n/f. Several queries share the reading of the rows.
_WORTH, _SHARED = 4, 8
_FACTORS = (1, 4, 16)  # times as many results, and effort, for queries left with too few
BEARABLE = 16  # if more than one in so many results is excluded, the search is repeated further out
_DEPTH = 2.5  # effort for candidates beyond a share p of the results is 1 + _DEPTH·√p: recall stays level (measured)
_GATHERED = 1 << 17  # numbers gathered at a time for a first ranking


@dataclass(frozen=True)
class Width:
    """How far to look: candidates wanted, and a factor on every other effort."""

    results: int
    effort: float


class ApproximateIndex(LiveIndex):
    """An index that looks at some of the candidates.

    A kind gives ``_probe`` and ``_rerank``, the number of candidates that are re-ranked when no filter is set.
    ``at_search`` names the settings that a built index can change; ``recall`` and ``k`` among the settings are the
    promise that ``build`` keeps.
    """

    at_search: ClassVar[tuple[str, ...]] = ()

    def build(self, vectors: Floats | Halves, ids: Ints | None = None, queries: Floats | None = None) -> LiveIndex:
        """A new index of these settings over ``vectors``.

        Where a recall is promised, what the settings leave out is tuned first, and ``tuning`` says how that went; exact
        search where no settings keep the promise.

        Args:
            vectors: float32 ``[n, dim]``, finite. Kept, not copied, where contiguous: do not change it.
            ids: distinct int64 ``[n]``; 0, 1, 2, … by default. Kept as well.
            queries: float32 ``[queries, dim]``, a sample of what will be asked; only settings that promise a recall need it.

        Raises:
            SearchError: as in ``LiveIndex``, and for a promised recall with fewer than 40 queries.
            MissingExtraError: where the package behind the index is not installed.
        """
        if self._settings.recall is None:
            return super().build(vectors, ids)
        index: LiveIndex = room_above("tuning").keep_promise(self, whole(vectors), ids, queries)
        return index

    def with_search(self, **options: int | None) -> Self:
        """This index under other settings at search; nothing is built or copied.

        Raises:
            ConfigError: for an option that needs a new build.
        """
        for name in options:
            if name not in self.at_search:
                raise ConfigError(
                    f"{type(self).__name__}'s {name} cannot be changed without a build.",
                    hint=did_you_mean(name, self.at_search),
                )
        return self.with_settings(**options)

    def with_settings(self, **options: Any) -> Self:
        """This index, or these settings, under other settings; the built index stays as it is."""
        again = type(self)(**{**asdict(self._settings), **options})
        again._snapshot = self._snapshot
        return again

    def unbuilt(self, **options: Any) -> Self:
        """These settings under others, of an index that is yet to be built."""
        return type(self)(**{**asdict(self._settings), **options})

    @abstractmethod
    def require(self) -> None:
        """Check that the library behind the index runs here.

        Raises:
            MissingExtraError: where it is not installed.
            SearchError: where it does not run.
        """

    @abstractmethod
    def _probe(self, native: Any, queries: Floats, width: Width, open_: npt.NDArray[np.bool_] | None = None) -> Ints:
        """Distinct positions, int64 ``[queries, results]`` or fewer, in any order; −1 for none.

        Args:
            open_: the candidates that may be found, ``[n]``. A kind that cannot look at those alone ignores it.
        """

    @abstractmethod
    def _rerank(self, n: int, k: int) -> int:
        """Candidates to re-rank among ``n``."""

    def _first(self, n: int, k: int, taken: int) -> tuple[Width, int]:
        """How far to look first for a query that may not have ``taken`` of the candidates, and how many of the results
        these may be before the query is asked again."""
        rerank = self._rerank(n, k)
        return Width(rerank, 1.0), rerank // BEARABLE

    def _searched_exactly(self, free: int, n: int, queries: int, k: int) -> bool:
        """Whether exact search over the ``free`` candidates that filters leave of ``n`` costs less than the index."""
        return free < n and (free <= _FEW or free**2 <= _WORTH * min(queries, _SHARED) * n * self._rerank(n, k))

    def _packed(self, native: Any) -> dict[str, bytes]:
        """The files that ``save`` would write of the native index, by name."""
        with scratch() as folder:
            with Writer(Path(folder)) as writer:
                self._write_native(native, writer)
                writer.commit({})
            return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}

    def _unpacked(self, packed: dict[str, bytes], snapshot: Snapshot) -> Any:
        with scratch() as folder:
            for name, content in packed.items():
                (Path(folder) / name).write_bytes(content)
            return self._read_native(Reader(Path(folder), verify=False), snapshot)

    def _plain(self, queries: Floats, k: int, exclude: Lists | None) -> Hits | None:
        """The answer to one well-formed query without filters, in an index without changes; None for others."""
        now = self._snapshot
        if exclude is not None or now is None or now.native is None or now.base.dead is not None or now.extra.ids.size:
            return None
        if not (type(queries) is np.ndarray and type(k) is int and queries.dtype == np.float32):
            return None
        base, n = now.base, now.base.ids.size
        if queries.shape != (1, now.dim) or not queries.flags.c_contiguous or not 1 <= k * 4 < n:
            return None
        norm = float(np.dot(queries[0], queries[0]))
        if not norm <= LONGEST_SQUARED or self._searched_exactly(n, n, 1, k):
            return None
        found = self._alone(now, queries, norm, k, None)
        if found.positions is None:
            return None
        return Hits(np.array([0, found.positions.size]), base.ids[found.positions], found.scores)

    def _search_base(self, snapshot: Snapshot, request: SearchRequest, filters: Filters) -> Matches:
        base, n, m = snapshot.base, snapshot.base.ids.size, request.queries.shape[0]
        free = filters.free(n)
        few = self._searched_exactly(free, n, m, request.k)
        if snapshot.native is None or filters.lists is not None or few or request.k * 4 >= free or m == 0:
            return base.search(request, filters)
        if filters.excluded is not None:
            filters = replace(filters, excluded=base.distinct(filters.excluded))
        lost = 0
        if m == 1 and filters.blocked is None and filters.allowed is None:
            taken = None if filters.excluded is None else filters.excluded.positions
            found = self._alone(snapshot, request.queries, float(request.norms[0]), request.k, taken)
            if found.positions is not None:
                return Matches(np.zeros(found.positions.size, np.int64), found.positions, found.scores)
            lost = found.lost
        return self._widening(snapshot, request, filters, lost)

    def _alone(self, snapshot: Snapshot, query: Floats, norm: float, k: int, excluded: Ints | None) -> Ranked:
        """A single query ``[1, dim]`` with no filters but its own, by the shortest way to the same answer; without positions if too
        few are found or too many were excluded."""
        base, n = snapshot.base, snapshot.base.ids.size
        taken = 0 if excluded is None else excluded.size
        width, bearable = self._first(n, k, taken)
        positions = self._probe(snapshot.native, query, width)[0]
        slack = slack_of(norm, base.max_norm, snapshot.dim)
        return ranked(query[0], base.vectors, positions, k, slack, excluded, Bounds(min(k, n - taken), bearable))

    def _widening(self, snapshot: Snapshot, request: SearchRequest, filters: Filters, lost: int) -> Matches:
        """Searches, then searches wider for queries with too few results, and at last exactly.

        Args:
            lost: how many results of an earlier search were excluded, if that was too many.
        """
        base, n, m, k = snapshot.base, snapshot.base.ids.size, request.queries.shape[0], request.k
        wanted, open_ = np.minimum(filters.eligible(n, m), k), base.open_to(filters)
        taken = 0 if filters.excluded is None else int(np.diff(filters.excluded.offsets).max(initial=0))
        rerank, effort = self._rerank(n, k), n / filters.free(n)
        width, bearable = Width(min(n, math.ceil(rerank * effort)), effort), rerank // BEARABLE if taken else n
        if lost > bearable:
            width, bearable = _behind(rerank, n, lost, effort), n
        pending, parts, factor = np.arange(m), [], 1
        while True:
            rows, part = sub_request(request, filters, pending)
            found, kept, barred = self._candidates(snapshot, rows, part, open_, width)
            hungry = kept < wanted[pending]
            short = hungry | (barred > bearable)
            parts.append(renumber(found, pending, ~short))
            pending = pending[short]
            if pending.size == 0 or width.results == n or factor == _FACTORS[-1]:
                break
            deep, bearable = int(barred[short].max()), n
            if hungry.any():
                factor = _FACTORS[_FACTORS.index(factor) + 1]
                width = Width(min(n, math.ceil((rerank * factor + max(taken, 2 * deep)) * effort)), effort * factor)
            else:
                width = _behind(rerank, n, deep, effort)
        if pending.size:
            rows, part = sub_request(request, filters, pending)
            parts.append(renumber(base.search(rows, part), pending, np.ones(pending.size, bool)))
        return parts[0] if len(parts) == 1 else best(join(parts), m, k)

    def _candidates(
        self,
        snapshot: Snapshot,
        request: SearchRequest,
        filters: Filters,
        open_: npt.NDArray[np.bool_] | None,
        width: Width,
    ) -> tuple[Matches, Ints, Ints]:
        """The best that the native index offers and the filters let through; per query how many those were, and how
        many were excluded for this query alone."""
        base, k, m = snapshot.base, request.k, request.queries.shape[0]
        positions = np.sort(self._probe(snapshot.native, request.queries, width, open_), axis=1)
        keep, lost = _keep(positions, filters, open_, base.ids.size)
        kept: Ints = keep.sum(axis=1)
        if k < positions.shape[1]:
            scores = _rough_scores(positions, request.queries, whole(base.vectors))
            keep &= _near_best(scores, keep, k, tolerance(request.norms, base.max_norm, snapshot.dim))
        rows, columns = np.divmod(np.flatnonzero(keep), positions.shape[1])
        chosen = positions[rows, columns]
        exact = pair_scores(request.queries, base.vectors, rows, chosen)
        return best(Matches(rows, chosen, exact), m, k), kept, lost


def _behind(rerank: int, n: int, lost: int, effort: float) -> Width:
    """How far to look for what comes after ``lost`` that are excluded."""
    depth = 1 + _DEPTH * math.sqrt(lost / rerank)
    return Width(min(n, math.ceil((rerank + 2 * lost) * effort)), effort * depth)


def _keep(
    positions: Ints, filters: Filters, open_: npt.NDArray[np.bool_] | None, size: int
) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Which of ``[queries, results]`` are there and pass the filters, whose pairs are sorted; per query how many were
    excluded for it alone."""
    keep = positions >= 0
    if open_ is not None:
        keep &= open_[positions]
    elif filters.blocked is not None:
        keep &= ~member(filters.blocked, positions.ravel()).reshape(keep.shape)
    if filters.excluded is None:
        return keep, np.zeros(positions.shape[0], np.int64)
    taken = filters.excluded.rows * size + filters.excluded.positions
    keys = positions + np.arange(positions.shape[0])[:, None] * size
    excluded = keep & member(taken, keys.ravel()).reshape(keep.shape)
    return keep & ~excluded, excluded.sum(axis=1)


def _rough_scores(positions: Ints, queries: Floats, vectors: Floats) -> Floats:
    """Float32 products of each query with its positions, ``[queries, positions]``; of −1 with anything."""
    m, width = positions.shape
    scores = np.empty((m, width), np.float32)
    step = max(1, _GATHERED // max(1, width * vectors.shape[1]))

    def fill(low: int) -> None:
        part = slice(low, low + step)
        np.einsum("bij,bj->bi", vectors.take(positions[part], axis=0), queries[part], out=scores[part])

    parts = range(0, m, step)
    threads = min(threads_here(), len(parts) // 4) if len(parts) >= 8 else 1
    if threads == 1:
        for low in parts:
            fill(low)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, parts))
    return scores


def _near_best(scores: Floats, keep: npt.NDArray[np.bool_], k: int, slack: Floats) -> npt.NDArray[np.bool_]:
    """Which are within rounding error of the k-th best of those kept."""
    held = np.where(keep, scores, -np.inf)
    kth = np.partition(held, held.shape[1] - k, axis=1)[:, held.shape[1] - k]
    near: npt.NDArray[np.bool_] = held >= (kth - slack)[:, None]
    return near


def sub_request(request: SearchRequest, filters: Filters, rows: Ints) -> tuple[SearchRequest, Filters]:
    """The request and its filters for some of its queries, in rising order."""
    if rows.size == request.queries.shape[0]:
        return request, filters
    part = replace(request, queries=request.queries[rows], norms=request.norms[rows])
    return part, filters.take(rows)


def renumber(found: Matches, rows: Ints, chosen: npt.NDArray[np.bool_]) -> Matches:
    """Matches of the chosen rows, under the numbers that the rows have outside."""
    keep = chosen[found.rows]
    return Matches(rows[found.rows[keep]], found.positions[keep], found.scores[keep])
