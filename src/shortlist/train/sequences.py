"""Batches of interactions that stay on disk, by query: the windows of a sequence come in one batch, as they do in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data import Shards
from shortlist.data.shards import OrderedRows
from shortlist.features import Sequences
from shortlist.model.stored_inputs import StoredNumbers
from shortlist.train.batches import Batch, Given, generator_of, part_of_batch, sent_distinct, shuffled
from shortlist.train.device import moved
from shortlist.train.processes import Processes

__all__ = ["OrderedInteractions"]

LOOKED_AT = 1 << 22  # places that are looked at together


class OrderedInteractions:
    """``Interactions`` over the rows of shards in the order of their queries: a row of the query tower is a place in that order.

    1. Places with one start of a window are a sequence, and stay together. Blocks of neighbouring sequences have about
       ``block_rows`` rows.
    2. Blocks in an order that is a function of (seed, epoch) fill buffers of ``buffer_rows`` rows; the sequences of a buffer are
       shuffled and cut into batches. Where everything fits in one buffer, the order is that of ``Interactions``.

    With several processes each has the pairs of its own queries of each batch.
    """

    def __init__(
        self, shards: Shards, ordered: OrderedRows, windows: Sequences, device: torch.device, processes: Processes
    ) -> None:
        self.queries, self.candidates = ordered.rows, len(shards.candidates)  # rows that the towers read
        self._shards, self._device, self._processes = shards, device, processes
        self._numbers = ordered.number
        self._query, self._candidate = torch.from_numpy(ordered.query), torch.from_numpy(ordered.candidate)
        self._weight = None if ordered.weight is None else torch.from_numpy(ordered.weight)
        self._first = torch.from_numpy(_edges(windows.start))  # [sequences + 1], the place where each begins

    def __len__(self) -> int:
        return self.queries

    @property
    def owner(self) -> StoredNumbers:
        """The query of each row that the query tower reads."""
        return StoredNumbers(self._query, self._device)

    def batch(self, chosen: Tensor) -> Batch:
        """The batch of these places, int64 ``[B]``; with several processes, the part of this one."""
        if self._processes.size > 1:
            owners = self._query.index_select(0, chosen)
            chosen = chosen[owners % self._processes.size == self._processes.rank]
        candidate = self._candidate.index_select(0, chosen).long()
        weight = None if self._weight is None else moved(self._weight.index_select(0, chosen), self._device)
        if self._processes.size > 1:
            query, candidate = (moved(rows, self._device) for rows in (chosen, candidate))
            return part_of_batch(query, candidate, weight, self.queries, self.candidates, self._processes)
        query_rows, pair_query, _ = sent_distinct(chosen, self.queries, self._device)
        candidate_rows, pair_candidate, counts = sent_distinct(candidate, self.candidates, self._device)
        return Batch(query_rows, candidate_rows, pair_query, pair_candidate, weight, counts, self._given(chosen))

    def _given(self, chosen: Tensor) -> Given | None:
        """The negatives of these places' own, where the shards keep them."""
        if self._numbers is None:
            return None
        return Given.of(self._shards.negatives_of(self._numbers[chosen.numpy()]), self._device)

    def batches(self, seed: int, epoch: int, size: int) -> Iterator[Tensor]:
        """The places of each batch of an epoch, int64: about ``size`` each, since sequences stay whole."""
        before, left = 0, torch.zeros(0, dtype=torch.long)  # pairs in earlier batches and buffers; sequences that wait
        for sequences in self._buffers(seed, epoch):
            sequences = torch.cat([left, sequences])
            lengths = self._first[sequences + 1] - self._first[sequences]
            batch = (before + lengths.cumsum(0) - lengths) // size
            *whole, left = sequences.split(torch.unique_consecutive(batch, return_counts=True)[1].tolist())
            yield from map(self._places, whole)
            before += int(lengths[: len(sequences) - len(left)].sum())
        yield self._places(left)

    def _places(self, sequences: Tensor) -> Tensor:
        """The places of these sequences, one after another."""
        first = self._first[sequences]
        count = self._first[sequences + 1] - first
        return (first - (count.cumsum(0) - count)).repeat_interleave(count) + torch.arange(int(count.sum()))

    def _buffers(self, seed: int, epoch: int) -> Iterator[Tensor]:
        """The sequences of each buffer, shuffled."""
        first = self._first.numpy()
        if self.queries <= self._shards.buffer_rows:
            yield shuffled(seed, epoch, len(first) - 1)
            return
        blocks = np.searchsorted(first[:-1], np.arange(0, self.queries, self._shards.manifest.header.block_rows))
        blocks = np.unique(np.append(blocks, len(first) - 1))  # where each block begins, and the end
        rows = np.diff(first[blocks])
        order = generator_of(seed, epoch, 0).permutation(len(rows))
        buffer = (np.cumsum(rows[order]) - 1) // self._shards.buffer_rows
        for number in np.unique(buffer):
            own = np.sort(order[buffer == number])
            sequences = np.concatenate([np.arange(blocks[block], blocks[block + 1]) for block in own])
            yield torch.from_numpy(generator_of(seed, epoch, int(number) + 1).permutation(sequences))


def _edges(start: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places at which another sequence begins, and how many places there are."""
    edges = [np.zeros(1, np.int64)]
    for low in range(1, len(start), LOOKED_AT):
        part = start[low - 1 : low + LOOKED_AT]
        edges.append(np.flatnonzero(part[1:] != part[:-1]) + low)
    return np.concatenate([*edges, np.full(1, len(start))])
