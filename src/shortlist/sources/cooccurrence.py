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
        from scipy.sparse import diags

        chosen = distinct_choices(train, self.length)
        matrix = chosen_matrix(chosen, train)  # [queries, candidates]
        by_query = np.maximum(np.diff(matrix.indptr), 1).astype(np.float64)
        by_candidate = np.maximum(np.bincount(chosen.candidate, minlength=matrix.shape[1]), 1).astype(np.float64)
        right = (diags(by_query**-self.query_power) @ matrix @ diags(by_candidate**-self.target_power)).tocsr()
        left = matrix.T.tocsr()  # [candidates, queries]
        products = np.bincount(chosen.candidate, by_query[chosen.query], matrix.shape[1]).astype(np.int64)
        parts = []
        for rows in in_blocks(products):
            block = _without((left[rows] @ right).tocsr(), rows.start)
            block = diags(by_candidate[rows] ** -self.source_power) @ block
            parts.append(heaviest(block, self.neighbours))
        return joined(
            parts, age=self.age, length=self.length, kind="cooccurrence", ids=train.candidates[train.candidate]
        )


def _without(block, first: int):  # type: ignore[no-untyped-def]
    """A block of rows, of which the first is candidate ``first``, without the diagonal."""
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    block.data[block.indices == rows + first] = 0
    return block
