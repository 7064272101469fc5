"""From a batch's windows on histories to one vector per row: each sequence is read once, however many rows it serves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from shortlist.errors import ConfigError
from shortlist.features import History
from shortlist.model.embedding import Division, EmbeddingTable
from shortlist.model.encoders import causal_encoder, packed

__all__ = ["HistoryEncoder", "PaddedTensor", "SequenceTensor"]

LENGTHS = (4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192)
"""Sequences are padded to the next of these lengths; longer ones to the longest of the batch."""


@dataclass(frozen=True)
class SequenceTensor:
    """Rows that read ``codes[start:stop]`` each, except the place ``left_out`` (−1: none)."""

    codes: Tensor
    start: Tensor  # [rows]
    stop: Tensor  # [rows]
    left_out: Tensor | None  # [rows]

    def take(self, rows: Tensor) -> SequenceTensor:
        left_out = None if self.left_out is None else self.left_out[rows]
        return replace(self, start=self.start[rows], stop=self.stop[rows], left_out=left_out)


@dataclass(frozen=True)
class PaddedTensor:
    """One sequence per row, padded to one length: the form of an exported tower."""

    codes: Tensor  # [rows, length]
    count: Tensor  # [rows]

    def take(self, rows: Tensor) -> PaddedTensor:
        return PaddedTensor(self.codes[rows], self.count[rows])


class HistoryEncoder(nn.Module):
    """Vectors ``[rows, dim]`` of windows on sequences of items.

    1. Windows with one start are prefixes of one sequence: the longest of them is read, once.
    2. Items are embedded, sequences of about the same length are padded to one, and a causal encoder gives the state
       after every item.
    3. A row's vector is the state after its last item; of an empty window, a vector of its own.

    Rows that leave an item out (mean and sum) get the sum over their window less that item.

    The table is its own, or is lent by the candidate tower with ``share``.
    """

    def __init__(
        self,
        history: History,
        cardinality: int,
        dim: int,
        scale: float,
        generator: torch.Generator | None = None,
        division: Division | None = None,
    ) -> None:
        super().__init__()
        if dim % history.heads and history.encoder in ("transformer", "hstu"):
            raise ConfigError(
                f"{history!r} has {history.heads} heads, which do not divide its dim {dim}.",
                hint="choose heads that divide dim, such as 1 or 2",
            )
        self.kind = history.encoder
        self.table = None
        if not history.share:
            self.table = EmbeddingTable(cardinality, dim, scale=scale, generator=generator, division=division)
        self._lent: list[
            EmbeddingTable
        ] = []  # in a list, so that the table is a submodule of the candidate tower alone
        self.encoder = causal_encoder(history, dim, generator)
        self.empty = nn.Parameter(torch.zeros(dim))
        self.dropout = nn.Dropout(history.dropout)

    def lend(self, table: EmbeddingTable) -> None:
        """Read items from ``table``."""
        self._lent[:] = [table]

    @property
    def items(self) -> EmbeddingTable:
        """The table that items are read from."""
        return self._lent[0] if self.table is None else self.table

    def forward(self, windows: SequenceTensor) -> Tensor:
        """Vectors ``[rows, dim]``."""
        if not len(windows.start):
            self.items(windows.codes[:0])  # with rows in several processes, each process must read when the others do
            return self.empty.expand(0, -1)
        if windows.left_out is not None:
            return self._without(windows, windows.left_out)
        filled = torch.nonzero(windows.stop > windows.start).squeeze(1)
        vectors = self.empty.repeat(len(windows.start), 1)
        if not len(filled):
            self.items(windows.codes[:0])
            return vectors
        start, sequence = torch.unique(windows.start[filled], return_inverse=True)
        stop = windows.stop[filled]
        length = torch.zeros_like(start).scatter_reduce_(0, sequence, stop, "amax") - start  # [sequences]
        states, first = self._states(windows.codes, start, length)
        last = states[first[sequence] + (stop - windows.start[filled]) - 1]
        return vectors.index_copy(0, filled, last.to(vectors.dtype))

    def of_padded(self, sequences: PaddedTensor) -> Tensor:
        """Vectors ``[rows, dim]`` of sequences that are padded already."""
        items = self.items.weight[sequences.codes].float()  # [rows, length, dim]
        states = self.encoder(items)
        last = (sequences.count - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])
        return torch.where(sequences.count.unsqueeze(1) > 0, states.gather(1, last).squeeze(1), self.empty)

    def _states(self, codes: Tensor, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """States after every item ``[padded items, dim]`` and where those of each sequence begin ``[sequences]``."""
        bounds = torch.tensor(LENGTHS, device=length.device)
        bucket = torch.searchsorted(bounds, length)  # [sequences]
        order = torch.argsort(bucket, stable=True)
        counts = torch.bincount(bucket, minlength=len(LENGTHS) + 1).tolist()
        longest = int(length.max())
        widths = [min(width, longest) for width in (*LENGTHS, longest)]
        places = []
        for sequences, width in zip(order.split(counts), widths, strict=True):
            within = torch.arange(width, device=length.device)
            inside = within < length[sequences].unsqueeze(1)
            places.append(torch.where(inside, codes[(start[sequences].unsqueeze(1) + within) * inside], 0).flatten())
        items = self.items(torch.cat(places))  # [padded items, dim]
        shapes, first, offset = [], torch.empty_like(length), 0
        for sequences, width in zip(order.split(counts), widths, strict=True):
            if len(sequences):
                shapes.append((len(sequences), width))
                first[sequences] = offset + width * torch.arange(len(sequences), device=length.device)
            offset += len(sequences) * width
        return packed(self.encoder, items, shapes), first

    def _without(self, windows: SequenceTensor, left_out: Tensor) -> Tensor:
        """Sum or mean of each window, its left-out item taken away."""
        both, window = torch.unique(torch.stack([windows.start, windows.stop]), dim=1, return_inverse=True)
        length = both[1] - both[0]  # [windows]
        owner = torch.arange(len(length), device=length.device).repeat_interleave(length)
        within = torch.arange(len(owner), device=length.device) - (length.cumsum(0) - length)[owner]
        leaves = left_out >= 0
        own = windows.codes[left_out.clamp(min=0)]
        items = self.items(torch.cat([windows.codes[both[0][owner] + within], own]))  # [items, dim]
        items = self.dropout(items)
        sums = items.new_zeros(len(length), items.shape[1]).index_add(0, owner, items[: len(owner)])
        count = (length[window] - leaves.long()).unsqueeze(1)
        vectors = sums[window] - items[len(owner) :] * leaves.unsqueeze(1)
        if self.kind == "mean":
            vectors = vectors / count.clamp(min=1)
        return torch.where(count > 0, vectors, self.empty)
