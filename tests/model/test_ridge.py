"""Rows estimated from features: by hand, against the plain leave-one-out, and where features tell nothing."""

from __future__ import annotations

import torch

from shortlist.model.ridge import PENALTIES, estimated


def plain(features: torch.Tensor, rows: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    """The same, leaving each row out in turn and solving again; scale and centre are those of all rows."""
    x = features.double()
    x, of = (x - x.mean(0)) / x.std(0, unbiased=False), (of.double() - x.mean(0)) / x.std(0, unbiased=False)
    y = rows.double()

    def solve(x: torch.Tensor, y: torch.Tensor, penalty: float) -> torch.Tensor:
        """Weights with a free constant as the last."""
        ones = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
        shrink = torch.diag(torch.tensor([penalty * len(features)] * x.shape[1] + [0.0], dtype=x.dtype))
        weights: torch.Tensor = torch.linalg.solve(ones.T @ ones + shrink, ones.T @ y)
        return weights

    errors = {}
    for penalty in PENALTIES:
        penalty = min(penalty, 1e12)
        total = 0.0
        for one in range(len(x)):
            others = torch.arange(len(x)) != one
            weights = solve(x[others], y[others], penalty)
            total += float((y[one] - x[one] @ weights[:-1] - weights[-1]).square().sum())
        errors[penalty] = total
    weights = solve(x, y, min(errors, key=lambda penalty: errors[penalty]))
    return of @ weights[:-1] + weights[-1]


def test_as_with_each_row_left_out_in_turn() -> None:
    generator = torch.Generator().manual_seed(3)
    for noise in (0.1, 1.0, 5.0):
        x = torch.randn(12, 3, generator=generator)
        y = x @ torch.randn(3, 2, generator=generator) + noise * torch.randn(12, 2, generator=generator)
        new = torch.randn(4, 3, generator=generator)
        assert torch.allclose(estimated(x, y, new), plain(x, y, new).float(), atol=1e-5), noise


def test_the_mean_where_features_tell_nothing() -> None:
    """A feature that is the same everywhere; and one that points the other way for every row that is left out."""
    rows = torch.tensor([[1.0, 0.0], [3.0, 6.0]])
    assert estimated(torch.ones(2, 1), rows, torch.tensor([[5.0]])).tolist() == [[2.0, 3.0]]
    alternating = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    noise = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    assert estimated(alternating, noise, torch.tensor([[1.0]])).tolist() == [[0.0]]


def test_one_known_row_is_the_mean() -> None:
    assert estimated(torch.tensor([[2.0]]), torch.tensor([[7.0]]), torch.tensor([[9.0]])).tolist() == [[7.0]]
