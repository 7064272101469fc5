"""Matrix factorisation by alternating least squares: one side's vectors in closed form while the other's are fixed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.errors import ConfigError

__all__ = ["ALS", "Chosen", "objective", "solve"]

ROWS = 512
DENSITY, MOST = 2.0, 0.2  # the weight of a pair that nobody chose: times the density, at most
ELEMENTS = 1 << 22


@dataclass(frozen=True)
class ALS:
    """A task for ``fit``: matrix factorisation whose vectors are solved for, without gradient descent. An epoch is one sweep.

    With ŷ the dot product of a pair, w how often the pair was chosen (or the sum of its weights), n a row's sum of w and m
    the rows of the other side, each sweep finds the least

        Σ_chosen w (1 − ŷ)² + unobserved · Σ_all ŷ² + regularization · Σ_rows (n + unobserved · m)^exponent ‖row‖²

    for all queries, and then for all candidates. Both towers are one id feature each, and nothing else. A query that training
    never saw has the mean of all queries' vectors; a candidate that nobody chose scores 0, as the formula says.

    Source: Hu, Koren, Volinsky 2008, "Collaborative filtering for implicit feedback datasets"; Rendle et al. 2022,
    "Revisiting the performance of iALS on item recommendation benchmarks".

    Args:
        unobserved: the weight of a pair that nobody chose, against 1 for a chosen one; None takes twice the share of
            all pairs that were chosen, and 0.2 at most, so that the chosen and the other pairs weigh alike in a table
            of any density.
        regularization: how strongly vectors are kept short.
        exponent: how much more strongly the vectors of rows with many choices are kept short.

    Raises:
        ConfigError: for numbers out of range.
    """

    unobserved: float | None = None
    regularization: float = 0.1
    exponent: float = 0.75

    def __post_init__(self) -> None:
        for name in ("unobserved", "regularization"):
            value = getattr(self, name)
            if value is None and name == "unobserved":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigError(f"ALS got {name}={value!r}; a number above 0 was expected.")
        if (
            isinstance(self.exponent, bool)
            or not isinstance(self.exponent, (int, float))
            or not 0 <= self.exponent <= 2
        ):
            raise ConfigError(f"ALS got exponent={self.exponent!r}; a number from 0 to 2 was expected.")

    def weight(self, chosen: Chosen) -> float:
        """The weight of a pair that nobody chose, in this table."""
        if self.unobserved is not None:
            return self.unobserved
        rows, columns = int((chosen.offsets.diff() > 0).sum()), int(torch.unique(chosen.columns).numel())
        return min(DENSITY * float(chosen.weights.sum()) / max(rows * columns, 1), MOST)

    def on(self, chosen: Chosen) -> ALS:
        """The same with ``unobserved`` as a number, for this table."""
        return replace(self, unobserved=self.weight(chosen))


class Chosen(NamedTuple):
    """The choices, row by row: ``offsets [rows + 1]`` into ``columns`` and ``weights`` ``[distinct pairs]``.

    Attributes:
        width: number of columns.
    """

    offsets: Tensor
    columns: Tensor
    weights: Tensor
    width: int

    @classmethod
    def of(
        cls, rows: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float32], shape: tuple[int, int]
    ) -> Chosen:
        """Distinct pairs with the sums of their weights."""
        keys, pair = np.unique(rows * shape[1] + columns, return_inverse=True)
        sums = np.bincount(pair, weights, minlength=len(keys)).astype(np.float32)
        row, column = np.divmod(keys, shape[1])
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
        return cls(torch.from_numpy(offsets), torch.from_numpy(column), torch.from_numpy(sums), shape[1])

    @property
    def rows(self) -> Tensor:
        """The row of each pair."""
        lengths = self.offsets.diff()
        return torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)

    def turned(self) -> Chosen:
        """Columns as rows."""
        order = torch.argsort(self.columns, stable=True)
        counts = torch.bincount(self.columns, minlength=self.width)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return Chosen(offsets, self.rows[order], self.weights[order], len(self.offsets) - 1)

    def to(self, device: torch.device) -> Chosen:
        """The same on another device."""
        return Chosen(self.offsets.to(device), self.columns.to(device), self.weights.to(device), self.width)


def solve(chosen: Chosen, other: Tensor, task: ALS) -> Tensor:
    """The best vectors of the rows ``[rows, dim]`` while those of the columns, ``other [columns, dim]``, stay as they are.

    A row with the vectors v of what it chose is ``(Σ w v vᵀ + unobserved · OᵀO + decay)⁻¹ Σ w v``; without any it is 0.

    1. In the basis of the eigenvectors of ``unobserved · OᵀO``, that matrix and ``decay`` are one diagonal D for each row.
    2. With U the rows ``√w v``, ``(UᵀU + D)⁻¹ Uᵀ = D⁻¹ Uᵀ (U D⁻¹ Uᵀ + 1)⁻¹`` (Woodbury): a row of fewer choices than dimensions
       solves a system of as many unknowns as it has choices.
    """
    dim, unobserved = other.shape[1], task.weight(chosen)
    spectrum, basis = torch.linalg.eigh((unobserved * other.T @ other).double())  # [dim], [dim, dim]
    spectrum, basis = spectrum.clamp(min=0).to(other.dtype), basis.to(other.dtype)
    turned = other @ basis
    lengths = chosen.offsets.diff()
    solved = other.new_zeros(len(lengths), dim)
    order = torch.argsort(lengths)
    for rows in order[lengths[order] > 0].split(ROWS):  # rows of about the same length, padded to the longest
        length = int(lengths[rows].max())
        within = torch.arange(length, device=rows.device)
        for part in rows.split(max(1, ELEMENTS // (max(length, dim) * dim))):
            inside = within < lengths[part].unsqueeze(1)  # [part, length]
            places = (chosen.offsets[part].unsqueeze(1) + within).clamp(max=len(chosen.columns) - 1)
            weights = chosen.weights[places] * inside
            decay = task.regularization * (weights.sum(1) + unobserved * chosen.width) ** task.exponent  # [part]
            root = weights.sqrt().unsqueeze(2)
            scaled = turned[chosen.columns[places]] * root  # U, [part, length, dim]
            solved[part] = _solved(scaled, root, spectrum + decay.unsqueeze(1))
    found: Tensor = solved @ basis.T
    return found


def _solved(scaled: Tensor, root: Tensor, diagonal: Tensor) -> Tensor:
    """``(UᵀU + D)⁻¹ Uᵀ √w`` for each row, ``[rows, dim]``.

    Args:
        scaled: U, ``[rows, length, dim]``.
        root: √w, ``[rows, length]``.
        diagonal: D, ``[rows, dim]``.
    """
    if scaled.shape[1] >= scaled.shape[2]:
        left = scaled.transpose(1, 2) @ scaled + torch.diag_embed(diagonal)
        return torch.cholesky_solve(scaled.transpose(1, 2) @ root, torch.linalg.cholesky(left)).squeeze(2)
    divided = scaled / diagonal.unsqueeze(1)
    left = divided @ scaled.transpose(1, 2)
    left.diagonal(dim1=1, dim2=2).add_(1)
    return (divided.transpose(1, 2) @ torch.cholesky_solve(root, torch.linalg.cholesky(left))).squeeze(2)


def objective(chosen: Chosen, turned: Chosen, query: Tensor, candidate: Tensor, task: ALS) -> float:
    """The function that the sweeps minimise, divided by the sum of all weights; 1 where every vector is 0."""
    total, unobserved = 0.0, task.weight(chosen)
    rows = chosen.rows
    for part in torch.arange(len(rows), device=rows.device).split(max(1, ELEMENTS // query.shape[1])):
        score = (query[rows[part]] * candidate[chosen.columns[part]]).sum(1)
        total += float((chosen.weights[part] * (1 - score).square()).sum(dtype=torch.float64))
    total += unobserved * float(((query.T @ query) * (candidate.T @ candidate)).sum(dtype=torch.float64))
    for side, vectors in ((chosen, query), (turned, candidate)):
        sums = torch.zeros_like(vectors[:, 0]).index_add_(0, side.rows, side.weights)
        decay = task.regularization * (sums + unobserved * side.width) ** task.exponent
        total += float((decay * vectors.square().sum(1)).sum(dtype=torch.float64))
    return total / float(chosen.weights.sum(dtype=torch.float64))
