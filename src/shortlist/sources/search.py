"""Several sources in one list: the candidates of each, scored by all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.index import Hits, Index, Lists, search_heads
from shortlist.index.joined import best_heads, joined
from shortlist.index.values import taken
from shortlist.sources.added import Added, Context
from shortlist.sources.compared import FEW as AT_ONCE
from shortlist.sources.compared import Found, compared, compared_at_once, looked_up
from shortlist.sources.neighbours import Scored
from shortlist.sources.quotas import in_places
from shortlist.sources.second_stage import FirstList

__all__ = [
    "Filters",
    "Scale",
    "Searched",
    "best_alone",
    "first_of",
    "nearby",
    "scores_of",
    "search",
    "search_with_scale",
]

SCALED = 10  # candidates that each towers find, to know their best
DEPTH = 4  # times k: how far several towers are searched at first, and how much farther each time it was too little
BRIEF, WIDE = 64, 6  # weights of a table that are added up by candidate at first, and how many times k at least
FEW = 200  # candidates that are sorted whole
NOTHING = np.zeros(0, np.int64), np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class Filters:
    """The candidates that may be found: per query, or for all queries, as ``Index.search`` takes it."""

    exclude: Lists | None = None
    allow: NDArray[np.int64] | None = None
    deny: NDArray[np.int64] | None = None

    def closed(self, scored: Scored, size: int, rising: bool = True) -> NDArray[np.bool_]:
        """Which of the entries of ``scored`` their query may not have.

        Args:
            size: rows of candidates that can be among them.
            rising: whether the rows of each query rise.
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
            query = np.repeat(np.arange(len(scored.offsets) - 1) * size, np.diff(scored.offsets))
            owner = np.repeat(np.arange(len(self.exclude)) * size, np.diff(self.exclude.offsets))
            inside = (self.exclude.values >= 0) & (self.exclude.values < size)
            keys, taken = query + scored.rows, (owner + self.exclude.values)[inside]
            if not rising:
                return found | np.isin(keys, taken)
            place = np.searchsorted(keys, taken)
            place, taken = place[place < len(keys)], taken[place < len(keys)]
            found[place[keys[place] == taken]] = True
        return found

    def of(self, queries: NDArray[np.int64]) -> Filters:
        """The same for some of the queries."""
        if self.exclude is None:
            return self
        return Filters(taken(self.exclude, queries), self.allow, self.deny)

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
        lists: each query's list by the first stage, where there is a second stage.
    """

    best: NDArray[np.float64]
    last: NDArray[np.float64]
    lists: tuple[FirstList, ...] = ()

    def of(self, queries: slice) -> Scale:
        """That of some of the queries."""
        return Scale(self.best[queries], self.last[queries], self.lists[queries])


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
        return best_heads(self.queries[query], self.vectors_of(rows))


def search(towers: Sequence[Searched], added: Added, context: Context, k: int, filters: Filters) -> Hits:
    """The k best candidates of each query by all sources together, best first; equal scores by row.

    1. Every candidate with a score of a table or a ranked list is compared, and the k best of the towers.
    2. With one pair of towers that is enough: any other candidate has their score alone, and no more of it than those k. For the
       same reason the vector of a candidate that only a table or a list found is read only where it can matter, see ``compared``,
       and of one query and one table only the highest scores are added up, as long as they are enough.
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
    first = None
    if len(towers) == len(towers[0].queries) == 1 and within is None and scale is None and _is_one_table(added):
        first = _First.of(towers[0], added, context, k, filters)
        if first.answer is not None:
            return first.answer
    near = _Near(k, added, context, filters, within, first)
    filters = filters.within(within)
    count, offsets = len(towers[0].queries), context.histories.offsets
    best: list[Found] = [NOTHING] * count
    made = Scale(np.zeros((count, len(added.weights.values))), np.zeros((count, len(towers))))
    waiting, depth = np.arange(count), k if len(towers) == 1 else DEPTH * k
    while len(waiting):
        whole = len(waiting) == count
        some = filters if whole else filters.of(waiting)
        limits: dict[str, Any] = {"exclude": some.exclude, "allow": some.allow, "deny": some.deny}
        asked = [one.queries if whole else one.queries[waiting] for one in towers]
        if first is not None:
            found = [first.hits]
        else:
            found = [search_heads(one.index, q, depth, **limits) for one, q in zip(towers, asked, strict=True)]
        left = []
        for place, number in enumerate(waiting.tolist()):
            of_towers = [hits.row(place) for hits in found]
            weights = added.weights_of(int(offsets[number + 1] - offsets[number]))
            known = None if scale is None else scale.best[number].tolist()
            score = [partial(each.scores, number) for each in towers]
            for of_near, rest in near.of(number, of_towers):
                one = compared(score, of_towers, of_near, depth, weights, known, None if added.quotas else k, rest)
                order = first_of(one.rows, one.totals, k)
                enough = one.bound is None or (len(order) == k and one.totals[order[-1]] > one.bound)
                if enough:
                    break
            if len(towers) > 1 and not enough:
                left.append(number)
                continue
            if added.quotas:
                ranked = [ids for ids, _ in of_towers] + [ids[np.lexsort((ids, -scores))] for ids, scores in of_near]
                order = in_places(one.rows, one.totals, ranked, added.quotas, k)
            best[number] = one.rows[order], one.totals[order].astype(np.float32)
            made.best[number] = one.best
            made.last[number] = [scores[:k][-1] if len(scores) else np.inf for _, scores in of_towers]
        waiting, depth = np.array(left, np.int64), depth * DEPTH
    return _hits(best), made if scale is None else scale


def _is_one_table(added: Added) -> bool:
    """Whether a table of neighbours is all that the towers have next to them, without quotas."""
    return len(added.tables) == 1 and not added.lists and not added.quotas


def _brief(
    added: Added, context: Context, k: int, filters: Filters, found: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.float32], float]:
    """Rows and scores of the one table's heaviest candidates that a single query may have, and the most that any other has.

    Args:
        found: rows that the towers found, which are among these where they have a score.
    """
    table = added.tables[0]
    also = found[0] if len(found) == 1 else np.concatenate(found)
    rows, scores, rest = table.heaviest(context.histories.row(0), max(BRIEF, WIDE * k), also)
    if filters.exclude is not None or filters.allow is not None or filters.deny is not None:
        open_ = _open(Scored(np.array([0, len(rows)]), rows, scores), filters, max(len(table), 1))
        rows, scores = open_.rows, open_.scores
    return rows, scores, rest


class _First(NamedTuple):
    """A single query of one pair of towers and one table of neighbours, as far as the shortest way leads.

    Attributes:
        hits: the k best of the towers.
        brief: as ``_brief`` returns it.
        answer: as ``search_with_scale`` returns it; None where more is to be looked at.
    """

    hits: Hits
    brief: tuple[NDArray[np.int64], NDArray[np.float32], float]
    answer: tuple[Hits, Scale] | None

    @staticmethod
    def of(tower: Searched, added: Added, context: Context, k: int, filters: Filters) -> _First:
        """The result of ``search_with_scale``, with all that is compared read at once."""
        hits = search_heads(
            tower.index, tower.queries, k, exclude=filters.exclude, allow=filters.allow, deny=filters.deny
        )
        ids, scores = hits.ids, hits.scores
        brief = near, of_near, rest = _brief(added, context, k, filters, [ids])
        if len(ids) < k or len(near) > AT_ONCE or tower.vectors_of != tower.index.vectors_of:
            return _First(hits, brief, None)
        most = float(of_near.max(initial=0.0))
        both = None if most < rest else joined(tower.index, tower.queries[0], ids, scores, near, of_near)
        if both is None:
            return _First(hits, brief, None)
        weights, best = added.weights_of(len(context.histories.values)), (float(scores[0]), most)
        one = compared_at_once(*both, float(scores[-1]), best, rest, weights)
        order = first_of(one.rows, one.totals, k)
        if one.bound is not None and not one.totals[order[-1]] > one.bound:
            return _First(hits, brief, None)
        listed = Hits(np.array([0, len(order)]), one.rows[order], one.totals[order].astype(np.float32))
        return _First(hits, brief, (listed, Scale(one.best[None], scores[-1:][None].astype(np.float64))))


@dataclass(frozen=True, eq=False)
class _Near:
    """The candidates that tables and ranked lists found for the queries of a search.

    Attributes:
        k: length of the lists.
        within: as of ``search_with_scale``.
        first: a single query's, as far as it is known.
    """

    k: int
    added: Added
    context: Context
    filters: Filters
    within: NDArray[np.int64] | None
    first: _First | None = None

    def of(self, number: int, found: Sequence[Found]) -> Iterator[tuple[list[Found], list[float] | None]]:
        """The rows and scores by each source of one query, and the most that any other row has: the highest scores of one
        table, if there is nothing else to look at, and then all of them.
        """
        if self.first is not None:
            rows, scores, rest = self.first.brief
        elif _is_one_table(self.added) and len(self.context.histories) == 1 and self.within is None:
            rows, scores, rest = _brief(self.added, self.context, self.k, self.filters, [ids for ids, _ in found])
        else:
            rest = np.inf
        if rest < np.inf:
            if scores.max(initial=0.0) >= rest:
                yield [(rows, scores)], [rest]
            if not rest:
                return
        yield [scored.row(number) for scored in self.all], None

    @cached_property
    def all(self) -> list[Scored]:
        """All scores of each source, of the candidates that each query may have."""
        near = nearby(self.added, self.context, self.filters)
        if self.within is None:
            return near
        inside = Filters(allow=self.within)
        return [_open(one, inside, self.added.size) for one in near]


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


def best_alone(
    towers: Sequence[Searched],
    added: Added,
    context: Context,
    source: int,
    k: int,
    filters: Filters,
    within: NDArray[np.int64] | None = None,
) -> Hits:
    """The k best candidates of each query by one source alone, with its own scores; equal scores by row.

    Args:
        source: in the order of ``added.weights``.
        within: as of ``search_with_scale``.
    """
    if source < len(towers):
        some, one = filters.within(within), towers[source]
        return search_heads(one.index, one.queries, k, exclude=some.exclude, allow=some.allow, deny=some.deny)
    scored = _near(added, context, filters, source - len(towers))
    scored = scored if within is None else _open(scored, Filters(allow=within), added.size)
    best = []
    for number in range(len(scored.offsets) - 1):
        rows, scores = scored.row(number)
        order = first_of(rows, scores.astype(np.float64), k)
        best.append((rows[order].astype(np.int64), scores[order]))
    return _hits(best)


def nearby(added: Added, context: Context, filters: Filters) -> list[Scored]:
    """The scores of each table, then of each ranked list, of the candidates that each query may have."""
    return [_near(added, context, filters, number) for number in range(len(added.tables) + len(added.lists))]


def _near(added: Added, context: Context, filters: Filters, number: int) -> Scored:
    """Those of one of the tables or lists."""
    if number < len(added.tables):
        table = added.tables[number]
        return _open(table.scores(context.histories), filters, max(len(table), 1))
    number -= len(added.tables)
    ranked = added.lists[number]
    closed = partial(filters.closed, size=max(len(ranked), 1), rising=False)
    return ranked.scores(context.segments[:, number], closed)


def _open(scored: Scored, filters: Filters, size: int) -> Scored:
    """The entries that each query may have."""
    if filters.exclude is None and filters.allow is None and filters.deny is None:
        return scored
    kept = ~filters.closed(scored, size)
    if kept.all():
        return scored
    before = np.concatenate([[0], np.cumsum(kept)])
    return Scored(before[scored.offsets], scored.rows[kept], scored.scores[kept])


def first_of(rows: NDArray[np.int64], totals: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """The places of the k highest totals, highest first; of equal ones the lower row first.

    Example:
        >>> first_of(np.array([7, 5, 6]), np.array([1.0, 1.0, 2.0]), 2)
        array([2, 1])
    """
    if len(rows) > max(k, FEW):
        among = np.flatnonzero(totals >= np.partition(totals, len(rows) - k)[len(rows) - k])
        return among[np.lexsort((rows[among], -totals[among]))[:k]]
    return np.lexsort((rows, -totals))[:k]


def _hits(found: Sequence[Found]) -> Hits:
    """The rows and scores found for each query."""
    return Hits(
        np.array([0, *itertools.accumulate(len(rows) for rows, _ in found)]),
        _concatenated([rows for rows, _ in found], np.int64),
        _concatenated([scores for _, scores in found], np.float32),
    )


def _concatenated(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype, copy=False)
