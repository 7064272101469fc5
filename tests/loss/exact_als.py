"""ALS as it is written: each row's system of equations, solved by itself in float64."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from shortlist.loss import ALS, Chosen

__all__ = ["exact_rows", "exact_sweeps"]


def exact_rows(chosen: Chosen, other: NDArray[np.float64], task: ALS) -> NDArray[np.float64]:
    """The best vector of each row while ``other`` stays: ``(Σ w v vᵀ + unobserved · OᵀO + decay)⁻¹ Σ w v``."""
    offsets, columns, weights = (one.numpy() for one in (chosen.offsets, chosen.columns, chosen.weights))
    unobserved = task.weight(chosen)
    found = np.zeros((len(chosen), other.shape[1]))
    for row, (low, high) in enumerate(itertools.pairwise(offsets)):
        own, weight = other[columns[low:high]], weights[low:high].astype(np.float64)
        decay = task.regularization * (weight.sum() + unobserved * chosen.width) ** task.exponent
        left = (own.T * weight) @ own + unobserved * other.T @ other + decay * np.eye(other.shape[1])
        found[row] = np.linalg.solve(left, own.T @ weight)
    return found


def exact_sweeps(
    chosen: Chosen, start: NDArray[np.float64], task: ALS, sweeps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The vectors of both sides after so many sweeps from the candidates' vectors ``start``."""
    turned, task, candidate = chosen.turned(), task.on(chosen), start
    query = np.zeros((len(chosen), start.shape[1]))
    for _ in range(sweeps):
        query = exact_rows(chosen, candidate, task)
        candidate = exact_rows(turned, query, task)
    return query, candidate
