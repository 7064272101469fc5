"""Neighbours: for each candidate a few others with weights, asked by the candidates that a query chose before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import ConfigError
from shortlist.index import Lists

__all__ = ["Neighbours", "Scored", "latest"]

ENTRIES = 1 << 24  # weights that are added up at a time


class Scored(NamedTuple):
    """Scores above 0 per query: query i owns ``offsets[i]:offsets[i + 1]`` of ``rows``, which rise, and of ``scores``."""

    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float64]

    def row(self, i: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Candidate rows and scores of query ``i``."""
        low, high = self.offsets[i], self.offsets[i + 1]
        return self.rows[low:high], self.scores[low:high]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """For each candidate at most a few weighted others; a candidate's score is a sum over a query's history h:

        score(c) = Σ_j age^j · weight(h[-1 - j], c), j = 0 for the latest

    Each item of a history counts once, at its latest place, and only the ``length`` latest items count.

    offsets: int64 ``[candidates + 1]``; candidate i owns ``offsets[i]:offsets[i + 1]`` of ``columns`` (int32 candidate rows)
    and ``weights`` (float32, above 0). age: weight of an item against the next later one, in (0, 1]. length: at least 1.
    kind: what made it: "transitions", "cooccurrence" or "ease".

    >>> table = Neighbours(np.array([0, 2, 3, 3]), np.array([1, 2, 0], np.int32), np.array([3, 1, 2], np.float32), age=0.5)
    >>> table.scores(Lists.of([[1, 0]])).row(0)  # 0.5 · (1 → 0) + 1 · (0 → 1, 0 → 2)
    (array([0, 1, 2]), array([1., 3., 1.]))
    """

    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]
    age: float = 1.0
    length: int = 500
    kind: str = "cooccurrence"

    def __post_init__(self) -> None:
        if not 0 < self.age <= 1 or self.length < 1:
            raise ConfigError(
                f"Neighbours got age={self.age}, length={self.length}; an age in (0, 1] and a length of at least 1 "
                "were expected."
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"Neighbours({self.kind}: {len(self):,} candidates · {len(self.columns):,} weights · age {self.age:g})"

    def scores(self, histories: Lists) -> Scored:
        """All candidates with a score above 0 for each history ``[queries]`` of candidate rows, oldest first.

        Rows beyond the table, such as those of candidates that came after training, have no neighbours. Cost: the
        neighbours of a history's ``length`` latest items.
        """
        size = self._size
        offsets, rows, scores = [np.zeros(1, np.int64)], [], []
        for first, last in self._pieces(histories):
            keys, values = self._entries(histories, first, last)
            found, place = np.unique(keys, return_inverse=True)
            rows.append(found % size)
            scores.append(np.bincount(place, values, len(found)))
            offsets.append(np.bincount(found // size, minlength=last - first))
        counts = np.concatenate(offsets)
        if not rows:
            return Scored(np.cumsum(counts), np.zeros(0, np.int64), np.zeros(0))
        return Scored(np.cumsum(counts), np.concatenate(rows), np.concatenate(scores))

    def dense(self, histories: Lists, candidates: int) -> NDArray[np.float32]:
        """Scores ``[queries, candidates]``; 0 where a history leads nowhere. ``candidates``: at least as many as the table."""
        out = np.zeros((len(histories), candidates), np.float32)
        for first, last in self._pieces(histories):
            keys, values = self._entries(histories, first, last)
            total = np.bincount(keys, values, (last - first) * self._size)
            out[first:last, : self._size] = total.reshape(last - first, self._size)[:, :candidates]
        return out

    @property
    def _size(self) -> int:
        return max(len(self), int(self.columns.max(initial=-1)) + 1, 1)

    def _pieces(self, histories: Lists) -> list[tuple[int, int]]:
        """Runs of queries whose entries fit into ``ENTRIES``, and at least one query each."""
        if not len(histories):
            return []
        per_item = len(self.columns) / max(len(self), 1)
        costs = np.minimum(np.diff(histories.offsets), self.length) * max(per_item, 1.0) + self._size / 8
        edges = np.floor(np.cumsum(costs) / ENTRIES).astype(np.int64)
        starts = np.flatnonzero(np.diff(edges, prepend=-1))
        return list(zip(starts.tolist(), [*starts[1:].tolist(), len(histories)], strict=True))

    def _entries(self, histories: Lists, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """What is to be added up for the queries ``first`` to ``last``: query · size + candidate, and the weights."""
        part = slice(histories.offsets[first], histories.offsets[last])
        lengths = np.diff(histories.offsets[first : last + 1])
        query = np.repeat(np.arange(last - first), lengths)
        query, items, back = latest(query, histories.values[part])
        kept = (back < self.length) & (items >= 0) & (items < len(self))
        query, items, back = query[kept], items[kept], back[kept]
        counts = self.offsets[items + 1] - self.offsets[items]
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.offsets[items] - ends + counts, counts)
        factor = self.age ** back.astype(np.float64)
        keys = np.repeat(query * self._size, counts) + self.columns[places]
        return keys, np.repeat(factor, counts) * self.weights[places]


def latest(
    query: NDArray[np.int64], items: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Each item of each query once, at its latest place: queries, items, and how many distinct items came after it.

    query: rising; items: in the order of time within a query.

    >>> latest(np.array([0, 0, 0, 1]), np.array([5, 7, 5, 7]))
    (array([0, 0, 1]), array([7, 5, 7]), array([1, 0, 0]))
    """
    if not len(query):
        return query, items, query
    order = np.lexsort((np.arange(len(items)), items, query))
    last = np.ones(len(order), np.bool_)
    last[:-1] = (query[order][1:] != query[order][:-1]) | (items[order][1:] != items[order][:-1])
    kept = np.sort(order[last])
    query, items = query[kept], items[kept]
    end = np.searchsorted(query, query, side="right")
    return query, items, end - 1 - np.arange(len(query))
