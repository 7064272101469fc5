"""A query's own history, the latest choice first, for tables in which people choose again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shortlist.data import Dataset, Shards
from shortlist.data.choices import check_choices
from shortlist.sources.neighbours import Neighbours
from shortlist.sources.tables import check_settings

__all__ = ["OwnHistory"]


@dataclass(frozen=True)
class OwnHistory:
    """Settings of a source that finds what a query chose before: every candidate is its own only neighbour.

    Only useful if lists may contain seen items (``exclude_seen=False``).

    Source: the personal recency baseline of Anderson, Kumar, Tomkins, Vassilvitskii 2014, "The dynamics of repeat consumption".

    Attributes:
        age: weight of an item against the next later one.
        length: how many of the latest items of a history are read.

    Raises:
        ConfigError: for settings out of range.
    """

    age: float = 0.9
    length: int = 500

    def __post_init__(self) -> None:
        check_settings(self, age=(1e-6, 1))

    def fit(self, train: Dataset | Shards) -> Neighbours:
        """The table for the candidates of ``train``.

        Raises:
            DataError: for anything but a Dataset or Shards, and where every weight is 0.
        """
        check_choices(train, "OwnHistory.fit(train)", shards=True)
        rows = np.arange(len(train.candidates) + 1)
        weights = np.ones(len(rows) - 1, np.float32)
        ids = train.candidates[train.candidate]
        return Neighbours(rows, rows[:-1].astype(np.int32), weights, self.age, self.length, "own", ids)
