"""A block of candidates that never changes, and a request's filters as positions in it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shortlist.errors import SearchError
from shortlist.index.equal_vectors import EqualVectors
from shortlist.index.exact import Matches, Pairs, best, pair_scores
from shortlist.index.halves import Halves
from shortlist.index.positions import Positions
from shortlist.index.scan_arrays import ScanArray
from shortlist.index.top import others, top
from shortlist.index.values import Floats, Ints, Lists, as_ids
from shortlist.language import counted

__all__ = ["Block", "Filters", "SearchRequest", "member"]

_FEW = 256  # blocked candidates that each may be of one group of equal vectors


@dataclass(frozen=True)
class SearchRequest:
    """A checked search: queries, how many, and filters in ids."""

    queries: Floats
    norms: Floats
    k: int
    exclude: Lists | None = None
    allow: Lists | Ints | None = None
    deny: Ints | None = None

    @classmethod
    def of(
        cls,
        queries: Floats,
        norms: Floats,
        k: int,
        exclude: object,
        allow: object,
        deny: object,
    ) -> SearchRequest:
        """A request from the caller's arguments; ``SearchError`` where a filter does not fit the queries."""
        rows = queries.shape[0]
        if exclude is not None and not isinstance(exclude, Lists):
            raise SearchError(
                f"exclude is a {type(exclude).__name__}; Lists, one per query, were expected.",
                hint="Lists.of([[3, 5], []]); for ids that no query may have use deny=.",
            )
        for name, given in (("exclude", exclude), ("allow", allow)):
            if isinstance(given, Lists) and len(given) != rows:
                raise SearchError(
                    f"{name} has {counted(len(given), 'list')} for {counted(rows, 'query')}; one per query was expected."
                )
        allowed = allow if allow is None or isinstance(allow, Lists) else as_ids(allow, "allow")
        return cls(queries, norms, k, exclude, allowed, None if deny is None else as_ids(deny, "deny"))


@dataclass(frozen=True)
class Filters:
    """A request's filters in the positions of one block.

    At most one of ``blocked`` and ``allowed`` is set; with ``lists`` neither is, nor ``excluded``.
    """

    blocked: Ints | None = None
    allowed: Ints | None = None
    excluded: Pairs | None = None
    lists: Pairs | None = None

    def take(self, queries: Ints) -> Filters:
        """The filters of some of the queries, in rising order."""
        excluded = None if self.excluded is None else self.excluded.take(queries)
        lists = None if self.lists is None else self.lists.take(queries)
        return Filters(self.blocked, self.allowed, excluded, lists)

    def passes(self, rows: Ints, positions: Ints, size: int) -> npt.NDArray[np.bool_]:
        """Which (query, position) pairs the filters let through."""
        keep = np.ones(rows.size, bool)
        if self.blocked is not None:
            keep &= ~member(self.blocked, positions)
        if self.allowed is not None:
            keep &= member(self.allowed, positions)
        if self.excluded is not None:
            keys = self.excluded.rows * size + self.excluded.positions
            keep &= ~member(np.sort(keys), rows * size + positions)
        return keep

    def free(self, size: int) -> int:
        """How many candidates are open to all queries."""
        free = size if self.allowed is None else self.allowed.size
        return free - (0 if self.blocked is None else self.blocked.size)

    def eligible(self, size: int, queries: int) -> Ints:
        """How many candidates each query may have, ``[queries]``, where no pair is excluded twice."""
        free = self.free(size)
        if self.excluded is None:
            return np.full(queries, free, np.int64)
        pairs = self.excluded
        if self.blocked is not None or self.allowed is not None:
            open_ = Filters(self.blocked, self.allowed).passes(pairs.rows, pairs.positions, size)
            return free - np.bincount(pairs.rows[open_], minlength=queries)
        return free - np.bincount(pairs.rows, minlength=queries)


def member(sorted_values: Ints, values: Ints) -> npt.NDArray[np.bool_]:
    """Whether each value occurs in ``sorted_values``."""
    if sorted_values.size == 0:
        return np.zeros(values.size, bool)
    at = np.minimum(np.searchsorted(sorted_values, values), sorted_values.size - 1)
    found: npt.NDArray[np.bool_] = sorted_values[at] == values
    return found


def sorted_set(values: Ints) -> Ints:
    """The distinct values, sorted."""
    values = np.sort(values)
    keep = np.ones(values.size, bool)
    keep[1:] = values[1:] != values[:-1]
    return values[keep]


def _union(first: Ints | None, second: Ints | None) -> Ints | None:
    if first is None or second is None:
        return second if first is None else first
    return sorted_set(np.concatenate([first, second]))


@dataclass(frozen=True, eq=False)
class Block:
    """Candidates as they were when the block was made, and which of them were deleted since.

    Attributes:
        vectors: float32 ``[n, dim]``, or halves of them.
        ids: int64 ``[n]``, distinct.
        max_norm: length of the longest vector.
        dead: sorted positions of candidates that were deleted or replaced, or None.
        positions: from ids to positions; shared by the blocks that differ only in ``dead``, as ``equal`` is.
        equal: which vectors are equal.
    """

    vectors: Floats | Halves
    ids: Ints
    max_norm: float
    dead: Ints | None
    positions: Positions
    equal: EqualVectors

    @classmethod
    def of(cls, vectors: Floats | Halves, ids: Ints, max_norm: float, dead: Ints | None = None) -> Block:
        """A block with positions of its own."""
        return cls(
            vectors,
            ids,
            max_norm,
            None if dead is None or dead.size == 0 else dead,
            Positions(ids),
            EqualVectors(vectors),
        )

    @property
    def alive(self) -> int:
        """How many candidates were not deleted."""
        return self.ids.size - (0 if self.dead is None else self.dead.size)

    @functools.cached_property
    def living(self) -> tuple[Floats | Halves, Ints]:
        """Vectors and ids of the candidates that were not deleted; the arrays themselves while none were."""
        if self.dead is None:
            return self.vectors, self.ids
        keep = np.ones(self.ids.size, bool)
        keep[self.dead] = False
        return self.vectors[keep], self.ids[keep]

    def living_positions(self, ids: Ints) -> Ints:
        """The position of each id, int64 ``[ids]``; −1 where the block has none, or it was deleted."""
        positions = self.positions.find(ids)
        return positions if self.dead is None else np.where(member(self.dead, positions), -1, positions)

    def without(self, ids: Ints) -> Block:
        """The same block with more candidates deleted; ids that it lacks are ignored."""
        positions = self.positions.find(ids)
        dead = _union(self.dead, sorted_set(positions[positions >= 0]))
        return Block(
            self.vectors,
            self.ids,
            self.max_norm,
            None if dead is None or dead.size == 0 else dead,
            self.positions,
            self.equal,
        )

    def filters(self, request: SearchRequest) -> Filters:
        """The request's filters as positions; ids that the block lacks are ignored."""
        if request.exclude is None and request.allow is None and request.deny is None:
            return Filters(self.dead)
        blocked = self.dead
        if request.deny is not None:
            blocked = _union(blocked, self.positions.members(request.deny))
        if blocked is not None and blocked.size == 0:
            blocked = None
        excluded = None if request.exclude is None else self._pairs(request.exclude)
        if isinstance(request.allow, Lists):
            lists = self._pairs(request.allow, distinct=True)
            keep = Filters(blocked, None, excluded).passes(lists.rows, lists.positions, self.ids.size)
            return Filters(lists=Pairs.of(lists.rows[keep], lists.positions[keep], len(request.allow)))
        if request.allow is None:
            return Filters(blocked, None, excluded)
        allowed = self.positions.members(request.allow)
        if blocked is not None:
            allowed = allowed[~member(blocked, allowed)]
        return Filters(None, allowed, excluded)

    def open_to(self, filters: Filters) -> npt.NDArray[np.bool_] | None:
        """Which candidates are open to all queries, ``[n]``, not to be written to; None where few or none are blocked."""
        if filters.allowed is not None:
            return self.positions.mask(filters.allowed)
        if filters.blocked is None or filters.blocked.size * 64 < self.ids.size:
            return None
        return ~self.positions.mask(filters.blocked)

    def _pairs(self, lists: Lists, distinct: bool = False) -> Pairs:
        positions = self.positions.find(lists.values)
        queries = len(lists)
        if queries == 1:
            positions = positions[positions >= 0]
            if distinct:
                positions = sorted_set(positions)
            return Pairs(np.zeros(positions.size, np.int64), positions, np.array([0, positions.size]))
        rows = np.repeat(np.arange(queries), np.diff(lists.offsets))
        known = positions >= 0
        rows, positions = rows[known], positions[known]
        if distinct:
            rows, positions = np.divmod(sorted_set(rows * self.ids.size + positions), self.ids.size)
        return Pairs.of(rows, positions, queries)

    def distinct(self, pairs: Pairs) -> Pairs:
        """The pairs without repeats."""
        queries, size = pairs.offsets.size - 1, self.ids.size
        if queries == 1:
            positions = sorted_set(pairs.positions)
            return Pairs(np.zeros(positions.size, np.int64), positions, np.array([0, positions.size]))
        rows, positions = np.divmod(sorted_set(pairs.rows * size + pairs.positions), size)
        return Pairs.of(rows, positions, queries)

    def _thinned(self, filters: Filters, k: int) -> Filters:
        """The filters without candidates that equal vectors keep out of every list: the k best of each query are the same."""
        keep = k if filters.excluded is None else k + int(np.diff(filters.excluded.offsets).max(initial=0))
        allowed = filters.allowed
        if allowed is None and filters.blocked is not None and filters.blocked.size > _FEW:
            allowed = others(filters.blocked, self.ids.size)
        if allowed is not None:
            left = self.equal.thinned(allowed, keep)
            return filters if left is allowed else Filters(None, left, filters.excluded)
        blocked = filters.blocked
        first = self.equal.first(keep if blocked is None else keep + blocked.size)
        if first is None:
            return filters
        if blocked is not None:
            first = first[~member(blocked, first)]
        return Filters(None, first, filters.excluded)

    def search(self, request: SearchRequest, filters: Filters, scan: ScanArray | None = None) -> Matches:
        """The exact k best of each query that pass the filters; ``scan`` as for ``top``."""
        if filters.lists is not None:
            rows, positions = filters.lists.rows, filters.lists.positions
            scores = pair_scores(request.queries, self.vectors, rows, positions)
            return best(Matches(rows, positions, scores), request.queries.shape[0], request.k)
        filters = self._thinned(filters, request.k)
        return top(
            request.queries,
            request.norms,
            self.vectors,
            self.max_norm,
            request.k,
            blocked=filters.blocked,
            allowed=filters.allowed,
            excluded=filters.excluded,
            scan=scan,
        )
