"""Batches of an encoded dataset: slices of a seeded permutation, reduced to their distinct rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data.shards import ListColumn
from shortlist.loss.places import occurrences
from shortlist.model import EncodedDataset
from shortlist.model.distinct import Distinct, distinct
from shortlist.train.device import moved
from shortlist.train.processes import Alone, Processes

__all__ = [
    "Batch",
    "Given",
    "Interactions",
    "generator_of",
    "part_of_batch",
    "sent_distinct",
    "shuffled",
]

READ_AHEAD = 1 << 17  # interactions whose rows are read together


class Given(NamedTuple):
    """Negatives that the data give to pairs of a batch: the pair of each, and its row of the candidates."""

    pair: Tensor
    candidate: Tensor

    @classmethod
    def of(cls, negatives: ListColumn, device: torch.device) -> Given:
        """The lists of a batch's pairs, in their order."""
        pair = np.repeat(np.arange(negatives.rows), np.diff(negatives.offsets))
        return cls(torch.from_numpy(pair).to(device), torch.from_numpy(negatives.values.astype(np.int64)).to(device))


class Batch(NamedTuple):
    """B pairs over distinct rows: ``query_rows[pair_query]`` is the query row of each pair, likewise candidates."""

    query_rows: Tensor  # [distinct queries]
    candidate_rows: Tensor  # [distinct candidates]
    pair_query: Tensor  # [B]
    pair_candidate: Tensor  # [B]
    weight: Tensor | None  # [B]
    counts: Tensor | None = None  # [distinct candidates], pairs of each in the whole batch, where they were counted
    given: Given | None = None  # negatives of single pairs, where they are read with the batch
    whole: int | None = None  # pairs of the whole batch, where this is a part of it

    @property
    def size(self) -> int:
        """Pairs of the whole batch."""
        return len(self.pair_query) if self.whole is None else self.whole

    def multiplicity(self) -> Tensor:
        """How many pairs of the whole batch hold each candidate, int64 ``[distinct candidates]``."""
        if self.counts is not None:
            return self.counts
        return occurrences(self.pair_candidate, len(self.candidate_rows))


class Interactions:
    """The interactions of a training run, as row numbers.

    One process keeps them in the processor's memory, reduces each batch to its distinct rows there and sends it to the device,
    for which it never waits. With several processes each keeps the interactions of its own queries on its device: those whose
    number in ``owner``, divided by the number of processes, leaves its rank. Batches are drawn from all interactions, and a process has its part of each.
    """

    def __init__(
        self,
        encoded: EncodedDataset,
        device: torch.device,
        processes: Processes | None = None,
        owner: NDArray[np.integer] | None = None,
    ) -> None:
        self._processes = Alone() if processes is None else processes
        self._all = len(encoded)
        self._device = device
        kept_on = device if self._processes.size > 1 else torch.device("cpu")
        self._place: Tensor | None = None
        self._ahead: tuple[Tensor, Tensor, Tensor] | None = None  # a batch's interactions, and the rows of both sides
        part: slice | NDArray[np.bool_] = slice(None)
        if owner is not None and self._processes.size > 1:
            own: NDArray[np.bool_] = owner % self._processes.size == self._processes.rank
            part = own
            self._place = torch.from_numpy(np.where(own, np.cumsum(own) - 1, -1)).to(device)  # [interactions]
        self.queries = len(next(iter(encoded.query_columns.values())))
        self.candidates = len(next(iter(encoded.candidate_columns.values())))
        self.query_rows = torch.from_numpy(encoded.query_rows[part].astype(np.int64)).to(kept_on)
        self.candidate_rows = torch.from_numpy(encoded.candidate_rows[part].astype(np.int64)).to(kept_on)
        self._sequences = None if encoded.sequences is None else _grouped(encoded.sequences)
        self.weights = None if encoded.weights is None else torch.from_numpy(encoded.weights[part]).to(kept_on)

    def __len__(self) -> int:
        return self._all

    def batch(self, chosen: Tensor) -> Batch:
        """The batch of these interactions, int64 ``[B]``; with several processes, the part of this one."""
        if self._place is not None:
            return self._part(self._place, chosen)
        query, candidate = self._rows(chosen)
        query_rows, pair_query, _ = sent_distinct(query, self.queries, self._device)
        candidate_rows, pair_candidate, counts = sent_distinct(candidate, self.candidates, self._device)
        weight = None if self.weights is None else moved(self.weights[chosen], self._device)
        return Batch(query_rows, candidate_rows, pair_query, pair_candidate, weight, counts)

    def _rows(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of these interactions, int64 ``[B]`` each."""
        if self._ahead is not None and self._ahead[0] is chosen:
            return self._ahead[1:]
        return self.query_rows.index_select(0, chosen), self.candidate_rows.index_select(0, chosen)

    def _part(self, place: Tensor, chosen: Tensor) -> Batch:
        """The pairs of a batch that are here."""
        here = place[chosen]
        here = here[here >= 0]
        weight = None if self.weights is None else self.weights[here]
        rows = (self.query_rows.index_select(0, here), self.candidate_rows.index_select(0, here))
        return part_of_batch(*rows, weight, self.queries, self.candidates, self._processes)

    def batches(self, seed: int, epoch: int, size: int) -> Iterator[Tensor]:
        """The interactions of each batch of an epoch, int64, in an order that is a function of (seed, epoch).

        About ``size`` each: exactly, except for the last, if interactions are independent; sequences stay whole.
        """
        if self._sequences is None:
            order = shuffled(seed, epoch, len(self)).to(self.query_rows.device)
            if self._place is None:
                yield from self._read_ahead(order, size)
            else:
                yield from order.split(size)
            return
        order, first = self._sequences
        sequences = shuffled(seed, epoch, len(first) - 1)
        lengths = first.diff()[sequences]
        batch = (lengths.cumsum(0) - lengths) // size
        for chosen in sequences.split(torch.bincount(batch).tolist()):
            count = first[chosen + 1] - first[chosen]
            within = torch.arange(int(count.sum())) - (count.cumsum(0) - count).repeat_interleave(count)
            if len(within):
                yield order[first[chosen].repeat_interleave(count) + within].to(self.query_rows.device)

    def _read_ahead(self, order: Tensor, size: int) -> Iterator[Tensor]:
        """The batches of an order; the rows of several are read together, which takes less than each alone."""
        for several in order.split(max(1, READ_AHEAD // size) * size):
            parts = zip(*(one.split(size) for one in (several, *self._rows(several))), strict=True)
            for self._ahead in parts:
                yield self._ahead[0]
        self._ahead = None


def part_of_batch(
    query: Tensor, candidate: Tensor, weight: Tensor | None, queries: int, candidates: int, processes: Processes
) -> Batch:
    """The pairs of this process, over the distinct candidates of all processes' pairs.

    Args:
        query: rows ``[pairs here]`` of the queries.
        candidate: rows ``[pairs here]`` of the candidates.
    """
    of_all = processes.concatenated(candidate)
    candidate_rows, places, counts = distinct(of_all, candidates)
    query_rows, pair_query, _ = distinct(query, queries)
    counts = occurrences(places, len(candidate_rows)) if counts is None else counts
    pair_candidate = torch.searchsorted(candidate_rows, candidate)
    return Batch(query_rows, candidate_rows, pair_query, pair_candidate, weight, counts, whole=len(of_all))


def _grouped(numbers: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
    """The places of equal ``numbers`` one after another, and where each group begins (one more than groups)."""
    order = np.argsort(numbers, kind="stable")
    edges = np.flatnonzero(np.append(True, numbers[order][1:] != numbers[order][:-1]))
    return torch.from_numpy(order), torch.from_numpy(np.append(edges, len(numbers)))


def shuffled(seed: int, epoch: int, count: int) -> Tensor:
    """The order of an epoch's ``count`` interactions: a function of (seed, epoch), whatever came before."""
    return torch.from_numpy(generator_of(seed, epoch, 0).permutation(count))


def generator_of(seed: int, epoch: int, number: int) -> np.random.Generator:
    """Random numbers for one purpose of an epoch: 0 the order of everything, or of blocks; n the n-th buffer."""
    return np.random.Generator(np.random.Philox(key=[seed & (2**64 - 1), epoch], counter=[0, 0, 0, number]))


def sent_distinct(rows: Tensor, total: int, place: torch.device) -> Distinct:
    """``distinct`` of rows on the processor, on a device; a GPU would be waited for to know how many there are."""
    values, places, counts = distinct(rows, total)
    return Distinct(moved(values, place), moved(places, place), None if counts is None else moved(counts, place))
