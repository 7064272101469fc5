"""Transitions: candidates that are chosen soon after others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

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
        size = len(train.candidates)
        often = np.zeros(size)
        rows: list[slice] = []
        counts: list[Any] = []
        for chosen in choices_by_part(train):
            part = _Windows.of(chosen, self, size)
            rows = rows or in_blocks(part.products())
            found = [part.counts(block, size) for block in rows]
            counts = [one + other for one, other in zip(counts, found, strict=True)] if counts else found
            often += np.diff(part.offsets)
        often = np.maximum(often, 1)
        source, target = often**-self.source_power, often**-self.target_power
        parts = []
        for block, matrix in zip(rows, counts, strict=True):
            matrix.data *= source[block].repeat(np.diff(matrix.indptr))
            matrix.data *= target[matrix.indices]
            parts.append(heaviest(matrix, self.neighbours, block.start))
        return joined(
            parts, age=self.age, length=self.length, kind="transitions", ids=train.candidates[train.candidate]
        )


class _Windows(NamedTuple):
    """The places around each interaction that are at most a window away and of the same query.

    Interactions are by query and time. Those of candidate i are at places ``order[offsets[i] : offsets[i + 1]]``; the window of place
    p is ``begin[p]`` to ``end[p]``, p itself among it. A place d after p counts ``values[d]``, where negative d are before it.
    """

    candidate: NDArray[np.int32]
    offsets: NDArray[np.int64]
    order: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, chosen: Chosen, settings: Transitions, size: int) -> _Windows:
        """Those of interactions on ``size`` candidates."""
        starts = np.flatnonzero(np.diff(chosen.query, prepend=-1))
        lengths = np.diff(starts, append=len(chosen.query))
        places = np.arange(len(chosen.query))
        widest = min(settings.window, int(lengths.max(initial=0)))
        begin = np.maximum(starts.repeat(lengths), places - widest) if settings.backward else places
        falling = settings.decay ** np.arange(widest)
        return cls(
            chosen.candidate.astype(np.int32),
            np.concatenate([[0], np.bincount(chosen.candidate, minlength=size).cumsum()]),
            np.argsort(chosen.candidate, kind="stable"),
            begin,
            np.minimum((starts + lengths).repeat(lengths), places + widest + 1),
            np.concatenate([[0.0], falling, settings.backward * falling[::-1]]),
        )

    def products(self) -> NDArray[np.int64]:
        """The sizes of the windows of each candidate's interactions together."""
        before = np.concatenate([[0], (self.end - self.begin)[self.order].cumsum()])
        return np.diff(before[self.offsets])

    def counts(self, rows: slice, size: int) -> Any:
        """Step 1 for a block of candidates, CSR ``[rows, size]``; the numbers on the diagonal do not count."""
        from scipy.sparse import csr_matrix

        offsets = self.offsets[rows.start : rows.stop + 1]
        at = self.order[offsets[0] : offsets[-1]]
        sizes = self.end[at] - self.begin[at]
        ends = np.concatenate([[0], sizes.cumsum()])
        places = np.arange(ends[-1]) + (self.begin[at] - ends[:-1]).repeat(sizes)
        values = self.values[places - at.repeat(sizes)]
        right = csr_matrix((values, self.candidate[places], ends), shape=(len(at), size))
        left = csr_matrix(
            (np.ones(len(at)), np.arange(len(at)), offsets - offsets[0]), shape=(len(offsets) - 1, len(at))
        )
        return left @ right
