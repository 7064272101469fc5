"""Co-occurrence: how often two candidates are chosen by the same query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shortlist.data import Dataset, Shards
from shortlist.sources.neighbours import Neighbours
from shortlist.sources.tables import (
    check_fit,
    check_settings,
    chosen_matrix,
    distinct_choices,
    heaviest,
    in_blocks,
    joined,
)

__all__ = ["Cooccurrence"]


@dataclass(frozen=True)
class Cooccurrence:
    """Settings of a neighbour source without an order: candidates that the same queries chose.

    With R ``[queries, candidates]`` of 0 and 1, n_q the choices of query q and n_i those of candidate i:

        weight(i, j) = Σ_q R[q, i] R[q, j] / n_q^query_power / (n_i^source_power · n_j^target_power), i ≠ j

    of which each candidate keeps its ``neighbours`` heaviest. A query with many choices says little about each pair
    (``query_power``); a popular target is a weak hint (``target_power``).

    Source: Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms" (the cosine, with powers of
    1/2); Deshpande, Karypis 2004, "Item-based top-N recommendation algorithms" (rows of queries normalised).

    Args:
        query_power: how much less a pair of a query with many choices counts.
        source_power: how much less a popular source counts.
        target_power: how much less a popular target counts.
        neighbours: neighbours that each candidate keeps.
        length: of a query with more choices only this many of the latest count, so that one heavy query costs no more
            than others.
        age: weight of an item of a history against the next later one; below 1 where people choose what is like their latest
            choices.

    Raises:
        ConfigError: for settings out of range.

    Example:
        model = sl.Mixture.of(towers, sl.Cooccurrence().fit(train), train, share=0.3)
    """

    query_power: float = 0.5
    source_power: float = 0.7
    target_power: float = 0.3
    neighbours: int = 200
    length: int = 500
    age: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self, age=(1e-6, 1), query_power=(0, 2), source_power=(0, 2), target_power=(0, 2))

    def fit(self, train: Dataset | Shards) -> Neighbours:
        """The table of ``train``; products of sparse rows in blocks, never candidates × candidates at once. Of Shards each
        query's ``length`` latest choices are held in memory.

        Raises:
            DataError: for anything but a Dataset or Shards, and where every weight is 0.
            MissingExtraError: without scipy.
        """
        check_fit(self, train)
        chosen = distinct_choices(train, self.length)
        right = chosen_matrix(chosen, train).astype(np.float64)  # [queries, candidates]
        left = right.T.tocsr()  # [candidates, queries]
        by_query = np.maximum(np.diff(right.indptr), 1).astype(np.float64)
        by_candidate = np.maximum(np.diff(left.indptr), 1).astype(np.float64)
        right.data = (by_query**-self.query_power).repeat(np.diff(right.indptr))
        right.data *= (by_candidate**-self.target_power)[right.indices]
        left.data = (by_candidate**-self.source_power).repeat(np.diff(left.indptr))
        products = np.bincount(chosen.candidate, by_query[chosen.query], len(by_candidate)).astype(np.int64)
        parts = [heaviest(left[rows] @ right, self.neighbours, rows.start) for rows in in_blocks(products)]
        return joined(
            parts, age=self.age, length=self.length, kind="cooccurrence", ids=train.candidates[train.candidate]
        )
