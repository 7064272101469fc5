"""The sweeps of alternating least squares: in each, a few steps of conjugate gradients from where the last one ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.linalg import vecdot

from shortlist._forks import refuse_after_fork
from shortlist.errors import TrainingError
from shortlist.loss.als import ALS
from shortlist.loss.chosen import Block, Chosen

__all__ = ["Sweeps", "objective", "solve"]

STEPS = 3  # of conjugate gradients in each half of a sweep


class Sweeps:
    """The vectors of both sides, which each sweep makes better in turn.

    Args:
        chosen: who chose what.
        task: the weights and penalties.
        dim: numbers of a vector.
        generator: of the candidates' vectors that the first sweep starts from.

    Attributes:
        chosen: who chose what.
        turned: the same with columns as rows.
        query: vectors of the rows ``[rows, dim]``; 0 before the first sweep, and for a row without a choice.
        candidate: vectors of the columns ``[columns, dim]``; random before the first sweep.
    """

    def __init__(self, chosen: Chosen, task: ALS, dim: int, generator: torch.Generator) -> None:
        self.chosen, self.turned, self._task = chosen, chosen.turned(), task.on(chosen)
        start = torch.randn(chosen.width, dim, generator=generator) * (0.1 / dim**0.5)
        self.candidate = start.to(chosen.weights.device)
        self.query = self.candidate.new_zeros(len(chosen), dim)
        self._scores: list[Tensor] | None = None

    def sweep(self) -> float:
        """Make the queries' vectors better, then the candidates'; returns the objective after both.

        Raises:
            TrainingError: where numbers are no longer finite.
        """
        try:
            loss = self._sweep()
        except RuntimeError as error:
            if not str(error).startswith("linalg."):
                raise
            raise self._not_finite() from error
        if not math.isfinite(loss):
            raise self._not_finite()
        return loss

    def _not_finite(self) -> TrainingError:
        least, most = float(self.chosen.weights.min()), float(self.chosen.weights.max())
        if math.isinf(most):
            return TrainingError(
                "ALS cannot solve for these weights: those of one pair add up to more than 3.4e38, the most that float32 holds.",
                hint="divide all weights by one number, or give their logarithm",
            )
        return TrainingError(
            f"ALS cannot solve for weights from {least:g} to {most:g}: numbers are no longer finite in float32.",
            hint="give weights that are nearer to each other, such as their logarithm",
        )

    def _sweep(self) -> float:
        chosen, turned, task = self.chosen, self.turned, self._task
        if self._scores is None:
            self.query = solve(chosen, self.candidate, task)
            self.candidate = solve(turned, self.query, task)
        else:
            self.query = _solved(chosen, self.candidate, task, self.query, self._scores, STEPS)
            self.candidate = solve(turned, self.query, task, self.candidate)
        self._scores = _scores(chosen, self.query, self.candidate)
        return _objective(chosen, turned, self.query, self.candidate, task, self._scores)


def solve(chosen: Chosen, other: Tensor, task: ALS, start: Tensor | None = None, steps: int = STEPS) -> Tensor:
    """Better vectors of the rows ``[rows, dim]``, while those of the columns, ``other [columns, dim]``, stay as they are.

    The best for a row with the vectors v of what it chose solves ``(Σ w v vᵀ + unobserved · OᵀO + decay) x = Σ w v``; for a row
    without a choice that is 0. ``dim`` steps reach it, up to rounding; so do as many as the row has choices, and one more.

    1. In the basis of the eigenvectors of ``unobserved · OᵀO``, that matrix and ``decay`` are one diagonal D for each row.
    2. Conjugate gradients for all rows at once, preconditioned by D.

    Args:
        start: vectors of the rows to begin at; None for 0.
        steps: how many.
    """
    refuse_after_fork("solve()")
    scores = None if start is None else _scores(chosen, start, other)
    return _solved(chosen, other, task, start, scores, steps)


def _solved(
    chosen: Chosen, other: Tensor, task: ALS, start: Tensor | None, scores: Sequence[Tensor] | None, steps: int
) -> Tensor:
    """``solve``, given the dot products of the pairs' vectors, block by block; None for 0."""
    unobserved = task.weight(chosen)
    spectrum, basis = torch.linalg.eigh((unobserved * other.T @ other).double())  # [dim], [dim, dim]
    spectrum, basis = spectrum.clamp(min=0).to(other.dtype), basis.to(other.dtype)
    turned = other @ basis
    decays = _decays(chosen, task, unobserved)
    found = other.new_zeros(len(chosen), other.shape[1]) if start is None else start @ basis
    for number, block in enumerate(chosen.blocks):
        left = block.weights if scores is None else block.weights * (1 - scores[number])  # [pairs]
        diagonal = spectrum + decays[block.rows].unsqueeze(1)  # [rows, dim]
        _descend(block, turned, diagonal, left, found[block.rows], steps)
    back: Tensor = found @ basis.T
    return back


def _descend(block: Block, other: Tensor, diagonal: Tensor, left: Tensor, vectors: Tensor, steps: int) -> None:
    """Steps towards ``(Σ w v vᵀ + D) x = Σ w v`` for each row; ``vectors`` are changed in place.

    Args:
        diagonal: D, ``[rows, dim]``.
        left: ``w (1 − v x)`` for each pair, ``[pairs]``.
    """
    residual = block.sums(left, other).addcmul_(diagonal, vectors, value=-1)  # [rows, dim]
    direction = residual / diagonal
    slope = vecdot(residual, direction)  # [rows]
    for step in range(1, steps + 1):
        along = block.weights * block.dots(direction, other)
        bent = block.sums(along, other).addcmul_(diagonal, direction)
        far = _ratio(slope, vecdot(direction, bent))
        vectors.addcmul_(direction, far)
        if step < steps:
            residual.addcmul_(bent, far, value=-1)
            scaled = residual / diagonal
            before, slope = slope, vecdot(residual, scaled)
            direction = scaled.addcmul_(direction, _ratio(slope, before))


def _ratio(upper: Tensor, lower: Tensor) -> Tensor:
    """One by the other, ``[rows, 1]``; 0 where a row has arrived."""
    return torch.where(lower > 0, upper / lower, 0).unsqueeze(1)


def _scores(chosen: Chosen, vectors: Tensor, other: Tensor) -> list[Tensor]:
    """The dot products of the pairs' vectors, block by block."""
    return [block.dots(vectors[block.rows], other) for block in chosen.blocks]


def _decays(chosen: Chosen, task: ALS, unobserved: float) -> Tensor:
    """The regularization of each row, ``[rows]``."""
    decays: Tensor = task.regularization * (chosen.totals + unobserved * chosen.width) ** task.exponent
    return decays


def objective(chosen: Chosen, turned: Chosen, query: Tensor, candidate: Tensor, task: ALS) -> float:
    """The function that the sweeps minimise, divided by the sum of all weights; 1 where every vector is 0."""
    refuse_after_fork("objective()")
    return _objective(chosen, turned, query, candidate, task, _scores(chosen, query, candidate))


def _objective(
    chosen: Chosen, turned: Chosen, query: Tensor, candidate: Tensor, task: ALS, scores: Sequence[Tensor]
) -> float:
    total, unobserved = 0.0, task.weight(chosen)
    for block, score in zip(chosen.blocks, scores, strict=True):
        total += float((block.weights * (1 - score).square_()).sum(dtype=torch.float64))
    total += unobserved * float(((query.T @ query) * (candidate.T @ candidate)).sum(dtype=torch.float64))
    for side, vectors in ((chosen, query), (turned, candidate)):
        total += float((_decays(side, task, unobserved) * vectors.square().sum(1)).sum(dtype=torch.float64))
    return total / float(chosen.weights.sum(dtype=torch.float64))
