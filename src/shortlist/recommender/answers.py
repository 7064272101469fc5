"""The lists themselves, in candidate rows: what the index finds, filled along the fallback chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.index import BruteForce, Hits, Index, Lists, search_heads
from shortlist.recommender.state import State
from shortlist.sources import Filters, search_blend, without

__all__ = ["MODEL", "SOURCES", "Answers", "Asked", "answered", "overlap", "searched"]

MODEL, POPULARITY = 0, 1
SOURCES = ("model", "popularity")


@dataclass(frozen=True, eq=False)
class Answers:
    """Per query i the slice ``offsets[i]:offsets[i + 1]`` of candidate ``rows``, ``scores``, and ``sources``.

    sources: numbers of ``SOURCES``; None where every item is the model's.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[Any]
    sources: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Asked:
    """A request in rows. vectors: ``[queries, heads · dim]``; by_model: whether each query is the model's to answer.
    histories: what each query chose, candidate rows, oldest first, where the model has neighbours."""

    vectors: NDArray[np.float32]
    k: int
    by_model: Sequence[bool]
    exclude: Lists | None = None
    allow: NDArray[np.int64] | None = None
    deny: NDArray[np.int64] | None = None
    histories: Lists | None = None


def answered(asked: Asked, index: Index, state: State, fallback: Sequence[str]) -> Answers:
    """The k best of each query by the model; what that leaves open, by popularity where ``fallback`` has it.

    A query that is not the model's to answer gets popularity alone.
    """
    if not len(asked.vectors):
        return Answers(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    hits = searched(asked, index, state)
    if all(asked.by_model) and ("popularity" not in fallback or _full(hits, asked, state)):
        return Answers(hits.offsets, hits.ids, hits.scores)
    rows: list[NDArray[np.int64]] = []
    scores: list[NDArray[Any]] = []
    sources: list[NDArray[np.uint8]] = []
    lengths = []
    for number, by_model in enumerate(asked.by_model):
        found, best = hits.row(number) if by_model else (hits.ids[:0], hits.scores[:0])
        fills = not by_model or "popularity" in fallback
        filling = _popular(number, asked, state, found) if fills else found[:0]
        rows += [found, filling]
        scores += [best.astype(np.float64), state.counts[filling].astype(np.float64)]
        sources += [np.full(len(found), MODEL, np.uint8), np.full(len(filling), POPULARITY, np.uint8)]
        lengths.append(len(found) + len(filling))
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Answers(offsets, np.concatenate(rows), np.concatenate(scores), np.concatenate(sources))


def searched(asked: Asked, index: Index, state: State) -> Hits:
    """What the model finds: by its towers through the index, and by its neighbours where it has some.

    Deleted candidates are in no history: lists are those of the recommender that ``save`` writes, which lacks them.
    """
    if state.near is None or asked.histories is None:
        return search_heads(index, asked.vectors, asked.k, exclude=asked.exclude, allow=asked.allow, deny=asked.deny)
    dead = state.dead
    deny = dead if asked.deny is None else np.concatenate([asked.deny, dead]) if len(dead) else asked.deny
    filters = Filters(asked.exclude, asked.allow, deny if len(deny) else None)
    near, vectors = state.near, state.vectors
    histories = without(asked.histories, dead) if len(dead) else asked.histories
    return search_blend(
        index, lambda rows: vectors[rows], near.neighbours, near.blend, asked.vectors, histories, asked.k, filters
    )


def overlap(index: Index, candidates: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> float:
    """Share of the exact top k of ``queries`` among ``candidates`` that ``index`` finds, over all of them together."""
    exact = _keys(search_heads(BruteForce().build(candidates), queries, k))
    return len(np.intersect1d(exact, _keys(search_heads(index, queries, k)), assume_unique=True)) / len(exact)


def _keys(hits: Hits) -> NDArray[np.int64]:
    """One number for each pair of query and candidate."""
    return np.repeat(np.arange(len(hits)), np.diff(hits.offsets)) * (1 << 40) + hits.ids


def _full(hits: Hits, asked: Asked, state: State) -> bool:
    """Whether no list is shorter than k, or than the catalogue."""
    if len(hits) == 1:
        return len(hits.ids) >= min(asked.k, len(state.counts))
    return bool((np.diff(hits.offsets) >= min(asked.k, len(state.counts))).all())


def _popular(number: int, asked: Asked, state: State, found: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most chosen candidates that query ``number`` may have and that were not found yet, enough to make k."""
    wanted = asked.k - len(found)
    if wanted <= 0:
        return found[:0]
    barred = [found]
    if asked.exclude is not None:
        barred.append(asked.exclude.row(number))
    if asked.deny is not None:
        barred.append(asked.deny)
    out = np.concatenate(barred)
    if asked.allow is None:
        pool = state.popular[: wanted + len(out)]  # however many of them are barred, enough are left
    else:
        allowed = np.zeros(len(state.counts), bool)
        allowed[asked.allow] = True
        pool = state.popular[allowed[state.popular]]
    return pool[~np.isin(pool, out)][:wanted]
