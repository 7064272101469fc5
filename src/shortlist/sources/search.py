"""Several sources in one list: the candidates of each, scored by all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.index import Hits, Index, Lists, score_heads, search_heads
from shortlist.sources.added import Added, Context
from shortlist.sources.blend import Weights
from shortlist.sources.neighbours import Scored
from shortlist.sources.quotas import in_places

__all__ = [
    "Filters",
    "Scale",
    "Searched",
    "first_of",
    "looked_up",
    "nearby",
    "scores_of",
    "search",
    "search_with_scale",
]

SCALED = 10  # candidates that each towers find, to know their best
DEPTH = 4  # times k: how far several towers are searched at first, and how much farther each time it was too little


@dataclass(frozen=True, eq=False)
class Filters:
    """The candidates that may be found: per query, or for all queries, as ``Index.search`` takes it."""

    exclude: Lists | None = None
    allow: NDArray[np.int64] | None = None
    deny: NDArray[np.int64] | None = None

    def closed(self, scored: Scored, size: int) -> NDArray[np.bool_]:
        """Which of the entries of ``scored`` their query may not have.

        Args:
            size: rows of candidates that can be among them.
        """
        found = np.zeros(len(scored.rows), np.bool_)
        if self.allow is not None or self.deny is not None:
            shut = np.full(size, self.allow is not None)
            if self.allow is not None:
                shut[self.allow[(self.allow >= 0) & (self.allow < size)]] = False
            if self.deny is not None:
                shut[self.deny[(self.deny >= 0) & (self.deny < size)]] = True
            found = shut[scored.rows]
        if self.exclude is not None:
            query = np.repeat(np.arange(len(scored.offsets) - 1), np.diff(scored.offsets))
            owner = np.repeat(np.arange(len(self.exclude)), np.diff(self.exclude.offsets))
            inside = (self.exclude.values >= 0) & (self.exclude.values < size)
            found |= np.isin(query * size + scored.rows, (owner * size + self.exclude.values)[inside])
        return found

    def of(self, queries: NDArray[np.int64]) -> Filters:
        """The same for some of the queries."""
        if self.exclude is None:
            return self
        return Filters(Lists.of([self.exclude.row(one) for one in queries.tolist()]), self.allow, self.deny)

    def within(self, rows: NDArray[np.int64] | None) -> Filters:
        """The same, and of these rows alone; None for no other limit."""
        if rows is None:
            return self
        return replace(self, allow=rows if self.allow is None else np.intersect1d(rows, self.allow))


@dataclass(frozen=True, eq=False)
class Scale:
    """Each source's best score of the candidates that a query may have; a mixture's scores are shares of these.

    Scores of two searches compare if they have one scale.

    Attributes:
        best: float64 ``[queries, sources]``, of the towers, then of the others; 0 for one of the others without a score.
        last: float64 ``[queries, towers]``, the score of the last of the k that each towers found.
    """

    best: NDArray[np.float64]
    last: NDArray[np.float64]

    def of(self, queries: NDArray[np.int64] | slice) -> Scale:
        """That of some of the queries."""
        return Scale(self.best[queries], self.last[queries])


@dataclass(frozen=True, eq=False)
class Searched:
    """Towers as they are searched.

    Attributes:
        index: over the candidates' vectors.
        vectors_of: the vectors of candidate rows, ``[rows, dim]``.
        queries: the queries' vectors, ``[queries, heads · dim]``.
    """

    index: Index
    vectors_of: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    queries: NDArray[np.float32]

    def scores(self, query: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The scores of candidate rows for one query, rounded as the index rounds: equal vectors have equal scores."""
        found: NDArray[np.float32] = score_heads(self.queries[query][None], self.vectors_of(rows))[0].astype(np.float32)
        return found


def search(towers: Sequence[Searched], added: Added, context: Context, k: int, filters: Filters) -> Hits:
    """The k best candidates of each query by all sources together, best first; equal scores by row.

    1. Every candidate with a score of a table or a ranked list is compared, and the k best of the towers.
    2. With one pair of towers that is enough: any other candidate has their score alone, and no more of it than those k.
    3. With several towers a candidate can be good by all and best by none. So each is searched four times as deep as long as a
       candidate that none of them has found could still be among the k best: its part of each is no more than that of
       the last that was found (the threshold algorithm of Fagin, Lotem, Naor 2003).
    4. With quotas the k best of each source alone are known too, and have their places, see ``places_of_all``.

    So the list is exact if all indexes are.

    Args:
        towers: in the order of ``added.weights``.
        added: the other sources, and the weights of all.
        context: input of the other sources for each query.
        k: length of the lists.
        filters: candidates that may be found.
    """
    return search_with_scale(towers, added, context, k, filters)[0]


def search_with_scale(
    towers: Sequence[Searched],
    added: Added,
    context: Context,
    k: int,
    filters: Filters,
    within: NDArray[np.int64] | None = None,
    scale: Scale | None = None,
) -> tuple[Hits, Scale]:
    """As ``search``, with what the scores are shares of.

    Args:
        within: rows of candidates that are searched alone; scores and places of lists are still those by ``filters``.
        scale: of an earlier search with the same filters; None makes it here, of all that is compared.
    """
    near = nearby(added, context, filters)
    if within is not None:
        inside = Filters(allow=within)
        near = [_open(one, inside, added.size) for one in near]
    filters = filters.within(within)
    count, lengths = len(towers[0].queries), np.diff(context.histories.offsets)
    best: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = [
        (np.zeros(0, np.int64), np.zeros(0, np.float32))
    ] * count
    made = Scale(np.zeros((count, len(added.weights.values))), np.zeros((count, len(towers))))
    waiting, depth = np.arange(count), k if len(towers) == 1 else DEPTH * k
    while len(waiting):
        some = filters if len(waiting) == count else filters.of(waiting)
        found = [
            search_heads(one.index, one.queries[waiting], depth, exclude=some.exclude, allow=some.allow, deny=some.deny)
            for one in towers
        ]
        left = []
        for place, number in enumerate(waiting.tolist()):
            of_towers = [hits.row(place) for hits in found]
            of_near = [others.row(number) for others in near]
            weights = added.weights_of(int(lengths[number]))
            known = None if scale is None else scale.best[number]
            one = _scored(towers, of_towers, of_near, number, depth, weights, known)
            order = first_of(one.rows, one.totals, k)
            enough = one.bound is None or (len(order) == k and one.totals[order[-1]] > one.bound)
            if len(towers) > 1 and not enough:
                left.append(number)
                continue
            if added.quotas:
                ranked = [ids for ids, _ in of_towers] + [ids[np.lexsort((ids, -scores))] for ids, scores in of_near]
                order = in_places(one.rows, one.totals, ranked, added.quotas, k)
            best[number] = one.rows[order], one.totals[order].astype(np.float32)
            made.best[number] = one.best
            made.last[number] = [hits.row(place)[1][:k].min(initial=np.inf) for hits in found]
        waiting, depth = np.array(left, np.int64), depth * DEPTH
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows, _ in best])]).astype(np.int64)
    hits = Hits(
        offsets,
        _concatenated([rows for rows, _ in best], np.int64),
        _concatenated([scores for _, scores in best], np.float32),
    )
    return hits, made if scale is None else scale


def scores_of(
    towers: Sequence[Searched], added: Added, context: Context, filters: Filters, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The scores of given candidates by all sources, ``[queries, rows]``: those that they have in a list of ``search``.

    A candidate that a query may not have counts in each source for no more than the best of those that it may have, so that
    no part exceeds its weight.

    Args:
        filters: candidates that may be found: scores are shares of the best of these; of all where there are none.
        rows: of the candidates.
    """
    hits, scale = search_with_scale(towers, added, context, SCALED, filters)
    best, none_open = scale.best, np.diff(hits.offsets) == 0
    if none_open.any():
        best[none_open] = search_with_scale(towers, added, context, SCALED, Filters(deny=filters.deny))[1].best[
            none_open
        ]
    near, near_all = nearby(added, context, filters), nearby(added, context, Filters())
    lengths = np.diff(context.histories.offsets).tolist()
    found = np.zeros((len(lengths), len(rows)), np.float32)
    for number, length in enumerate(lengths):
        of_towers = [one.scores(number, rows) for one in towers]
        of_near = []
        for open_, whole in zip(near, near_all, strict=True):
            there, mine = looked_up(*open_.row(number), rows)
            of_near.append(np.where(there, mine, looked_up(*whole.row(number), rows)[1]))
        parts = [np.minimum(one, most) for one, most in zip([*of_towers, *of_near], best[number], strict=True)]
        many, highest = len(towers), best[number].tolist()
        weights = added.weights_of(length)
        found[number] = weights.total(parts[:many], parts[many:], highest[:many], highest[many:])
    return found


def nearby(added: Added, context: Context, filters: Filters) -> list[Scored]:
    """The scores of each table, then of each ranked list, of the candidates that each query may have."""
    near = [_open(table.scores(context.histories), filters, max(len(table), 1)) for table in added.tables]
    for number, ranked in enumerate(added.lists):
        near.append(ranked.scores(context.segments[:, number], partial(filters.closed, size=max(len(ranked), 1))))
    return near


def _open(scored: Scored, filters: Filters, size: int) -> Scored:
    """The entries that each query may have."""
    kept = ~filters.closed(scored, size)
    if kept.all():
        return scored
    before = np.concatenate([[0], np.cumsum(kept)])
    return Scored(before[scored.offsets], scored.rows[kept], scored.scores[kept])


class _Compared(NamedTuple):
    """One query's candidates with their scores.

    Attributes:
        rows: of the candidates.
        totals: by all sources, ``[candidates]``.
        best: of each source, which the totals are shares of.
        bound: the most that any other candidate can have; None where there is no other.
    """

    rows: NDArray[np.int64]
    totals: NDArray[np.float64]
    best: NDArray[np.float64]
    bound: float | None


def _scored(
    towers: Sequence[Searched],
    found: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    near: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    number: int,
    depth: int,
    weights: Weights,
    best: NDArray[np.float64] | None,
) -> _Compared:
    """One query's candidates with their scores.

    Args:
        found: rows and scores by each towers.
        near: by each other source, rows rising.
        best: of each source, where it is known.
    """
    rows = found[0][0]
    if not len(rows):  # the index has nothing that is open: neither have the others
        return _Compared(rows, np.zeros(0), np.zeros(len(found) + len(near)), None)
    for others, _ in (*found[1:], *near):
        rows = np.concatenate([rows, others[~np.isin(others, rows)]])
    ids, scores = found[0]
    of_towers = [
        scores if len(ids) == len(rows) else np.concatenate([scores, towers[0].scores(number, rows[len(ids) :])])
    ]
    for one, (ids, scores) in zip(towers[1:], found[1:], strict=True):
        order = np.argsort(ids, kind="stable")
        there, mine = looked_up(ids[order], scores[order], rows)
        if not there.all():
            mine[~there] = one.scores(number, rows[~there])
        of_towers.append(mine)
    of_near = [looked_up(ids, scores, rows)[1] for ids, scores in near]
    if best is None:
        best = np.array([float(one.max()) for one in (*of_towers, *of_near)])
    highest = best[: len(towers)].tolist()
    totals = weights.total(of_towers, of_near, highest, best[len(towers) :].tolist())
    if any(len(ids) < depth for ids, _ in found):  # one has no more: all that is open is here
        return _Compared(rows, totals, best, None)
    last = [float(scores[-1]) - most for (_, scores), most in zip(found, highest, strict=True)]
    parts = zip(weights.of_towers, last, weights.temperatures, strict=True)
    bound = sum(weight * float(np.exp(below / temperature)) for weight, below, temperature in parts)
    return _Compared(rows, totals, best, bound)


def first_of(rows: NDArray[np.int64], totals: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """The places of the k highest totals, highest first; of equal ones the lower row first.

    Example:
        >>> first_of(np.array([7, 5, 6]), np.array([1.0, 1.0, 2.0]), 2)
        array([2, 1])
    """
    if len(rows) > k:
        among = np.flatnonzero(totals >= np.partition(totals, len(rows) - k)[len(rows) - k])
        return among[np.lexsort((rows[among], -totals[among]))[:k]]
    return np.lexsort((rows, -totals))


def looked_up(
    ids: NDArray[np.int64], scores: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which of ``rows`` are among ``ids``, which rise, and their scores, 0 for the others."""
    found = np.zeros(len(rows), np.float32)
    if not len(ids):
        return np.zeros(len(rows), np.bool_), found
    place = np.minimum(np.searchsorted(ids, rows), len(ids) - 1)
    there = ids[place] == rows
    found[there] = scores[place[there]]
    return there, found


def _concatenated(parts: list[Any], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype, copy=False)
