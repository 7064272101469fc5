"""Rows of embedding tables that are divided over processes: read from those that hold them, and their gradients sent back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from shortlist.errors import ConfigError

__all__ = ["Elsewhere", "RemoteRows"]


class Exchange(Protocol):
    """The processes that hold the rows, as far as reading them needs."""

    size: int

    def exchanged(self, values: Tensor, sent: list[int], received: list[int]) -> Tensor:
        """``sent[r]`` rows of ``values`` go to rank r; returns ``received[r]`` rows of each, in the order of ranks."""


class Route:
    """The rows of a table that one read requested from each process, and those that the others requested from this one."""

    def __init__(self, processes: Exchange, codes: Tensor) -> None:
        owner = codes % processes.size
        self.order = torch.argsort(owner, stable=True)
        counts = torch.bincount(owner, minlength=processes.size)
        one = [1] * processes.size
        self.sent: list[int] = counts.tolist()
        self.received: list[int] = processes.exchanged(counts, one, one).tolist()
        self.asked = processes.exchanged(
            codes[self.order] // processes.size, self.sent, self.received
        )  # [asked], rows here


class RemoteRows:
    """The rows of a table that is divided; ``cardinality`` of them on all processes together."""

    def __init__(self, processes: Exchange, cardinality: int) -> None:
        self.processes, self.cardinality = processes, cardinality

    def read(self, weight: Tensor, codes: Tensor) -> tuple[Tensor, Route]:
        """Rows ``[codes, dim]`` of the whole table; ``weight`` is the part of this process."""
        route = Route(self.processes, codes)
        answers = self.processes.exchanged(weight.index_select(0, route.asked), route.received, route.sent)
        return torch.empty_like(answers).index_copy_(0, route.order, answers), route

    def gradients(self, reads: Iterable[tuple[Any, Tensor | None, Tensor]]) -> tuple[Tensor, Tensor] | None:
        """Distinct rows of this process's part, and their gradients summed over processes and reads.

        Args:
            reads: the route, the gradient (None: zero) and the rows of each read.
        """
        codes, gradients = [], []
        for route, gradient, rows in reads:
            own = torch.zeros_like(rows) if gradient is None else gradient
            codes.append(route.asked)
            gradients.append(self.processes.exchanged(own[route.order], route.sent, route.received))
        if not codes:
            return None
        distinct, place = torch.unique(torch.cat(codes), return_inverse=True)
        total = gradients[0].new_zeros(len(distinct), gradients[0].shape[1])
        return distinct, total.index_add_(0, place, torch.cat(gradients))


class Elsewhere:
    """Replaces ``RemoteRows`` after training, when the whole table is on the first process."""

    def __init__(self, rank: int, size: int, cardinality: int) -> None:
        self.rank, self.size, self.cardinality = rank, size, cardinality

    def read(self, weight: Tensor, codes: Tensor) -> tuple[Tensor, Any]:
        """Refuse to read a row.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"rank {self.rank} of {self.size} has only a part of this table; after training rank 0 has the whole model.",
            hint='evaluate and save on rank 0 alone: if os.environ["RANK"] == "0"',
        )

    def gradients(self, reads: Iterable[tuple[Any, Tensor | None, Tensor]]) -> tuple[Tensor, Tensor] | None:
        """No gradients."""
        return None
