"""Embedding tables whose gradient exists only for the rows that a batch touched."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from shortlist.errors import ConfigError
from shortlist.model.storage import TableStorage, stochastic_round

__all__ = ["EmbeddingTable", "TouchedRows"]


class TouchedRows(NamedTuple):
    """Rows of a table that a forward pass read: distinct ``codes`` [touched] and their ``rows`` [touched, dim]."""

    codes: Tensor
    rows: Tensor


class EmbeddingTable(nn.Module):
    """A table ``weight [cardinality, dim]`` read by codes.

    While training, ``forward`` copies the distinct rows it needs into a leaf of the graph and remembers them in
    ``touched``; the backward pass leaves a gradient ``[touched, dim]`` on that leaf. Nothing of the table's size is
    ever allocated, and ``fit`` updates those rows alone. Outside training it is a plain lookup.

    Rows start uniform in ``[-scale, scale]`` (the tutorial's Keras default is 0.05).
    """

    weight: Tensor

    def __init__(
        self,
        cardinality: int,
        dim: int,
        *,
        scale: float = 0.05,
        generator: torch.Generator | None = None,
        storage: TableStorage | None = None,
    ) -> None:
        super().__init__()
        if cardinality < 1 or dim < 1:
            raise ConfigError(f"an embedding table of {cardinality} rows of {dim}; both must be at least 1.")
        self.storage = storage or TableStorage()
        self.register_buffer("weight", self.storage.table(cardinality, dim, scale, generator))
        self.touched: list[TouchedRows] = []

    @property
    def dim(self) -> int:
        return int(self.weight.shape[1])

    def forward(self, codes: Tensor, *, distinct: bool = False) -> Tensor:
        """Rows ``[len(codes), dim]``; ``distinct`` promises that no code repeats, which saves finding out."""
        if not self.training or not torch.is_grad_enabled():
            return self.rows(codes)
        if distinct:
            rows = self.rows(codes).requires_grad_()
            self.touched.append(TouchedRows(codes, rows))
            return rows
        unique, inverse = torch.unique(codes, return_inverse=True)
        rows = self.rows(unique).requires_grad_()  # [touched, dim]
        self.touched.append(TouchedRows(unique, rows))
        return rows.index_select(0, inverse)  # [len(codes), dim]

    def rows(self, codes: Tensor) -> Tensor:
        """Rows ``[len(codes), dim]`` as float32; nothing is remembered."""
        return self.weight.index_select(0, codes).float()

    @torch.no_grad()
    def write(self, codes: Tensor, rows: Tensor) -> None:
        """Put float32 ``rows`` in place of those of distinct ``codes``, rounded at random where the table is coarser."""
        fits = rows if self.weight.dtype == torch.float32 else stochastic_round(rows)
        self.weight.index_copy_(0, codes, fits)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]:,} x {self.dim}"
