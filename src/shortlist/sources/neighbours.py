"""Neighbours: for each candidate a few others with weights, which score candidates by a query's history."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import ConfigError
from shortlist.index import Lists
from shortlist.language import counted
from shortlist.sources.heaviest import heaviest

__all__ = ["Neighbours", "Scored", "latest"]

ENTRIES = 1 << 24  # weights that are added up at a time
DIGIT = 16  # bits
FEW = 256  # keys that are sorted by comparisons
BRIEF = 4  # times as many weights: fewer are all added up by candidate
LINE = 16  # weights in a line of the cache
SAMPLE = 16  # one in so many weights is looked at for where the highest begin
DENSE = 1 << 21  # scores of whole rows made at a time


class Scored(NamedTuple):
    """Scores above 0 per query: query i owns ``offsets[i]:offsets[i + 1]`` of ``rows``, which rise, and of ``scores``.

    Scores are added up in float64 and rounded once, as those of ``Neighbours.dense`` are.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]

    def row(self, i: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Candidate rows and scores of query ``i``."""
        low, high = self.offsets[i], self.offsets[i + 1]
        return self.rows[low:high], self.scores[low:high]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """For each candidate at most a few weighted others; a candidate's score is a sum over a query's history h:

        score(c) = Σ_j age^j · weight(h[-1 - j], c), j = 0 for the latest

    Each item of a history counts once, at its latest place, and only the ``length`` latest items count.

    Args:
        offsets: int64 ``[candidates + 1]``; candidate i owns ``offsets[i]:offsets[i + 1]`` of ``columns`` and
            ``weights``.
        columns: int32, candidate rows.
        weights: float32, above 0.
        age: weight of an item against the next later one, in (0, 1].
        length: at least 1.
        kind: "transitions", "cooccurrence" or "ease".
        ids: of the candidates, in the order of rows, as a mixture compares them with those of its towers; None where they are not known.

    Raises:
        ConfigError: for an age or a length out of range, or arrays that do not describe such a table.

    Example:
        >>> table = Neighbours(np.array([0, 2, 3, 3]), np.array([1, 2, 0], np.int32), np.array([3, 1, 2], np.float32), age=0.5)
        >>> table.scores(Lists.of([[1, 0]])).row(0)  # 0.5 · (1 → 0) + 1 · (0 → 1, 0 → 2)
        (array([0, 1, 2]), array([1., 3., 1.], dtype=float32))
    """

    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]
    age: float = 1.0
    length: int = 500
    kind: str = "cooccurrence"
    ids: pl.Series | None = None

    def __post_init__(self) -> None:
        if not 0 < self.age <= 1 or self.length < 1:
            raise ConfigError(
                f"Neighbours got age={self.age}, length={self.length}; an age in (0, 1] and a length of at least 1 "
                "were expected."
            )
        offsets, columns, weights = self.offsets, self.columns, self.weights
        rises = len(offsets) > 0 and offsets[0] == 0 and bool((offsets[1:] >= offsets[:-1]).all())
        if not rises or not offsets[-1] == len(columns) == len(weights):
            raise ConfigError(
                f"a table of neighbours got {counted(len(columns), 'column')} and {counted(len(weights), 'weight')}; expected as many of each, "
                "and offsets that rise from 0 to that number."
            )
        inside = not len(columns) or 0 <= columns.min() <= columns.max() < len(self)
        if not inside or not ((weights > 0) & (weights < np.inf)).all():
            raise ConfigError(
                f"a table of neighbours of {counted(len(self), 'candidate')} needs columns from 0 to {len(self) - 1:,} and weights "
                "above 0, but has others."
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"Neighbours({self.kind}: {counted(len(self), 'candidate')} · {counted(len(self.columns), 'weight')} · age {self.age:g})"

    def scores(self, histories: Lists) -> Scored:
        """All candidates with a score above 0 for each history ``[queries]`` of candidate rows, oldest first.

        Rows beyond the table, for example of candidates added after training, have no neighbours. Cost: the
        neighbours of a history's ``length`` latest items.
        """
        found = [self._added_up(histories, first, last) for first, last in self._pieces(histories, each=1)]
        if len(found) == 1:
            return found[0]
        counts = [np.zeros(1, np.int64), *(np.diff(one.offsets) for one in found)]
        rows = np.concatenate([np.zeros(0, np.int64), *(one.rows for one in found)])
        scores = np.concatenate([np.zeros(0, np.float32), *(one.scores for one in found)])
        return Scored(np.cumsum(np.concatenate(counts)), rows, scores)

    def heaviest(
        self, history: NDArray[np.int64], most: int, also: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], float]:
        """The candidates with the highest scores for one history, at less than the cost of all.

        1. Weights are added up in buckets by the last bits of the candidates' rows. Weights are above 0, so a bucket's sum is
           at least the score of each of its candidates.
        2. The candidates of the highest buckets, and of those of ``also``, get their scores.

        By a compiled library (``heaviest.py``) or by numpy, to the same bits.

        Args:
            history: candidate rows that a query chose, oldest first.
            most: about how many weights are added up by candidate.
            also: candidates whose scores are wanted in any case.

        Returns:
            Candidate rows, rising, their scores as ``scores`` has them, and a score that no other candidate is above; 0 where
            these are all.
        """
        if (found := heaviest(self, history, BRIEF * most, SAMPLE, most // SAMPLE, also)) is not None:
            return found
        items = np.array([*dict.fromkeys(reversed(history.tolist()))], np.int64)[: self.length][::-1]
        back = np.arange(len(items))[::-1]
        inside = (items >= 0) & (items < len(self))
        keys, values = self._entries(None, items[inside], back[inside])
        least = 0.0
        if len(keys) > BRIEF * most:
            last = (1 << len(keys).bit_length()) - 1
            bucket = keys & last
            sums = np.bincount(bucket, values, last + 1)
            sums[also & last] = np.inf
            of_bucket = sums[bucket]
            some = of_bucket[::SAMPLE]
            place = len(some) - most // SAMPLE - 1
            least = float(np.partition(some, place)[place])
            among = np.flatnonzero(of_bucket >= least)
            keys, values = keys[among], values[among]
        return *_summed(keys, values, len(self)), float(np.float32(least))

    def _added_up(self, histories: Lists, first: int, last: int) -> Scored:
        """Those of the queries ``first`` to ``last``."""
        size = max(len(self), 1)
        part = slice(histories.offsets[first], histories.offsets[last])
        query = np.repeat(np.arange(last - first), np.diff(histories.offsets[first : last + 1]))
        rows, scores = _summed(*self._entries(*self._asked(query, histories.values[part])), (last - first) * size)
        offsets = np.searchsorted(rows, np.arange(last - first + 1) * size)
        if last - first > 1:
            rows -= np.repeat(np.arange(last - first) * size, np.diff(offsets))
        return Scored(offsets, rows, scores)

    def parts(
        self, history: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The summands of some candidates' scores, for each item of a history.

        Args:
            history: candidate rows that a query chose, oldest first.
            rows: the candidates.

        Returns:
            The items that count, the latest last, int64 ``[items]``, and their summands ``[items, rows]``.
        """
        _, items, back = self._asked(np.zeros(len(history), np.int64), history)
        found = np.zeros((len(items), len(rows)))
        order = np.argsort(rows, kind="stable")
        for number, (item, age) in enumerate(zip(items.tolist(), back.tolist(), strict=True)):
            of_item = slice(self.offsets[item], self.offsets[item + 1])
            columns = self.columns[of_item]
            place = np.minimum(np.searchsorted(rows, columns, sorter=order), max(len(rows) - 1, 0))
            there = rows[order[place]] == columns if len(rows) else np.zeros(len(columns), np.bool_)
            found[number, order[place[there]]] = self.age**age * self.weights[of_item][there].astype(np.float64)
        return items, found

    def dense(self, histories: Lists, candidates: int) -> NDArray[np.float32]:
        """Scores ``[queries, candidates]``, 0 where a history leads nowhere.

        A product of sparse matrices, several times as fast as ``scores`` where whole rows are wanted. Needs scipy.

        Args:
            histories: candidate rows that each query chose, oldest first.
            candidates: how many columns; those beyond the table score 0.
        """
        from scipy.sparse import csr_matrix

        out = np.zeros((len(histories), candidates), np.float32)
        size = len(self)
        query = np.repeat(np.arange(len(histories)), np.diff(histories.offsets))
        query, items, back = self._asked(query, histories.values)
        asked = csr_matrix((self.age ** back.astype(np.float64), (query, items)), shape=(len(histories), size))
        table = csr_matrix((self.weights.astype(np.float64), self.columns, self.offsets), shape=(size, size))
        step = max(1, DENSE // max(size, 1))
        for first in range(0, len(histories), step):
            part = asked[first : first + step] @ table  # [step, size]
            out[first : first + step, :size] = part.toarray()[:, :candidates]
        return out

    def _pieces(self, histories: Lists, each: int) -> list[tuple[int, int]]:
        """Runs of queries whose entries, and ``each`` more numbers a query, fit into ``ENTRIES``; at least one query each."""
        if not len(histories):
            return []
        if len(histories.values) * (self._most + 1) + each * len(histories) < ENTRIES:
            return [(0, len(histories))]
        there = (histories.values >= 0) & (histories.values < len(self))
        items = np.where(there, histories.values, 0)
        of_item = np.where(there, self._counts(items), 0) if len(self) else np.zeros(len(items))
        before = np.concatenate([[0], np.cumsum(of_item + 1.0)])  # one for the item itself
        costs = np.diff(before[histories.offsets]) + each
        edges = np.floor(np.cumsum(costs) / ENTRIES).astype(np.int64)
        starts = np.flatnonzero(np.diff(edges, prepend=-1))
        return list(zip(starts.tolist(), [*starts[1:].tolist(), len(histories)], strict=True))

    @cached_property
    def _most(self) -> int:
        """The neighbours of the candidate that has the most."""
        return int(np.diff(self.offsets).max(initial=0))

    def _counts(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many neighbours each of these candidates has."""
        return self.offsets[items + 1] - self.offsets[items]

    def _asked(
        self, query: NDArray[np.int64], items: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The distinct items of histories that count and have a row in the table; see ``latest``."""
        query, items, back = latest(query, items)
        kept = (back < self.length) & (items >= 0) & (items < len(self))
        if kept.all():
            return query, items, back
        return query[kept], items[kept], back[kept]

    def _entries(
        self, query: NDArray[np.int64] | None, items: NDArray[np.int64], back: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The entries to add up for what ``_asked`` returns: query · size + candidate, and the weights; None for one query."""
        if not len(items):
            return items, np.zeros(0)
        low = self.offsets[items]
        counts = self.offsets[items + 1] - low
        ends = counts.cumsum()
        places = np.arange(ends[-1]) + (low - ends + counts).repeat(counts)
        some = places[::LINE]  # reads of memory that overlap: what follows finds it in the cache
        self.columns.take(some), self.weights.take(some)
        keys = self.columns.take(places).astype(np.int64)
        if query is not None:
            keys += (query * len(self)).repeat(counts)
        return keys, (self.age ** back.astype(np.float64)).repeat(counts) * self.weights.take(places)


def _summed(
    keys: NDArray[np.int64], values: NDArray[np.float64], end: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The distinct keys, which are below ``end``, rising, and the sum of the values of each."""
    order = _rising(keys, end)
    ordered = keys[order]
    new = np.ones(len(keys), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    distinct = ordered[new]
    return distinct, np.bincount(np.cumsum(new) - 1, values[order], len(distinct)).astype(np.float32)


def _rising(keys: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    """The order of keys from 0 to ``end`` − 1, rising; equal ones stay as they are.

    A radix sort by 16 bits at a time, which numpy has for so many; it takes a fourth of the time of a sort by comparisons.

    Example:
        >>> _rising(np.array([70_000, 5, 70_000]), 1 << 20)
        array([1, 0, 2])
    """
    if len(keys) < FEW:
        return np.argsort(keys, kind="stable")
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    for shift in range(DIGIT, max(end - 1, 0).bit_length(), DIGIT):
        order = order[np.argsort((keys >> shift).astype(np.uint16)[order], kind="stable")]
    return order


def latest(
    query: NDArray[np.int64], items: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Each item of each query once, at its latest place: queries, items, and how many distinct items came after it.

    Args:
        query: rising.
        items: in the order of time within a query.

    Example:
        >>> latest(np.array([0, 0, 0, 1]), np.array([5, 7, 5, 7]))
        (array([0, 0, 1]), array([7, 5, 7]), array([1, 0, 0]))
    """
    if not len(query):
        return query, items, query
    order = _by_item(query, items)
    same = (query[order[1:]] == query[order[:-1]]) & (items[order[1:]] == items[order[:-1]])
    latest_place = np.ones(len(order), np.bool_)
    latest_place[order[:-1][same]] = False
    query, items = query[latest_place], items[latest_place]
    end = np.searchsorted(query, query, side="right")
    return query, items, end - 1 - np.arange(len(query))


def _by_item(query: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order by query, which rises, then by item, then by place."""
    if len(query) < FEW:
        return np.lexsort((items, query))
    least, span = int(items.min()), int(items.max()) - int(items.min()) + 1
    end = (int(query[-1]) - int(query[0]) + 1) * span
    if end > np.iinfo(np.int64).max:
        return np.lexsort((items, query))
    return _rising((query - query[0]) * span + (items - least), end)
