"""A scorer's metrics on a test set: by exact ranks over the whole catalogue, and by the results of an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.evaluation.figures import Figures
from shortlist.evaluation.lists import LIST_METRICS, Lists, described, ranked_in_lists
from shortlist.evaluation.metrics import WHOLE, measured
from shortlist.evaluation.ranked import RankedPairs
from shortlist.evaluation.ranks import Hidden, Ties
from shortlist.evaluation.scorers import Cold, Mixed, Scorer, Vectors, among
from shortlist.evaluation.testset import TestSet
from shortlist.index import BruteForce, Index, search_heads
from shortlist.index import Lists as IdLists
from shortlist.index.values import offsets_of
from shortlist.intervals import PairSums
from shortlist.sources import Filters, Searched, search

__all__ = ["Measured", "Measures"]


@dataclass(frozen=True, eq=False)
class Measured:
    """One scorer on one test set: the ranks, each metric's fraction per query, and the figures."""

    ranked: RankedPairs
    sums: Mapping[str, PairSums]
    figures: Figures


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures any scorer: ``metrics`` by name, at each of ``ks``, which rise.

    Attributes:
        vectors: the model's candidates, which the diversity of any scorer's lists is measured by; None without such a
            metric.
    """

    metrics: tuple[str, ...]
    ks: tuple[int, ...]
    ties: Ties = "worst"
    vectors: NDArray[np.float32] | None = None

    def of(self, scorer: Scorer, test: TestSet, ranked: RankedPairs | None = None) -> Measured:
        """All metrics of a scorer, by exact ranks.

        Args:
            ranked: these ranks, where they are counted already.
        """
        ranked = ranked or RankedPairs.of(test, scorer, self.ties)
        rows = scorer.top(self.ks[-1], test.hidden).cpu().numpy() if self._describe_lists else None
        return self._measured(ranked, rows, self.metrics)

    def of_index(self, index: Index, asked: Vectors | Mixed, own: Scorer, test: TestSet) -> tuple[Measured, Figures]:
        """All metrics of an index's results, and its recall of the exact lists at each k, over the candidates that it has.

        Args:
            asked: the part of the model that queries the index.
            own: the same with popularity for unknown queries.
        """
        rows = _found(index, asked, self.ks[-1], test.hidden)
        inside = among(test.hidden, index.size)
        exact = asked.first(index.size).top(self.ks[-1], inside).cpu().numpy()
        if isinstance(own, Cold):
            cold = own.cold.cpu().numpy()
            rows[cold] = own.popular.first(index.size).top(self.ks[-1], inside).cpu().numpy()[cold]
            exact[cold] = -1  # such queries do not reach the index, so it misses nothing
        recall = {f"recall_{k}": _overlap(exact[:, :k], rows[:, :k]) for k in self.ks}
        metrics = [name for name in self.metrics if name not in WHOLE]
        return self._measured(ranked_in_lists(test, rows), rows, metrics), recall

    @property
    def _describe_lists(self) -> bool:
        return any(name in LIST_METRICS for name in self.metrics)

    def _measured(self, ranked: RankedPairs, rows: NDArray[np.int64] | None, metrics: Sequence[str]) -> Measured:
        sums = measured(ranked, metrics, self.ks)
        figures = {name: one.value for name, one in sums.items()}
        if rows is not None and self._describe_lists:
            assert self.vectors is not None
            test = ranked.test
            lists = Lists(rows, test.competing, test.candidate_counts, self.vectors)
            figures |= described(lists, metrics, self.ks)
        return Measured(ranked, sums, figures)


def _found(index: Index, asked: Vectors | Mixed, k: int, hidden: Hidden | None) -> NDArray[np.int64]:
    """The candidates that the index finds for each query, int64 ``[queries, k]``, best first; −1 where there is no more.

    Further towers of a mixture are searched exactly.
    """
    vectors = asked.towers[0] if isinstance(asked, Mixed) else asked
    queries = _queries_of(vectors)
    exclude = None if hidden is None else _as_lists(hidden, len(queries))
    if isinstance(asked, Mixed):
        arrays = [one.candidate.cpu().numpy() for one in asked.towers]
        indexes = [index, *(BruteForce().build(np.ascontiguousarray(one[: index.size])) for one in arrays[1:])]
        towers = [
            Searched(own, _rows_of(candidates), _queries_of(one))
            for own, candidates, one in zip(indexes, arrays, asked.towers, strict=True)
        ]
        hits = search(towers, asked.added, asked.context, k, Filters(exclude=exclude))
    else:
        hits = search_heads(index, queries, k, exclude=exclude)
    rows = np.full((len(queries), k), -1, np.int64)
    lengths = np.diff(hits.offsets)
    query = np.repeat(np.arange(len(queries)), lengths)
    rows[query, np.arange(len(hits.ids)) - np.repeat(hits.offsets[:-1], lengths)] = hits.ids
    return rows


def _queries_of(vectors: Vectors) -> NDArray[np.float32]:
    """The queries' vectors as an index takes them, ``[queries, heads · dim]``."""
    return np.ascontiguousarray(vectors.query.flatten(1).cpu().numpy())


def _rows_of(vectors: NDArray[np.float32]) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
    """A function that gives some rows of ``vectors``."""
    return lambda rows: vectors[rows]


def _as_lists(hidden: Hidden, queries: int) -> IdLists:
    """Hidden candidates as one list per query."""
    offsets = offsets_of(np.bincount(hidden.query.cpu().numpy(), minlength=queries))
    return IdLists(offsets, hidden.candidate.cpu().numpy())


def _overlap(exact: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """The share of exact lists' candidates that are found."""
    apart = np.arange(len(exact), dtype=np.int64)[:, None] << 40
    wanted = (exact + apart)[exact >= 0]
    return len(np.intersect1d(wanted, (found + apart)[found >= 0])) / max(len(wanted), 1)
