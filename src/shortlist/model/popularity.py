"""Popularity as two towers, so that it is measured, saved and served as every other model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist.data import Dataset, Shards
from shortlist.data.choices import check_choices, choice_counts, choices_alone
from shortlist.errors import DataError, check_flags
from shortlist.features import Codes, IntegerLookup, StringLookup
from shortlist.model.tower import Tower, only_table
from shortlist.model.two_tower import TwoTower

__all__ = ["popularity"]

RECENT = 0.1  # share of the interactions that count as recent


@torch.no_grad()
def popularity(train: Dataset | Shards, *, recent: bool = False) -> TwoTower:
    """Two towers of one dimension: 1 for every query, ln(1 + n) for a candidate that was chosen n times.

    Rows with a weight of 0 are not counted; others count once, whatever their weight.

    Every query gets the same list; a softmax over the scores is the share of choices. There is no gradient descent,
    and a query that training never saw is answered like any other.

    Args:
        train: the interactions to count.
        recent: count the latest tenth of the interactions alone, which must have timestamps.

    Raises:
        DataError: for ``recent`` without timestamps, and where every weight is 0.

    Example:
        sl.Recommender(sl.popularity(train), seen=train).recommend(["42"], k=10)
    """
    check_choices(train, "popularity(train)", shards=True)
    check_flags("popularity()", recent=recent)
    towers = []
    for table, column in ((train.queries, train.query), (train.candidates, train.candidate)):
        lookup = IntegerLookup if table.schema[column].is_integer() else StringLookup
        towers.append(Tower(lookup(column), dim=1))
    model = TwoTower(*towers)
    encoded = model.prepare(train)
    query, candidate = (only_table(tower) for tower in (model.query, model.candidate))
    query.weight.fill_(1.0)
    (codes,) = encoded.candidate_columns.values()
    assert isinstance(codes, Codes)
    rows = _recent_counts(train) if recent else choice_counts(train, "candidate")
    counts = np.bincount(codes.values, rows, candidate.cardinality)
    candidate.weight.copy_(torch.from_numpy(np.log1p(counts)).unsqueeze(1))
    candidate.weight[0] = 0.0
    return model.eval()


def _recent_counts(train: Dataset | Shards) -> NDArray[np.float64]:
    """Choices of each candidate in the latest tenth, and a thousandth for each earlier one: float64 ``[candidates]``."""
    if not isinstance(train, Dataset) or train.timestamp is None:
        raise DataError(
            "recent popularity needs timestamps in memory, but there are none.", hint="Dataset(…, timestamp=…)"
        )
    train = choices_alone(train)
    time = train.times.rank("max").to_numpy() / len(train)
    late = np.bincount(train.candidate_rows[time > 1 - RECENT], minlength=len(train.candidates))
    return late + train.candidate_counts / 1000
