"""A second stage over whole rows of scores, in the order that a search has; and its input, to learn it from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.sources import Context, PairFeatures, SecondStage, first_of

__all__ = ["Read", "in_order", "read"]


class Read(NamedTuple):
    """The input of a second stage for one query's list.

    Attributes:
        rows: int64 ``[candidates]``, best first by the first stage.
        features: float32 ``[candidates, features]``.
    """

    rows: NDArray[np.int64]
    features: NDArray[np.float32]


def in_order(
    totals: Tensor, towers: Sequence[Tensor], others: Sequence[Tensor], context: Context, stage: SecondStage, first: int
) -> Tensor:
    """Scores in the order of the second stage, float64 ``[rows, candidates]``; −inf stays −inf.

    Args:
        totals: scores by the first stage, ``[rows, candidates]``, −inf for candidates that a query may not have.
        towers: scores by each towers, of the same shape.
        others: scores by each other source.
        context: of all queries.
        stage: the second stage.
        first: the query of the first row.
    """
    found = torch.empty_like(totals, dtype=torch.float64)
    for number, (rows, own, sources) in enumerate(_lists(totals, towers, others, stage.depth)):
        query = context.histories.row(first + number), context.groups[first + number]
        listed = stage.first(rows, own[rows], partial(_of_rows, sources), *query)
        behind = listed.behind(own)
        behind[rows] = listed.scores
        found[number] = torch.from_numpy(behind)
    return found.masked_fill_(torch.isneginf(totals), -torch.inf)


def read(
    totals: Tensor,
    towers: Sequence[Tensor],
    others: Sequence[Tensor],
    context: Context,
    features: PairFeatures,
    depth: int,
    first: int,
) -> Iterator[Read]:
    """The input of a second stage of this depth for the list of each row; arguments as for ``in_order``."""
    for number, (rows, _, sources) in enumerate(_lists(totals, towers, others, depth)):
        history, groups = context.histories.row(first + number), context.groups[first + number]
        yield Read(rows, features.of_list(history, groups, rows, sources[:, rows].T))


def _of_rows(sources: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The scores of candidate rows, ``[rows, sources]``."""
    found: NDArray[np.float32] = sources[:, rows].T
    return found


def _lists(
    totals: Tensor, towers: Sequence[Tensor], others: Sequence[Tensor], depth: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float32]]]:
    """For each row: its list by the first stage, all totals rounded as in a search, and each source's scores as ``PairFeatures``
    describes them."""
    rounded = totals.float().double().numpy()
    near = [one - one.amax(1, keepdim=True) for one in towers]
    for other in others:
        largest = other.amax(1, keepdim=True)
        near.append(other / torch.where(largest > 0, largest, 1.0))
    sources = torch.stack(near, 1).float().numpy()  # [rows, sources, candidates]
    every = np.arange(totals.shape[1])
    for own, mine in zip(rounded, sources, strict=True):
        rows = first_of(every, own, depth)
        yield rows[np.isfinite(own[rows])], own, mine
