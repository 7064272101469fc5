"""Several sources in one list: the candidates of each, scored by all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.index import Hits, Index, Lists, score_heads, search_heads
from shortlist.sources.added import Added, Context
from shortlist.sources.neighbours import Scored

__all__ = ["Filters", "Searched", "search"]

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
        shut = np.zeros(size, np.bool_) if self.allow is None else np.ones(size, np.bool_)
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

    So the list is exact if all indexes are.

    Args:
        towers: in the order of ``added.weights``.
        added: the other sources, and the weights of all.
        context: input of the other sources for each query.
        k: length of the lists.
        filters: candidates that may be found.
    """
    near = [_open(table.scores(context.histories), filters, max(len(table), 1)) for table in added.tables]
    for number, ranked in enumerate(added.lists):
        near.append(ranked.scores(context.segments[:, number], partial(filters.closed, size=max(len(ranked), 1))))
    count = len(towers[0].queries)
    best: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = [
        (np.zeros(0, np.int64), np.zeros(0, np.float32))
    ] * count
    waiting, depth = np.arange(count), k if len(towers) == 1 else DEPTH * k
    while len(waiting):
        some = filters if len(waiting) == count else filters.of(waiting)
        found = [
            search_heads(one.index, one.queries[waiting], depth, exclude=some.exclude, allow=some.allow, deny=some.deny)
            for one in towers
        ]
        left = []
        for place, number in enumerate(waiting.tolist()):
            rows, totals, bound = _scored(
                towers, [one.row(place) for one in found], [one.row(number) for one in near], number, depth, added
            )
            order = np.lexsort((rows, -totals))[:k]
            if len(towers) > 1 and bound is not None and not (len(order) == k and totals[order[-1]] > bound):
                left.append(number)
            else:
                best[number] = rows[order], totals[order].astype(np.float32)
        waiting, depth = np.array(left, np.int64), depth * DEPTH
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows, _ in best])]).astype(np.int64)
    return Hits(
        offsets,
        _concatenated([rows for rows, _ in best], np.int64),
        _concatenated([scores for _, scores in best], np.float32),
    )


def _open(scored: Scored, filters: Filters, size: int) -> Scored:
    """The entries that each query may have."""
    kept = ~filters.closed(scored, size)
    if kept.all():
        return scored
    before = np.concatenate([[0], np.cumsum(kept)])
    return Scored(before[scored.offsets], scored.rows[kept], scored.scores[kept])


def _scored(
    towers: Sequence[Searched],
    found: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    near: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    number: int,
    depth: int,
    added: Added,
) -> tuple[NDArray[np.int64], NDArray[np.float64], float | None]:
    """One query's candidates with their scores, and the most that any other can have; None where there is no other.

    Args:
        found: rows and scores by each towers.
        near: by each other source, rows rising.
    """
    rows = found[0][0]
    if not len(rows):  # the index has nothing that is open: neither have the others
        return rows, np.zeros(0), None
    for others, _ in (*found[1:], *near):
        rows = np.concatenate([rows, others[~np.isin(others, rows)]])
    ids, scores = found[0]
    of_towers = [
        scores if len(ids) == len(rows) else np.concatenate([scores, towers[0].scores(number, rows[len(ids) :])])
    ]
    for one, (ids, scores) in zip(towers[1:], found[1:], strict=True):
        order = np.argsort(ids, kind="stable")
        there, mine = _looked_up(ids[order], scores[order], rows)
        if not there.all():
            mine[~there] = one.scores(number, rows[~there])
        of_towers.append(mine)
    of_near = [_looked_up(ids, scores, rows)[1] for ids, scores in near]
    highest = [float(one.max()) for one in of_towers]
    totals = added.weights.total(of_towers, of_near, highest, [float(one.max()) for one in of_near])
    if any(len(ids) < depth for ids, _ in found):  # one has no more: all that is open is here
        return rows, totals, None
    last = [float(scores[-1]) - best for (_, scores), best in zip(found, highest, strict=True)]
    weights = added.weights
    parts = zip(weights.of_towers, last, weights.temperatures, strict=True)
    return rows, totals, sum(weight * float(np.exp(below / temperature)) for weight, below, temperature in parts)


def _looked_up(
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
