"""The search of a mixture with a second stage, which gives the first candidates a new order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from shortlist.index import Hits
from shortlist.index.values import offsets_of
from shortlist.sources.added import Added, Context
from shortlist.sources.compared import looked_up
from shortlist.sources.neighbours import Scored
from shortlist.sources.search import Filters, Scale, Searched, first_of, nearby, scores_of, search_with_scale
from shortlist.sources.second_stage import FirstList, SecondStage

__all__ = ["scores_of_all_stages", "search_all_stages"]


def search_all_stages(
    towers: Sequence[Searched],
    added: Added,
    context: Context,
    k: int,
    filters: Filters,
    within: NDArray[np.int64] | None = None,
    scale: Scale | None = None,
) -> tuple[Hits, Scale]:
    """As ``search_with_scale``, in the order of the second stage where the mixture has one.

    The second stage orders the first ``depth`` of all candidates that ``filters`` leave, whatever ``within`` is. So a candidate has
    the same score in all searches with one scale.
    """
    stage = added.stage
    if stage is None:
        return search_with_scale(towers, added, context, k, filters, within, scale)
    scored = _Scored(towers, added, context, filters, stage)
    hits, made = None, scale
    if made is None or not made.lists:  # searched to one depth whatever k is: equal candidates are cut off alike
        hits, made = search_with_scale(towers, added, context, stage.depth, filters, None, scale)
        found = [scored.first(number, made, *_first(hits, number)) for number in range(len(hits.offsets) - 1)]
        made = replace(made, lists=tuple(found))
    if hits is None or within is not None or k > stage.depth:
        hits, _ = search_with_scale(towers, added, context, max(k, stage.depth), filters, within, made)
    best = []
    for number in range(len(hits.offsets) - 1):
        rows, totals = hits.row(number)
        scores = scored.of(number, made, rows, totals.astype(np.float64))
        order = first_of(rows, scores, k)
        best.append((rows[order], scores[order]))
    offsets = offsets_of([len(rows) for rows, _ in best])
    rows = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in best)])
    scores = np.concatenate([np.zeros(0), *(scores for _, scores in best)])
    return Hits(offsets, rows, scores.astype(np.float32)), made


def scores_of_all_stages(
    towers: Sequence[Searched], added: Added, context: Context, filters: Filters, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """As ``scores_of``, by the second stage where the mixture has one: the scores that lists of ``search_all_stages`` have."""
    if added.stage is None:
        return scores_of(towers, added, context, filters, rows)
    found, open_ = _scores_of(towers, added, context, filters, rows, added.stage)
    if open_.all():
        return found
    of_all, _ = _scores_of(towers, added, context, Filters(deny=filters.deny), rows, added.stage)
    return np.where(open_[:, None], found, of_all)


def _scores_of(
    towers: Sequence[Searched],
    added: Added,
    context: Context,
    filters: Filters,
    rows: NDArray[np.int64],
    stage: SecondStage,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The scores ``[queries, rows]`` by the second stage, and which queries have a candidate that they may have."""
    totals = scores_of(towers, added, context, filters, rows)
    scored = _Scored(towers, added, context, filters, stage, closed=True)
    made = search_all_stages(towers, added, context, 1, filters)[1]
    found = np.zeros(totals.shape, np.float32)
    for number, one in enumerate(totals):
        found[number] = scored.of(number, made, rows, one.astype(np.float64))
    return found, np.array([len(one.rows) > 0 for one in made.lists], np.bool_)


def _first(hits: Hits, number: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The list of one query that the second stage orders: rows and scores of its first ``depth`` hits."""
    rows, totals = hits.row(number)
    return rows, totals.astype(np.float64)


class _Scored:
    """The second stage's scores of the candidates of some queries.

    Args:
        towers: as for ``search``.
        added: the other sources.
        context: input of the other sources.
        filters: candidates that may be in the lists of the first stage.
        stage: the second stage.
        closed: whether candidates that a query may not have are scored too. Each source's score counts for them up to its best open one.
    """

    def __init__(
        self,
        towers: Sequence[Searched],
        added: Added,
        context: Context,
        filters: Filters,
        stage: SecondStage,
        closed: bool = False,
    ) -> None:
        self._towers, self._context, self._stage = towers, context, stage
        self._near: list[Scored] = nearby(added, context, filters)
        self._all = nearby(added, context, Filters()) if closed else self._near

    def first(self, number: int, scale: Scale, rows: NDArray[np.int64], totals: NDArray[np.float64]) -> FirstList:
        """The list of one query by the first stage."""
        return self._stage.first(rows, totals, partial(self._sources, number, scale), *self._query(number))

    def of(
        self, number: int, scale: Scale, rows: NDArray[np.int64], totals: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The second stage's scores of candidates of one query; ``totals`` are those of the first stage."""
        sources = partial(self._sources, number, scale)
        return self._stage.scores(scale.lists[number], rows, totals, sources, *self._query(number))

    def _query(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._context.histories.row(number), self._context.groups[number]

    def _sources(self, number: int, scale: Scale, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Each source's score as ``PairFeatures`` describes it, ``[rows, sources]``."""
        best, many = scale.best[number], len(self._towers)
        found = [
            np.minimum(one.scores(number, rows), most) - most for one, most in zip(self._towers, best, strict=False)
        ]
        for one, every, most in zip(self._near, self._all, best[many:], strict=True):
            there, mine = looked_up(*one.row(number), rows)
            if every is not one:
                mine = np.where(there, mine, looked_up(*every.row(number), rows)[1])
            found.append(np.minimum(mine, most) / (most if most > 0 else 1.0))
        return np.column_stack(found).astype(np.float32)  # as in an evaluation: what ties there ties here
