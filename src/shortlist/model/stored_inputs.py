"""Inputs that stay in mapped files: a batch's are read and brought to the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shortlist.model.history_encoder import SequenceTensor

__all__ = ["StoredNumbers", "StoredSequences"]


@dataclass(frozen=True, eq=False)
class StoredNumbers:
    """Whole numbers ``[rows]`` in a mapped file."""

    values: Tensor
    device: torch.device

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The numbers of these rows, int64 on the device."""
        return self.values.index_select(0, rows.cpu()).long().to(self.device)

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """``self[rows]``, as a tensor has it."""
        return self[rows]


@dataclass(frozen=True, eq=False)
class StoredSequences:
    """Windows as in ``SequenceTensor``, in mapped files. Those of a batch are cut out; windows with one start still share it."""

    codes: Tensor  # [codes]
    start: Tensor  # [rows]
    stop: Tensor  # [rows]
    left_out: Tensor | None  # [rows]
    device: torch.device

    def take(self, rows: Tensor) -> SequenceTensor:
        """The windows of ``rows``, with their codes, on the device."""
        rows = rows.cpu()
        start, stop = self.start.index_select(0, rows), self.stop.index_select(0, rows)
        first, sequence = torch.unique(start, return_inverse=True)
        length = torch.zeros_like(first).scatter_reduce_(0, sequence, stop - start, "amax")  # [sequences]
        before = length.cumsum(0) - length
        places = (first - before).repeat_interleave(length) + torch.arange(int(length.sum()))
        moved = before[sequence] - start
        left_out = None
        if self.left_out is not None:
            own = self.left_out.index_select(0, rows)
            left_out = torch.where(own >= 0, own + moved, own).to(self.device)
        codes = self.codes.index_select(0, places).long()
        return SequenceTensor(
            codes.to(self.device), (start + moved).to(self.device), (stop + moved).to(self.device), left_out
        )
