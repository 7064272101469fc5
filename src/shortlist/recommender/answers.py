"""The lists themselves, in candidate rows: the results of the index, filled by the fallbacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.index import Hits, exact_copy, score_heads, search_heads
from shortlist.index.values import offsets_of
from shortlist.recommender.served import Served
from shortlist.recommender.state import State
from shortlist.sources import Context, Filters, Scale, Searched, scores_of_all_stages, search_all_stages, without

__all__ = [
    "EXPLORED",
    "MODEL",
    "PINNED",
    "POPULARITY",
    "SOURCES",
    "Answers",
    "answered",
    "exact_served",
    "overlap",
    "scored",
    "searched",
    "towers_and_context",
]

MODEL, POPULARITY, PINNED, EXPLORED = range(4)
SOURCES = ("model", "popularity", "pinned", "explored")


@dataclass(frozen=True, eq=False)
class Answers:
    """Per query i the slice ``offsets[i]:offsets[i + 1]`` of candidate ``rows``, ``scores``, and ``sources``.

    Attributes:
        sources: numbers of ``SOURCES``; None where every item is the model's.
        scale: what a mixture's scores are shares of; None for other models.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[Any]
    sources: NDArray[np.uint8] | None = None
    scale: Scale | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1


def answered(
    served: Served,
    vectors: NDArray[np.float32],
    k: int,
    filters: Filters,
    by_model: Sequence[bool],
    context: Context | None,
    fallback: Sequence[str],
    within: NDArray[np.int64] | None = None,
    scale: Scale | None = None,
) -> Answers:
    """The k best of each query by the model; the rest of the list by popularity if ``fallback`` has it.

    Args:
        vectors: of the queries, ``[queries, heads · dim]``.
        by_model: whether the model answers each query; the others get popularity alone.
        context: input of a mixture's further sources.
        within: candidate rows that are searched alone; a mixture's scores are still shares of the best by ``filters``.
        scale: of an earlier answer with the same filters.
    """
    if not len(vectors):
        return Answers(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    state, fills = served.state, "popularity" in fallback
    hits, scale = _searched(served, vectors, k, filters, context, within, scale)
    if all(by_model) and (not fills or _full(hits, k, state)):
        return Answers(hits.offsets, hits.ids, hits.scores, scale=scale)
    filters = filters.within(within)
    rows: list[NDArray[np.int64]] = []
    scores: list[NDArray[Any]] = []
    sources: list[NDArray[np.uint8]] = []
    lengths = []
    for number, is_the_models in enumerate(by_model):
        found, best = hits.row(number) if is_the_models else (hits.ids[:0], hits.scores[:0])
        filling = _popular(number, k, filters, state, found) if fills or not is_the_models else found[:0]
        rows += [found, filling]
        scores += [best.astype(np.float64), state.counts[filling].astype(np.float64)]
        sources += [np.full(len(found), MODEL, np.uint8), np.full(len(filling), POPULARITY, np.uint8)]
        lengths.append(len(found) + len(filling))
    offsets = offsets_of(lengths)
    return Answers(offsets, np.concatenate(rows), np.concatenate(scores), np.concatenate(sources), scale)


def searched(served: Served, vectors: NDArray[np.float32], k: int, filters: Filters, context: Context | None) -> Hits:
    """The candidates that the model finds: by its towers through the index, and by all sources where it is a mixture.

    Deleted candidates are left out of histories: lists are the same as after ``save`` and ``load``.
    """
    return _searched(served, vectors, k, filters, context)[0]


def _searched(
    served: Served,
    vectors: NDArray[np.float32],
    k: int,
    filters: Filters,
    context: Context | None,
    within: NDArray[np.int64] | None = None,
    scale: Scale | None = None,
) -> tuple[Hits, Scale | None]:
    """As ``searched``, with the scale of a mixture's scores."""
    added = served.state.near
    if added is None or context is None:
        some = filters.within(within)
        return search_heads(served.index, vectors, k, exclude=some.exclude, allow=some.allow, deny=some.deny), None
    towers, context, filters = towers_and_context(served, vectors, context, filters)
    return search_all_stages(towers, added, context, k, filters, within, scale)


def scored(
    served: Served,
    vectors: NDArray[np.float32],
    filters: Filters,
    context: Context | None,
    rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    """The model's scores of candidate rows, ``[queries, rows]``; arguments as for ``answered``."""
    added = served.state.near
    if added is None or context is None or not len(vectors):
        return score_heads(vectors, served.vectors_of(rows)).astype(np.float32)
    towers, context, filters = towers_and_context(served, vectors, context, filters)
    return scores_of_all_stages(towers, added, context, filters, rows)


def towers_and_context(
    served: Served, vectors: NDArray[np.float32], context: Context, filters: Filters
) -> tuple[list[Searched], Context, Filters]:
    """A mixture's towers, and the context and the filters without deleted candidates."""
    dead = served.state.dead
    if len(dead):
        deny = dead if filters.deny is None else np.concatenate([filters.deny, dead])
        filters = replace(filters, deny=deny)
        context = replace(context, histories=without(context.histories, dead))
    towers = [
        Searched(one.index, one.index.vectors_of, queries)
        for one, queries in zip((served, *served.others), (vectors, *context.vectors), strict=True)
    ]
    return towers, context, filters


def overlap(served: Served, queries: NDArray[np.float32], k: int, context: Context | None) -> float:
    """Share of the exact top k of ``queries`` that the recommender finds, over all of them together; of a mixture by all sources; 1 where
    there is nothing to find.
    """
    exact = _keys(searched(exact_served(served), queries, k, Filters(), context))
    found = _keys(searched(served, queries, k, Filters(), context))
    return len(np.intersect1d(exact, found, assume_unique=True)) / len(exact) if len(exact) else 1.0


def exact_served(served: Served) -> Served:
    """The same with exact search in place of every index."""
    return replace(served, index=exact_copy(served.index), others=tuple(map(exact_served, served.others)))


def _keys(hits: Hits) -> NDArray[np.int64]:
    """One number for each pair of query and candidate."""
    return np.repeat(np.arange(len(hits)), np.diff(hits.offsets)) * (1 << 40) + hits.ids


def _full(hits: Hits, k: int, state: State) -> bool:
    """Whether no list is shorter than k, or than the catalogue; none is longer."""
    return len(hits.ids) >= len(hits) * min(k, state.size)


def _popular(number: int, k: int, filters: Filters, state: State, found: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most chosen candidates that query ``number`` may have and that were not found yet, enough to make k."""
    wanted = k - len(found)
    if wanted <= 0:
        return found[:0]
    barred = [found]
    if filters.exclude is not None:
        barred.append(filters.exclude.row(number))
    if filters.deny is not None:
        barred.append(filters.deny)
    out = np.concatenate(barred)
    if filters.allow is None:
        pool = state.popular[: wanted + len(out)]  # enough to fill the list even if all excluded ones are among them
    else:
        allowed = np.zeros(state.size, bool)
        allowed[filters.allow] = True
        pool = state.popular[allowed[state.popular]]
    return pool[~np.isin(pool, out)][:wanted]
