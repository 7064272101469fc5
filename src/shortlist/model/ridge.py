"""Rows of a table, estimated from features."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["estimated"]

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, float("inf"))


def estimated(features: Tensor, rows: Tensor, of: Tensor) -> Tensor:
    """The rows ``[new, dim]`` that ridge regression expects for features ``of [new, width]``.

    1. ``features [known, width]`` and ``rows [known, dim]`` are centred, features scaled to a standard deviation of 1.
    2. ``w = (XᵀX + penalty · known · 1)⁻¹ XᵀY`` for each of a few penalties; an infinite one gives the mean of the rows.
    3. The penalty whose leave-one-out errors are smallest is taken (their closed form: the residual over 1 − leverage).

    Source: Hoerl, Kennard 1970; Allen 1974 (PRESS).

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
        >>> estimated(x, 2 * x + 1, torch.tensor([[4.0]])).round(decimals=1).tolist()
        [[9.0]]
    """
    x, y = features.double(), rows.double()
    middle, centre = x.mean(0), y.mean(0)
    spread = x.std(0, unbiased=False) if len(x) > 1 else torch.zeros_like(middle)
    scale = torch.where(spread > 1e-12, 1 / spread.clamp(min=1e-12), torch.zeros_like(spread))
    x, y = (x - middle) * scale, y - centre
    values, axes = torch.linalg.eigh(x.T @ x)  # [width], [width, width]
    values = values.clamp(min=0)
    turned = x @ axes  # [known, width]
    projected = turned.T @ y  # [width, dim]
    best, chosen = float("inf"), torch.zeros_like(projected)
    for penalty in PENALTIES:
        shrink = 1 / (values + penalty * len(x))  # [width]; 0 for an infinite penalty
        leverage = (turned.square() * shrink).sum(1) + 1 / len(x)
        weights = shrink[:, None] * projected
        error = float(((y - turned @ weights) / (1 - leverage).clamp(min=1e-9)[:, None]).square().sum())
        if error < best:
            best, chosen = error, weights
    expected: Tensor = (((of.double() - middle) * scale) @ axes @ chosen + centre).to(rows.dtype)
    return expected
