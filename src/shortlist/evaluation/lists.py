"""Metrics of the lists themselves, whatever was chosen: how much of the catalogue, how popular, how varied, whether they are complete.

``Lists.rows`` is int64 ``[queries, k]``: candidate rows, best first, −1 beyond the end of the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.evaluation.ranked import RankedPairs
from shortlist.evaluation.testset import TestSet

__all__ = ["LIST_METRICS", "Lists", "described", "ranked_in_lists"]

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lists:
    """Top lists of one scorer, with facts about the catalogue.

    Attributes:
        rows: int64 ``[queries, k]``, −1 beyond the end.
        eligible: int64 ``[queries]``, how many candidates could have been listed.
        counts: ``[candidates]``, training interactions.
        vectors: the model's, float32 ``[candidates, dim]``.
    """

    rows: Rows
    eligible: NDArray[np.int64]
    counts: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def first(self, k: int) -> Rows:
        """The lists cut at k."""
        return self.rows[:, :k]


def coverage(lists: Lists, k: int) -> float:
    """Catalogue coverage: the share of candidates that are in some list (Ge, Delgado-Battenfeld, Jannach 2010, §3.1).

    Lists (0, 1) and (0, 2) of 4 candidates: 3/4.
    """
    rows = lists.first(k)
    return len(np.unique(rows[rows >= 0])) / len(lists.counts)


def gini(lists: Lists, k: int) -> float:
    """Gini coefficient of how often each candidate is listed: 0 if all are listed as often, near 1 if a few fill all lists
    (Shani, Gunawardana 2011, §8.3.3).

    Times listed (0, 0, 0, 4): 0.75.
    """
    times = np.sort(_times(lists, k)).astype(np.float64)
    if not times.sum():
        return float("nan")
    n = len(times)
    return float((2 * np.arange(1, n + 1) - n - 1) @ times / (n * times.sum()))


def popularity(lists: Lists, k: int) -> float:
    """Average recommendation popularity: the mean over lists of the mean training count of the listed candidates
    (Abdollahpouri, Burke, Mobasher 2019, "Managing popularity bias").

    A list with counts 10 and 2: 6.
    """
    return _mean_of_lists(lists.counts.astype(np.float64), lists.first(k))


def novelty(lists: Lists, k: int) -> float:
    """Mean self-information −log2 p of the listed candidates, p the share of training interactions; a candidate without any
    counts as half of one (Zhou et al. 2010; Castells, Hurley, Vargas 2015, §26.3.2).

    A list with shares 1/2 and 1/8: (1 + 3) / 2 = 2 bits.
    """
    share = np.maximum(lists.counts, 0.5) / max(lists.counts.sum(), 1)
    return _mean_of_lists(-np.log2(share), lists.first(k))


def diversity(lists: Lists, k: int) -> float:
    """Intra-list diversity: 1 − the mean cosine of two different listed candidates, by the model's vectors for every scorer's lists
    (Ziegler et al. 2005; Smyth, McClave 2001). Lists of fewer than two do not count.

    Vectors (1, 0), (0, 1): 1.
    """
    norms = np.linalg.norm(lists.vectors, axis=1, keepdims=True)
    directions = lists.vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    total, counted = 0.0, 0
    for rows in np.array_split(lists.first(k), max(1, lists.rows.size * directions.shape[1] >> 22)):
        listed = rows >= 0
        n = listed.sum(1)
        chosen = directions[np.maximum(rows, 0)] * listed[..., None]  # [part, k, dim]
        cosines = (chosen.sum(1, dtype=np.float64) ** 2).sum(1) - (chosen.astype(np.float64) ** 2).sum((1, 2))
        enough = n > 1
        total += float((1 - cosines[enough] / (n * (n - 1))[enough]).sum())
        counted += int(enough.sum())
    return total / counted if counted else float("nan")


def short(lists: Lists, k: int) -> float:
    """The share of lists with fewer than min(k, eligible) candidates; 0 is right."""
    return float((_lengths(lists.first(k)) < np.minimum(k, lists.eligible)).mean())


def empty(lists: Lists, k: int) -> float:
    """The share of queries with no list at all."""
    return float((_lengths(lists.first(k)) == 0).mean())


def repeated(lists: Lists, k: int) -> float:
    """The share of lists that hold a candidate twice; 0 is right."""
    rows = np.sort(lists.first(k), axis=1)
    return float(((rows[:, 1:] == rows[:, :-1]) & (rows[:, 1:] >= 0)).any(1).mean())


LIST_METRICS: dict[str, Callable[[Lists, int], float]] = {
    "coverage": coverage,
    "gini": gini,
    "popularity": popularity,
    "novelty": novelty,
    "diversity": diversity,
    "short": short,
    "empty": empty,
    "repeated": repeated,
}
"""Metrics of lists; their figures are called ``name_k``."""


def described(lists: Lists, metrics: Sequence[str], ks: Sequence[int]) -> Mapping[str, float]:
    """The list metrics among ``metrics``, at each of ``ks``, by the names of their figures."""
    return {f"{name}_{k}": LIST_METRICS[name](lists, k) for name in metrics if name in LIST_METRICS for k in ks}


def ranked_in_lists(test: TestSet, rows: Rows) -> RankedPairs:
    """A test's pairs ranked by their place in given lists ``[queries, k]``; pairs that are not listed are not found.

    A list that holds a candidate twice has it at its first place. Places in a list are known, so nothing ties.
    """
    width = rows.shape[1]
    rank = np.full(len(test), np.inf)
    step = max(1, (1 << 22) // max(width, 1))
    for start in range(0, len(rank), step):
        part = slice(start, start + step)
        hit = (rows[test.query[part]] == test.candidate[part, None]) & (test.candidate[part, None] >= 0)
        rank[part] = np.where(hit.any(1), hit.argmax(1) + 1.0, np.inf)
    return RankedPairs(test, rank)


def _times(lists: Lists, k: int) -> NDArray[np.int64]:
    rows = lists.first(k)
    return np.bincount(rows[rows >= 0], minlength=len(lists.counts))


def _lengths(rows: Rows) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = (rows >= 0).sum(1)
    return lengths


def _mean_of_lists(values: NDArray[np.float64], rows: Rows) -> float:
    listed = rows >= 0
    lengths = listed.sum(1)
    sums = np.where(listed, values[np.maximum(rows, 0)], 0.0).sum(1)
    return float((sums[lengths > 0] / lengths[lengths > 0]).mean()) if lengths.any() else float("nan")
