"""Causal sequence encoders: items [sequences, length, dim] in, the state after each of them out.

One contract: the state at a place depends on the items up to it and on nothing after it. So items after it,
or padding, change nothing, and one pass gives the state that predicts every next item. ``packed`` reads sequences of several
lengths in one pass: what treats each place alone treats the places of all lengths together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from shortlist.features import History

__all__ = ["ENCODERS", "Shape", "causal_encoder", "packed"]

Shape: TypeAlias = tuple[int, int]
"""How many sequences, and their length."""


class Average(nn.Module):
    """State p is ``Σ_j≤p w(p − j) x_j``, divided by ``Σ_j≤p w(p − j)`` unless it is a sum.

    w: 1 for mean and sum; ``decay ** age`` for ema; ``exp θ_age``, learned from 0, for weighted.
    """

    def __init__(self, history: History) -> None:
        super().__init__()
        self.kind = history.encoder
        self.dropout = nn.Dropout(history.dropout)
        self.log_weight: Tensor
        ages = torch.arange(history.length, dtype=torch.float32)
        if history.encoder == "weighted":
            self.log_weight = nn.Parameter(torch.zeros(history.length))
        else:
            decay = torch.tensor(history.decay if history.encoder == "ema" else 1.0)
            self.register_buffer("log_weight", ages * decay.log(), persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        length = items.shape[1]
        items = self.dropout(items)
        if self.kind in ("mean", "sum"):
            sums = items.cumsum(1)
            count = torch.arange(1, length + 1, device=items.device, dtype=items.dtype)
            return sums if self.kind == "sum" else sums / count.unsqueeze(1)
        place = torch.arange(length, device=items.device)
        age = place.unsqueeze(1) - place  # [length, length], p − j
        log_weight = self.log_weight[age.clamp(min=0)].masked_fill(age < 0, -torch.inf)
        return log_weight.softmax(1).to(items.dtype) @ items


class Gru(nn.Module):
    """Gated recurrent units (Cho et al. 2014; for sessions Hidasi et al. 2016)."""

    def __init__(self, history: History, dim: int) -> None:
        super().__init__()
        self.before = nn.Dropout(history.dropout)
        between = history.dropout if history.layers > 1 else 0.0
        self.gru = nn.GRU(dim, dim, history.layers, batch_first=True, dropout=between)
        self.after = nn.Linear(dim, dim)

    def forward(self, items: Tensor) -> Tensor:
        states, _ = self.gru(self.before(items))
        return self.after(states)  # type: ignore[no-any-return]


class _Positions(nn.Module):
    """Items scaled by √dim plus a learned vector of their place, with dropout; then the blocks; then a LayerNorm."""

    def __init__(self, history: History, dim: int, block: Callable[[History, int], nn.Module]) -> None:
        super().__init__()
        self.scale = dim**0.5
        self.places = nn.Parameter(torch.randn(history.length, dim) * 0.02)
        self.dropout = nn.Dropout(history.dropout)
        self.blocks = nn.ModuleList(block(history, dim) for _ in range(history.layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, items: Tensor) -> Tensor:
        sequences, length, _ = items.shape
        return self.packed(items.flatten(0, 1), [(sequences, length)]).view(items.shape)

    def packed(self, items: Tensor, shapes: Sequence[Shape]) -> Tensor:
        """States ``[items, dim]``."""
        states = self.dropout(_each(items * self.scale, shapes, lambda part: part + self.places[: part.shape[1]]))
        for block in self.blocks:
            states = block(states, shapes)
        return self.norm(states)  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """``x + attention(norm x)``, then ``x + W₂ relu(W₁ norm x)``; each place attends to itself and what is before."""

    def __init__(self, history: History, dim: int) -> None:
        super().__init__()
        self.heads = history.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        inner = dim * history.feedforward
        self.inner = nn.Sequential(nn.Linear(dim, inner), nn.ReLU(), nn.Dropout(history.dropout), nn.Linear(inner, dim))
        self.dropout = nn.Dropout(history.dropout)

    def forward(self, states: Tensor, shapes: Sequence[Shape]) -> Tensor:
        read = _each(self.query_key_value(self.norm_1(states)), shapes, self._read)
        states = states + self.dropout(self.out(read))
        return states + self.dropout(self.inner(self.norm_2(states)))  # type: ignore[no-any-return]

    def _read(self, query_key_value: Tensor) -> Tensor:
        query, key, value = _heads(query_key_value, 3, self.heads)
        read = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True
        )  # [sequences, heads, length, …]
        return read.transpose(1, 2).flatten(2)


class Hstu(nn.Module):
    """``x + W (norm(A V) ∘ U)`` with U, V, Q, K = silu(W norm x) and A = silu(Q Kᵀ + b) / places, b learned by age.

    Source: Zhai et al. 2024, "Actions speak louder than words", without the bias by time.
    """

    def __init__(self, history: History, dim: int) -> None:
        super().__init__()
        self.heads = history.heads
        self.norm_in, self.norm_read = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.gates = nn.Linear(dim, 4 * dim)
        self.by_age = nn.Parameter(torch.zeros(history.heads, history.length))
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(history.dropout)

    def forward(self, states: Tensor, shapes: Sequence[Shape]) -> Tensor:
        gates = functional.silu(self.gates(self.norm_in(states)))
        query_key_value, gate = gates.split([3 * states.shape[1], states.shape[1]], dim=1)
        read = _each(query_key_value, shapes, self._read)
        return states + self.dropout(self.out(self.norm_read(read) * gate))  # type: ignore[no-any-return]

    def _read(self, query_key_value: Tensor) -> Tensor:
        length = query_key_value.shape[1]
        query, key, value = _heads(query_key_value, 3, self.heads)  # [sequences, heads, length, dim of a head]
        place = torch.arange(length, device=query.device)
        age = place.unsqueeze(1) - place  # [length, length]
        bias = self.by_age[:, age.clamp(min=0)]  # [heads, length, length]
        scores = functional.silu(query @ key.transpose(2, 3) / query.shape[3] ** 0.5 + bias)
        seen = (age >= 0) / (place + 1).unsqueeze(1)  # 1 / places up to p, 0 after
        read = (scores * seen.to(scores.dtype)) @ value
        return read.transpose(1, 2).flatten(2)


def packed(encoder: nn.Module, items: Tensor, shapes: Sequence[Shape]) -> Tensor:
    """The state after every item ``[items, dim]`` of sequences of several lengths, one after another.

    Args:
        items: ``[items, dim]``.
        shapes: those of the sequences, in the order of the items.
    """
    if isinstance(encoder, _Positions):
        return encoder.packed(items, shapes)
    return _each(items, shapes, encoder)


def _each(items: Tensor, shapes: Sequence[Shape], work: Callable[[Tensor], Tensor]) -> Tensor:
    """``work`` on the sequences of each length, ``[sequences, length, …]`` in and out, one after another ``[items, …]``."""
    if len(shapes) == 1:
        return work(items.view(*shapes[0], -1)).flatten(0, 1)
    parts = items.split([sequences * length for sequences, length in shapes])
    return torch.cat([work(part.view(*shape, -1)).flatten(0, 1) for part, shape in zip(parts, shapes, strict=True)])


def _heads(states: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """``parts`` tensors ``[sequences, heads, length, dim of a head]`` of ``[sequences, length, parts · dim]``."""
    split = states.unflatten(2, (parts, heads, -1))  # [sequences, length, parts, heads, …]
    return tuple(split.permute(2, 0, 3, 1, 4).unbind(0))


ENCODERS: dict[str, Callable[[History, int], nn.Module]] = {
    "mean": lambda history, dim: Average(history),
    "sum": lambda history, dim: Average(history),
    "ema": lambda history, dim: Average(history),
    "weighted": lambda history, dim: Average(history),
    "gru": Gru,
    "transformer": lambda history, dim: _Positions(history, dim, SelfAttention),
    "hstu": lambda history, dim: _Positions(history, dim, Hstu),
}


def causal_encoder(history: History, dim: int, generator: torch.Generator | None = None) -> nn.Module:
    """The encoder that ``history`` asks for, on items of ``dim``; its weights follow from ``generator``."""
    encoder = ENCODERS[history.encoder](history, dim)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if parameter.ndim == 2 and not name.endswith(("places", "by_age")):  # Glorot uniform, as Keras' Dense
                bound = (6.0 / sum(parameter.shape)) ** 0.5
                parameter.uniform_(-bound, bound, generator=generator)
            elif name.endswith("places"):
                parameter.normal_(0, 0.02, generator=generator)
            elif "bias" in name:
                parameter.zero_()
    return encoder
