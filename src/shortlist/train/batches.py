"""Batches of an encoded dataset: slices of a seeded permutation, reduced to their distinct rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from shortlist.model import EncodedDataset

__all__ = ["Batch", "Interactions", "distinct", "shuffled"]


class Batch(NamedTuple):
    """B pairs over distinct rows: ``query_rows[pair_query]`` is the query row of each pair, likewise candidates."""

    query_rows: Tensor  # [distinct queries]
    candidate_rows: Tensor  # [distinct candidates]
    pair_query: Tensor  # [B]
    pair_candidate: Tensor  # [B]
    weight: Tensor | None  # [B]


class Interactions:
    """The interactions of a training run on one device, as row numbers."""

    def __init__(self, encoded: EncodedDataset, device: torch.device) -> None:
        self.queries = len(next(iter(encoded.query_columns.values())))
        self.candidates = len(next(iter(encoded.candidate_columns.values())))
        self.query_rows = torch.from_numpy(encoded.query_rows.astype(np.int64)).to(device)
        self.candidate_rows = torch.from_numpy(encoded.candidate_rows.astype(np.int64)).to(device)
        self.weights = None if encoded.weights is None else torch.from_numpy(encoded.weights).to(device)

    def __len__(self) -> int:
        return len(self.query_rows)

    def batch(self, chosen: Tensor) -> Batch:
        """The batch of these interactions, int64 ``[B]``."""
        query_rows, pair_query = distinct(self.query_rows.index_select(0, chosen), self.queries)
        candidate_rows, pair_candidate = distinct(self.candidate_rows.index_select(0, chosen), self.candidates)
        weight = None if self.weights is None else self.weights[chosen]
        return Batch(query_rows, candidate_rows, pair_query, pair_candidate, weight)


def shuffled(seed: int, epoch: int, count: int) -> Tensor:
    """The order of an epoch's ``count`` interactions: a function of (seed, epoch), whatever came before."""
    generator = np.random.Generator(np.random.Philox(key=[seed & (2**64 - 1), epoch]))
    return torch.from_numpy(generator.permutation(count))


def distinct(rows: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """The distinct values of ``rows``, ascending, and where each of ``rows`` stands among them.

    ``total`` bounds the values. When it is small beside the batch a mark per value is cheaper than sorting.
    """
    if total <= 4 * len(rows):
        marks = torch.zeros(total, dtype=torch.bool, device=rows.device).index_fill_(0, rows, True)
        return torch.nonzero(marks).squeeze(1), (marks.cumsum(0) - 1).index_select(0, rows)
    ordered, order = torch.sort(rows)
    first = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    torch.ne(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first], torch.empty_like(rows).index_copy_(0, order, first.cumsum(0) - 1)
