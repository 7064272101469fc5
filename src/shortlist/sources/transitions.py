"""Transitions: what is chosen soon after what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shortlist.data import Dataset
from shortlist.errors import DataError
from shortlist.sources.neighbours import Neighbours
from shortlist.sources.tables import check_data, check_number, check_whole, choices_of, heaviest, joined, require_scipy

__all__ = ["Transitions"]

PAIRS = 1 << 24  # pairs that are counted at a time


@dataclass(frozen=True)
class Transitions:
    """Settings of a neighbour source with an order: what was chosen soon after what.

    1. In each query's interactions in the order of time, every pair (a, b) at most ``window`` places apart counts
       decay^(distance − 1) from a to b, and ``backward`` times as much from b to a.
    2. weight(a, b) = count / (f(a)^source_power · f(b)^target_power), f the number of interactions; each candidate keeps
       its ``neighbours`` heaviest.
    3. A history asks them with age^j for its j-th latest item, of which the ``length`` latest count.

    Source: Markov chains of the first order as in Rendle, Freudenthaler, Schmidt-Thieme 2010, with longer steps as in
    Ludewig, Jannach 2018, "Evaluation of session-based recommendation algorithms" (sequential rules).

    Raises ConfigError for settings that cannot be.

        model = sl.Mixture(towers, sl.Transitions().fit(train), share=0.4)
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
        for name, high in (("decay", 1), ("backward", 1), ("source_power", 2), ("target_power", 2)):
            check_number("Transitions", name, getattr(self, name), 0, high)
        check_number("Transitions", "age", self.age, 1e-6, 1)
        check_whole("Transitions", window=self.window, neighbours=self.neighbours, length=self.length)

    def fit(self, train: Dataset) -> Neighbours:
        """The table of ``train``, which must have a timestamp.

        Raises DataError for what is no Dataset or has no timestamp, MissingExtraError without scipy.
        """
        require_scipy("Transitions")
        check_data("Transitions", train)
        if train.timestamp is None:
            raise DataError(
                "Transitions count what was chosen after what, and this Dataset names no timestamp.",
                hint="Dataset(…, timestamp=…), or Cooccurrence()",
            )
        from scipy.sparse import coo_matrix, csr_matrix, diags

        chosen = choices_of(train)
        size = len(train.candidates)
        counts = csr_matrix((size, size), dtype=np.float32)
        pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        waiting = 0
        for distance in range(1, min(self.window, max(len(chosen.query) - 1, 0)) + 1):
            same = chosen.query[distance:] == chosen.query[:-distance]
            before, after = chosen.candidate[:-distance][same], chosen.candidate[distance:][same]
            moved = before != after
            value = np.full(int(moved.sum()), self.decay ** (distance - 1), np.float32)
            pending.append((before[moved], after[moved], value))
            waiting += len(value)
            if waiting > PAIRS or distance == self.window:
                a, b, values = (np.concatenate(one) for one in zip(*pending, strict=True))
                counts = counts + coo_matrix((values, (a, b)), shape=(size, size)).tocsr()
                pending, waiting = [], 0
        if pending:
            a, b, values = (np.concatenate(one) for one in zip(*pending, strict=True))
            counts = counts + coo_matrix((values, (a, b)), shape=(size, size)).tocsr()
        if self.backward:
            counts = counts + self.backward * counts.T
        often = np.maximum(np.bincount(chosen.candidate, minlength=size), 1).astype(np.float64)
        weighted = diags(often**-self.source_power) @ counts @ diags(often**-self.target_power)
        return joined([heaviest(weighted, self.neighbours)], age=self.age, length=self.length, kind="transitions")
