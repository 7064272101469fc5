"""The layers between a tower's embedded features and its vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Combine", "Cross", "Joined", "Shape", "unit_rows"]

Combine = Literal["concat", "sum"]

SHORTEST = 1e-12  # a vector that is shorter is divided by this


@dataclass(frozen=True)
class Shape:
    """How embedded features become a vector of ``dim``; options as in ``Tower``."""

    dim: int
    combine: Combine
    cross: int
    hidden: Sequence[int]
    layer_norm: bool
    dropout: float

    @property
    def plain(self) -> bool:
        """Whether only the embeddings are learned."""
        return not self.cross and not self.hidden


class Joined(nn.Module):
    """Features side by side or added up, through cross layers, hidden layers, and one linear layer to ``dim``.

    A sum without layers is the vector itself; in any sum, features of another width than ``dim`` are first brought to it
    by a matrix of their own.
    """

    def __init__(self, widths: Mapping[str, int], shape: Shape, generator: torch.Generator | None) -> None:
        super().__init__()
        self.added = shape.combine == "sum"
        other = {name: width for name, width in widths.items() if self.added and width != shape.dim}
        self.projections = nn.ModuleDict(
            {name: _linear(width, shape.dim, generator, bias=False) for name, width in other.items()}
        )
        width = shape.dim if self.added else sum(widths.values())
        self.crosses = nn.ModuleList(Cross(width, generator) for _ in range(shape.cross))
        layers: list[nn.Module] = []
        for before, after in pairwise([width, *shape.hidden]):
            layers.append(_linear(before, after, generator))
            if shape.layer_norm:
                layers.append(nn.LayerNorm(after))
            layers += [nn.ReLU(), nn.Dropout(shape.dropout)]
        if not (self.added and shape.plain):
            layers.append(_linear(shape.hidden[-1] if shape.hidden else width, shape.dim, generator))
        self.stack = nn.Sequential(*layers)

    def forward(self, embedded: Mapping[str, Tensor]) -> Tensor:
        """Vectors ``[rows, dim]`` of features ``[rows, width]`` each."""
        if self.added:
            parts = [
                self.projections[name](value) if name in self.projections else value for name, value in embedded.items()
            ]
            first = torch.stack(parts).sum(0)
        else:
            first = torch.cat(list(embedded.values()), dim=1)
        crossed = first
        for cross in self.crosses:
            crossed = cross(first, crossed)
        return self.stack(crossed)  # type: ignore[no-any-return]


class Cross(nn.Module):
    """A cross layer: ``x0 · (W x + b) + x``, elementwise, so that features multiply each other.

    Source: Wang et al. 2021, "DCN V2: Improved deep & cross network", equation 1.
    """

    def __init__(self, width: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.linear = _linear(width, width, generator)

    def forward(self, first: Tensor, crossed: Tensor) -> Tensor:
        """``[rows, width]`` of the layer's input ``crossed`` and the joined features ``first``."""
        return first * self.linear(crossed) + crossed  # type: ignore[no-any-return]


def unit_rows(vectors: Tensor) -> Tensor:
    """Vectors ``[rows, dim]`` at length 1, as ``nn.functional.normalize`` makes them; their gradient takes half of its time."""
    if torch.is_grad_enabled() and vectors.requires_grad:
        return _UnitRows.apply(vectors)  # type: ignore[no-untyped-call, no-any-return]
    return nn.functional.normalize(vectors, dim=1, eps=SHORTEST)


class _UnitRows(torch.autograd.Function):
    """With u = x / |x| and the gradient g of u, that of x is ``(g − u (u·g)) / |x|``, where |x| is not held at ``SHORTEST``."""

    @staticmethod
    def forward(ctx, vectors):  # type: ignore[no-untyped-def]
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min_(SHORTEST)  # [rows, 1]
        unit = vectors / length
        ctx.save_for_backward(unit, length)
        return unit

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        unit, length = ctx.saved_tensors
        along = torch.linalg.vecdot(gradient, unit).unsqueeze_(1) * (length > SHORTEST)  # [rows, 1]
        return torch.addcmul(gradient, unit, along, value=-1).div_(length)


def _linear(before: int, after: int, generator: torch.Generator | None, bias: bool = True) -> nn.Linear:
    """A linear layer that starts as Keras' Dense does: Glorot uniform, no offset."""
    linear = nn.Linear(before, after, bias=bias)
    bound = (6.0 / (before + after)) ** 0.5
    with torch.no_grad():
        linear.weight.uniform_(-bound, bound, generator=generator)
        if bias:
            linear.bias.zero_()
    return linear
