"""Embedding tables whose gradient exists only for the rows that a batch touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from shortlist.errors import ConfigError
from shortlist.model.distinct import distinct as distinct_codes
from shortlist.model.storage import Part, TableStorage, stochastic_round

__all__ = ["Division", "EmbeddingTable", "Remote", "TouchedRows"]


class TouchedRows(NamedTuple):
    """Rows of a table that a forward pass read: distinct ``codes`` [touched] and their ``rows`` [touched, dim].

    Attributes:
        route: how the rows were sent, for a table whose rows are in several processes.
    """

    codes: Tensor
    rows: Tensor
    route: Any = None


class Remote(Protocol):
    """The rows of a table that is divided over several processes, each of which holds a part."""

    @property
    def cardinality(self) -> int:
        """Rows of the whole table."""

    def read(self, weight: Tensor, codes: Tensor) -> tuple[Tensor, Any]:
        """Rows ``[codes, dim]``, and the route by which they were sent; ``weight`` is the part of this process."""

    def gradients(self, reads: Iterable[tuple[Any, Tensor | None, Tensor]]) -> tuple[Tensor, Tensor] | None:
        """Distinct rows of the part of this process, and their gradients.

        Args:
            reads: route, gradient and rows of each read.
        """


class Division(Protocol):
    """How tables are divided over several processes."""

    @property
    def part(self) -> Part:
        """The rows of this process."""

    def remote(self, cardinality: int) -> Remote:
        """The rows of a table of ``cardinality`` rows, wherever they are."""


class EmbeddingTable(nn.Module):
    """A table ``weight [cardinality, dim]`` read by codes.

    While training, ``forward`` copies the distinct rows it needs into a leaf of the graph and remembers them in
    ``touched``; the backward pass leaves a gradient ``[touched, dim]`` on that leaf. Nothing of the table's size is
    ever allocated, and ``fit`` updates those rows alone. Outside training it is a plain lookup.

    Rows start uniform in ``[-scale, scale]`` (the tutorial's Keras default is 0.05). With a ``division`` only the rows of
    this process are made, and they are those that the whole table would have.
    """

    weight: Tensor
    remote: Remote | None

    def __init__(
        self,
        cardinality: int,
        dim: int,
        *,
        scale: float = 0.05,
        generator: torch.Generator | None = None,
        storage: TableStorage | None = None,
        division: Division | None = None,
    ) -> None:
        super().__init__()
        if cardinality < 1 or dim < 1:
            raise ConfigError(f"an embedding table of {cardinality} rows of {dim}; both must be at least 1.")
        self.storage = storage or TableStorage()
        part = None if division is None else division.part
        self.register_buffer("weight", self.storage.table(cardinality, dim, scale, generator, part))
        self.touched: list[TouchedRows] = []
        self.remote = None if division is None else division.remote(cardinality)

    @property
    def dim(self) -> int:
        return int(self.weight.shape[1])

    @property
    def cardinality(self) -> int:
        """The number of rows of the whole table, even if this process holds a part of it."""
        return len(self.weight) if self.remote is None else self.remote.cardinality

    def forward(self, codes: Tensor, *, distinct: bool = False) -> Tensor:
        """Rows ``[len(codes), dim]``; ``distinct`` promises that no code repeats, so that this need not be checked."""
        learning = self.training and torch.is_grad_enabled()
        if not learning and self.remote is None:
            return self.rows(codes)
        if distinct:
            return self._read(codes, learning)
        unique, inverse, _ = distinct_codes(codes, self.cardinality)
        return self._read(unique, learning).index_select(0, inverse)  # [len(codes), dim]

    def _read(self, codes: Tensor, learning: bool) -> Tensor:
        """Rows ``[codes, dim]`` of distinct codes; in training they are a leaf of the graph, and remembered."""
        if self.remote is None:
            rows, route = self.rows(codes), None
        else:
            found, route = self.remote.read(self.weight, codes)
            rows = _widened(found)
        if learning:
            self.touched.append(TouchedRows(codes, rows.requires_grad_(), route))
        return rows

    def rows(self, codes: Tensor) -> Tensor:
        """Rows ``[len(codes), dim]`` as float32; nothing is remembered."""
        return _widened(self.weight.index_select(0, codes))

    @torch.no_grad()
    def write(self, codes: Tensor, rows: Tensor) -> None:
        """Put float32 ``rows`` in place of those of distinct ``codes``, rounded at random where the table is coarser."""
        fits = stochastic_round(rows) if self.weight.dtype == torch.bfloat16 else rows
        self.weight.index_copy_(0, codes, fits)

    def fill(self, rows: Tensor) -> None:
        """Put ``rows`` float32 ``[cardinality, dim]`` in place of all, as ``write`` does."""
        self.write(torch.arange(len(rows), device=rows.device), rows)

    def extra_repr(self) -> str:
        return f"{self.cardinality:,} x {self.dim}"


def _widened(rows: Tensor) -> Tensor:
    """bfloat16 as float32; other types as they are."""
    return rows.float() if rows.dtype == torch.bfloat16 else rows
