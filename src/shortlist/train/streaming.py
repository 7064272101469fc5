"""Batches of interactions that stay on disk: blocks in random order, shuffled within a buffer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data import Shards
from shortlist.data.shards import ListColumn, Rows
from shortlist.features import Sequences
from shortlist.model import EncodedDataset
from shortlist.train.batches import Batch, Given, Interactions, generator_of, part_of_batch, sent_distinct
from shortlist.train.device import moved
from shortlist.train.processes import Alone, Processes
from shortlist.train.sequences import OrderedInteractions

__all__ = ["StreamedInteractions", "interactions_of"]


class StreamedInteractions:
    """``Interactions`` over shards: one buffer of them is in memory, the next one is being read.

    1. The order of blocks is a function of (seed, epoch).
    2. As many blocks as fill the buffer are read, in the order on the disk.
    3. Their rows, and those left over from the last buffer, are shuffled and cut into batches.

    With a buffer as large as the data this is a full shuffle. Of several processes each reads its own blocks of a buffer alone, and
    has the pairs of a batch that they hold: the order of a buffer's rows is known without reading them.

    Args:
        by_query: of several processes each needs the pairs of its own queries, and reads all blocks.
        contexts: rows of a table of contexts; with more than one, the query tower reads pairs of a query and a context,
            row ``query · contexts + context``.
    """

    def __init__(
        self, shards: Shards, device: torch.device, processes: Processes, contexts: int = 1, by_query: bool = False
    ) -> None:
        self.contexts = contexts
        self.queries = len(shards.queries) * contexts  # rows that the query tower reads
        self.candidates = len(shards.candidates)
        self.shards = shards
        self.device = device
        self._processes = processes
        self._by_query = by_query and processes.size > 1
        self._parted = processes.size > 1 and not by_query
        self._buffer = _Buffer.of([])
        self._size = 1
        self._before = np.zeros(1, np.int64)  # own rows before each batch of the buffer, where it has rows of others

    def __len__(self) -> int:
        return len(self.shards)

    def batch(self, chosen: Tensor) -> Batch:
        """The batch of these places of the buffer, int64 ``[B]``, as ``batches`` returned them last."""
        buffer = self._buffer
        if self._by_query:
            return self._part(chosen[buffer.query[chosen] % self._processes.size == self._processes.rank])
        if self._parted:
            number = int(chosen[0]) // self._size
            return self._part(torch.arange(int(self._before[number]), int(self._before[number + 1])))
        query_rows, pair_query, _ = sent_distinct(self._rows(chosen), self.queries, self.device)
        candidate = buffer.candidate[chosen].long()
        candidate_rows, pair_candidate, counts = sent_distinct(candidate, self.candidates, self.device)
        weight = None if buffer.weight is None else moved(buffer.weight[chosen], self.device)
        given = None if buffer.negatives is None else Given.of(buffer.negatives.at(chosen.numpy()), self.device)
        return Batch(query_rows, candidate_rows, pair_query, pair_candidate, weight, counts, given)

    def _part(self, here: Tensor) -> Batch:
        """The pairs of a batch that this process has."""
        buffer = self._buffer
        rows = (moved(self._rows(here), self.device), moved(buffer.candidate[here].long(), self.device))
        weight = None if buffer.weight is None else moved(buffer.weight[here], self.device)
        return part_of_batch(*rows, weight, self.queries, self.candidates, self._processes)

    def _rows(self, chosen: Tensor) -> Tensor:
        """The rows that the query tower reads for these places of the buffer."""
        rows = self._buffer.query[chosen].long()
        if self.contexts > 1 and self._buffer.context is not None:
            rows = rows * self.contexts + self._buffer.context[chosen]
        return rows

    def batches(self, seed: int, epoch: int, size: int) -> Iterator[Tensor]:
        """Places in the buffer for each batch of an epoch, int64; exactly ``size`` each except for the last."""
        for buffer, own in self._buffers(seed, epoch, size):
            self._buffer = buffer
            if self._parted:
                here = np.add.reduceat(own, np.arange(0, len(own), size), dtype=np.int64)
                self._size, self._before = size, np.concatenate([np.zeros(1, np.int64), np.cumsum(here)])
            for low in range(0, len(own), size):
                yield torch.arange(low, min(low + size, len(own)))
        self._buffer = _Buffer.of([])

    def _buffers(self, seed: int, epoch: int, size: int) -> Iterator[tuple[_Buffer, NDArray[np.bool_]]]:
        """The buffers of an epoch, shuffled, and which of their rows are here; each but the last holds whole batches."""
        plan = self._plan(seed, epoch, size)
        left, own = _Buffer.of([]), np.zeros(0, np.bool_)
        with ThreadPoolExecutor(1, "shards") as reader:
            coming: Future[_Buffer] | None = reader.submit(self._read, plan[0])
            for number in range(len(plan)):
                assert coming is not None
                blocks = plan[number]
                whole = _Buffer.of([left, coming.result()])
                own = np.concatenate([own, np.repeat(self._is_own(blocks), self.shards.block_counts[blocks])])
                coming = reader.submit(self._read, plan[number + 1]) if number + 1 < len(plan) else None
                order = generator_of(seed, epoch, number + 1).permutation(len(own))
                places = (np.cumsum(own, dtype=np.int32) - 1)[order][own[order]] if self._parted else order
                whole, own = whole.at(places), own[order]  # nothing else holds the rows in their earlier order now
                del order, places
                cut = len(own) if number + 1 == len(plan) else len(own) // size * size
                here = int(np.count_nonzero(own[:cut]))
                left = whole.part(here, len(whole))
                if cut:
                    yield whole.part(0, here), own[:cut]
                own = own[cut:]

    def _is_own(self, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of a buffer's blocks this process reads."""
        if not self._parted:
            return np.ones(len(blocks), np.bool_)
        mine: NDArray[np.bool_] = np.arange(len(blocks)) % self._processes.size == self._processes.rank
        return mine

    def _read(self, blocks: NDArray[np.int64]) -> _Buffer:
        """The rows of this process's blocks of a buffer."""
        own = blocks[self._is_own(blocks)]
        return _Buffer.of_rows(self.shards.read(own, negatives=True)) if len(own) else _Buffer.of([])

    def _plan(self, seed: int, epoch: int, size: int) -> list[NDArray[np.int64]]:
        """The blocks of each buffer, ascending."""
        counts = self.shards.block_counts
        order = generator_of(seed, epoch, 0).permutation(len(counts))
        buffer = (np.cumsum(counts[order]) - 1).clip(min=0) // max(self.shards.buffer_rows, size)
        return [np.sort(order[buffer == number]) for number in np.unique(buffer)]


@dataclass(frozen=True, eq=False)
class _Buffer:
    """Rows in memory, as tensors on the CPU; weight, context and negatives where there are any."""

    query: Tensor
    candidate: Tensor
    weight: Tensor | None = None
    context: Tensor | None = None
    negatives: ListColumn | None = None

    @classmethod
    def of_rows(cls, rows: Rows) -> _Buffer:
        query, candidate, weight, context = (
            None if one is None else torch.from_numpy(one)
            for one in (rows.query, rows.candidate, rows.weight, rows.context)
        )
        assert query is not None
        assert candidate is not None
        return cls(query, candidate, weight, context, rows.negatives)

    @classmethod
    def of(cls, parts: list[_Buffer]) -> _Buffer:
        """The rows of several buffers, one after another."""
        parts = [part for part in parts if len(part)]
        if not parts:
            return cls(torch.zeros(0, dtype=torch.int32), torch.zeros(0, dtype=torch.int32))
        if len(parts) == 1:
            return parts[0]
        joined = {
            name: torch.cat([getattr(part, name) for part in parts])
            for name in ("query", "candidate", "weight", "context")
            if getattr(parts[0], name) is not None
        }
        lists = [part.negatives for part in parts if part.negatives is not None]
        return cls(**joined, negatives=ListColumn.joined(lists) if lists else None)

    def __len__(self) -> int:
        return len(self.query)

    def _at(self, places: slice | Tensor, negatives: ListColumn | None) -> _Buffer:
        weight, context = (None if one is None else one[places] for one in (self.weight, self.context))
        return _Buffer(self.query[places], self.candidate[places], weight, context, negatives)

    def part(self, start: int, stop: int) -> _Buffer:
        """Neighbouring rows."""
        return self._at(slice(start, stop), None if self.negatives is None else self.negatives.part(start, stop))

    def at(self, places: NDArray[np.integer]) -> _Buffer:
        """The rows at these places, in this order."""
        return self._at(torch.from_numpy(places).long(), None if self.negatives is None else self.negatives.at(places))


def contexts_of(encoded: EncodedDataset) -> int:
    """Rows of the table of contexts that the query tower reads of shards; 1 where it reads none."""
    return len(next(iter(encoded.contexts.values()))) if encoded.contexts else 1


def interactions_of(
    encoded: EncodedDataset,
    device: torch.device,
    processes: Processes | None = None,
    owner: NDArray[np.integer] | None = None,
    by_query: bool = False,
) -> Interactions | StreamedInteractions | OrderedInteractions:
    """The interactions of a training run, from memory or from disk.

    Args:
        processes: as in ``Interactions``.
        owner: as in ``Interactions``.
        by_query: as in ``StreamedInteractions``.
    """
    if encoded.shards is None:
        return Interactions(encoded, device, processes, owner)
    if encoded.ordered is not None:
        windows = next(column for column in encoded.query_columns.values() if isinstance(column, Sequences))
        return OrderedInteractions(encoded.shards, encoded.ordered, windows, device, processes or Alone())
    return StreamedInteractions(encoded.shards, device, processes or Alone(), contexts_of(encoded), by_query)
