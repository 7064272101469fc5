"""Transitions: candidates that are chosen soon after others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.data import Dataset, Shards
from shortlist.errors import DataError
from shortlist.sources.neighbours import Neighbours
from shortlist.sources.tables import (
    Chosen,
    check_fit,
    check_settings,
    choices_by_part,
    heaviest,
    in_blocks,
    joined,
)

__all__ = ["Transitions"]

PAIRS = 1 << 24  # pairs that are counted at a time


@dataclass(frozen=True)
class Transitions:
    """Settings of a neighbour source with an order: candidates that were chosen soon after others.

    1. In each query's interactions in the order of time, every pair (a, b) at most ``window`` places apart counts
       decay^(distance − 1) from a to b, and ``backward`` times as much from b to a.
    2. weight(a, b) = count / (f(a)^source_power · f(b)^target_power), f the number of interactions; each candidate keeps
       its ``neighbours`` heaviest.
    3. The j-th latest item of a history has the weight age^j; only the ``length`` latest count.

    Source: Markov chains of the first order as in Rendle, Freudenthaler, Schmidt-Thieme 2010, with longer steps as in
    Ludewig, Jannach 2018, "Evaluation of session-based recommendation algorithms" (sequential rules).

    Args:
        window: places between two interactions, at most.
        decay: what a pair counts against one that is a place nearer.
        backward: what a pair counts against the order of time, compared with one in it.
        source_power: how much less a popular source counts.
        target_power: how much less a popular target counts.
        age: weight of an item of a history against the next later one.
        neighbours: neighbours that each candidate keeps.
        length: the latest items of a history that count.

    Raises:
        ConfigError: for numbers out of range.

    Example:
        model = sl.Mixture.of(towers, sl.Transitions().fit(train), train, share=0.4)
    """

    window: int = 10
    decay: float = 0.85
    backward: float = 0.3
    source_power: float = 0.5
    target_power: float = 0.3
    age: float = 0.7
    neighbours: int = 100
    length: int = 50

    def __post_init__(self) -> None:
        check_settings(self, decay=(0, 1), backward=(0, 1), age=(1e-6, 1), source_power=(0, 2), target_power=(0, 2))

    def fit(self, train: Dataset | Shards) -> Neighbours:
        """The table of ``train``, which must have a timestamp. Shards are ordered by query on disk and read in parts.

        Raises:
            DataError: for anything but a Dataset or Shards, for data without a timestamp, and where every weight is 0.
            MissingExtraError: without scipy.
        """
        check_fit(self, train)
        if train.timestamp is None:
            these = "this Dataset has" if isinstance(train, Dataset) else "these Shards have"
            raise DataError(
                f"Transitions need timestamps, and {these} none.",
                hint="Dataset(…, timestamp=…), or Cooccurrence()",
            )
        from scipy.sparse import csr_matrix, diags

        size = len(train.candidates)
        counts, often = csr_matrix((size, size), dtype=np.float64), np.zeros(size)
        for chosen in choices_by_part(train):
            counts = counts + self._counts(chosen, size)
            often += np.bincount(chosen.candidate, minlength=size)
        if self.backward:
            counts = counts + self.backward * counts.T
        often = np.maximum(often, 1)
        weighted = (diags(often**-self.source_power) @ counts @ diags(often**-self.target_power)).tocsr()
        parts = [heaviest(weighted[rows], self.neighbours) for rows in in_blocks(np.diff(weighted.indptr))]
        return joined(
            parts, age=self.age, length=self.length, kind="transitions", ids=train.candidates[train.candidate]
        )

    def _counts(self, chosen: Chosen, size: int) -> Any:
        """Step 1 without ``backward``, CSR ``[size, size]``."""
        from scipy.sparse import csr_matrix

        counts = csr_matrix((size, size), dtype=np.float64)
        pending: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        waiting = 0
        for distance in range(1, min(self.window, len(chosen.query) - 1) + 1):
            same = chosen.query[distance:] == chosen.query[:-distance]
            if not same.any():  # no query has so many interactions
                break
            before, after = chosen.candidate[:-distance][same], chosen.candidate[distance:][same]
            moved = before != after
            pending.append((before[moved], after[moved], np.full(int(moved.sum()), self.decay ** (distance - 1))))
            waiting += int(moved.sum())
            if waiting > PAIRS:
                counts, pending, waiting = counts + _summed(pending, size), [], 0
        return counts + _summed(pending, size) if pending else counts


def _summed(pairs: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]], size: int) -> Any:
    """Pairs with their values as CSR ``[size, size]``; those of equal pairs added."""
    from scipy.sparse import coo_matrix

    before, after, values = (np.concatenate(one) for one in zip(*pairs, strict=True))
    return coo_matrix((values, (before, after)), shape=(size, size)).tocsr()
