"""Two sources in one list: the towers' candidates and the neighbours' candidates, scored by both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import ConfigError
from shortlist.index import Hits, Index, Lists, score_heads, search_heads
from shortlist.sources.neighbours import Neighbours, Scored

__all__ = ["Blend", "Filters", "NeighbourSource", "search_blend", "without"]


@dataclass(frozen=True)
class Blend:
    """How the scores of two sources are added.

    With s the towers' scores and n the neighbours' of the candidates that a query may have:

        score(c) = (1 − share) · exp((s(c) − max s) / temperature) + share · n(c) / max n

    Both parts are between 0 and 1, whatever the sources' scale, and 1 is each source's best. A query without neighbours
    has the first part alone. Where both parts are 0 (a share of 1, or so far below the best that the first part
    rounds to 0), s(c) − max s is used instead: below all others, such candidates are in the towers' order.

    Args:
        share: the neighbours' share of the score, from 0 to 1.
        temperature: above 0, in the unit of the towers' scores.

    Example:
        >>> Blend(0.5, temperature=1.0).total(np.array([2.0, 2.0 - np.log(2)]), np.array([0.0, 3.0]), 2.0, 3.0)
        array([0.5 , 0.75])
    """

    share: float
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name, value, high in (("share", self.share, 1.0), ("temperature", self.temperature, np.inf)):
            low = 0.0 if name == "share" else np.finfo(np.float32).tiny
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise ConfigError(
                    f"a mixture got {name}={value!r}; a number from 0 to 1 was expected."
                    if name == "share"
                    else f"a mixture got temperature={value!r}; a number above 0 was expected."
                )

    def total(
        self, towers: NDArray[Any], neighbours: NDArray[Any], best_tower: float, best_neighbour: float
    ) -> NDArray[np.float64]:
        """The sum of both parts, for candidates with these scores.

        Args:
            towers: the towers' scores.
            neighbours: the neighbours' scores.
            best_tower: the towers' best score of the query.
            best_neighbour: the neighbours' best score of the query.
        """
        below = np.asarray(towers, np.float64) - best_tower
        total = (1 - self.share) * np.exp(below / self.temperature)
        if best_neighbour > 0:
            total = total + self.share * (np.asarray(neighbours, np.float64) / best_neighbour)
        return np.where(total > 0, total, below)


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


@dataclass(frozen=True, eq=False)
class NeighbourSource:
    """Neighbours that complement a recommender's towers.

    Attributes:
        neighbours: the table.
        histories: of each stored query, the candidate rows that it chose, oldest first.
        blend: how both sources' scores are added.
    """

    neighbours: Neighbours
    histories: Lists
    blend: Blend

    def of_queries(self, rows: NDArray[np.int64], more: Sequence[NDArray[np.int64]] = ()) -> Lists:
        """The histories of stored queries ``rows`` (−1: one that is not stored), each with what it chose since."""
        nothing = np.zeros(0, np.int64)
        lists = [self.histories.row(row) if row >= 0 else nothing for row in rows.tolist()]
        if len(more):
            lists = [np.concatenate(both) if len(both[1]) else both[0] for both in zip(lists, more, strict=True)]
        return Lists.of(lists)

    def renumbered(self, row: NDArray[np.int64]) -> NeighbourSource:
        """The same for renumbered candidates: ``row[old]`` is the new row, −1 for a deleted candidate."""
        table = self.neighbours
        owner = row[np.repeat(np.arange(len(table)), np.diff(table.offsets))]
        columns = row[table.columns]
        kept = (owner >= 0) & (columns >= 0)
        order = np.argsort(owner[kept], kind="stable")
        size = int(row.max(initial=-1)) + 1
        offsets = np.zeros(size + 1, np.int64)
        np.cumsum(np.bincount(owner[kept], minlength=size), out=offsets[1:])
        weights = table.weights[kept][order]
        neighbours = replace(table, offsets=offsets, columns=columns[kept][order].astype(np.int32), weights=weights)
        items = row[self.histories.values]
        left = _kept(self.histories, items >= 0)
        return NeighbourSource(neighbours, Lists(left.offsets, items[items >= 0]), self.blend)


def without(lists: Lists, ids: NDArray[np.int64]) -> Lists:
    """The lists without some ids.

    Example:
        >>> without(Lists.of([[1, 2], [2]]), np.array([2])).row(0)
        array([1])
    """
    return _kept(lists, ~np.isin(lists.values, ids))


def _kept(lists: Lists, kept: NDArray[np.bool_]) -> Lists:
    """The lists' values where ``kept``."""
    before = np.concatenate([[0], np.cumsum(kept)])
    return Lists(before[lists.offsets], lists.values[kept])


def search_blend(
    index: Index,
    vectors_of: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    neighbours: Neighbours,
    blend: Blend,
    queries: NDArray[np.float32],
    histories: Lists,
    k: int,
    filters: Filters,
) -> Hits:
    """The k best candidates of each query by both sources, best first; equal scores by row.

    Every candidate with a neighbours' score is compared, and the k best of the towers. Any other candidate has no neighbours'
    score and a tower score no higher than those k: so the list is exact if the index is.

    Args:
        vectors_of: the vectors ``[rows, dim]`` of candidate rows.
        queries: ``[queries, heads · dim]``.
        histories: candidate rows that each query chose, oldest first.
    """
    found = search_heads(index, queries, k, exclude=filters.exclude, allow=filters.allow, deny=filters.deny)
    near = neighbours.scores(histories)
    closed = filters.closed(near, max(len(neighbours), 1))
    offsets, ids, scores = np.zeros(len(queries) + 1, np.int64), [], []
    for number in range(len(queries)):
        rows, by_towers = found.row(number)
        best, total = rows, by_towers.astype(np.float64)
        if len(rows):  # otherwise the index has no open candidate, and neither have the neighbours
            known, by_neighbours = near.row(number)
            open_to_it = ~closed[near.offsets[number] : near.offsets[number + 1]]
            known, by_neighbours = known[open_to_it], by_neighbours[open_to_it]
            more = known[~np.isin(known, rows)]
            best = np.concatenate([rows, more])
            if len(more):  # rounded as the index rounds: equal vectors have equal scores
                own = score_heads(queries[number][None], vectors_of(more))[0]
                by_towers = np.concatenate([by_towers, own.astype(np.float32)])
            total = _blended(best, by_towers, known, by_neighbours, blend)
        order = np.lexsort((best, -total))[:k]
        ids.append(best[order])
        scores.append(total[order].astype(np.float32))
        offsets[number + 1] = offsets[number] + len(order)
    return Hits(offsets, _concatenated(ids, np.int64), _concatenated(scores, np.float32))


def _blended(
    rows: NDArray[np.int64],
    by_towers: NDArray[np.float32],
    known: NDArray[np.int64],
    by_neighbours: NDArray[np.float32],
    blend: Blend,
) -> NDArray[np.float64]:
    """The score of each of one query's candidates.

    Args:
        known: those that neighbours score, rising, all of them among ``rows``.
    """
    near = np.zeros(len(rows), np.float32)
    if len(known):
        place = np.minimum(np.searchsorted(known, rows), len(known) - 1)
        hit = known[place] == rows
        near[hit] = by_neighbours[place[hit]]
    return blend.total(by_towers, near, float(by_towers.max()), float(near.max()))


def _concatenated(parts: list[Any], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype, copy=False)
