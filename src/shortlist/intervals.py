"""Confidence intervals of figures, by the bootstrap over queries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["ENDS", "Interval", "PairSums", "bootstrap", "chance", "interval_of", "p_in_words", "resampled", "wilson"]

RESAMPLES = 1000
TAIL = 50 * (1 - 0.95)  # percent on either side of an interval
DRAWS_AT_A_TIME = 1 << 22
NORMAL = 1.959964  # standard deviations on either side that hold 95% of a normal distribution
ENDS = {"low": pl.Float64, "high": pl.Float64}
"""Types of the columns of a table that has both ends of an interval."""


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Both ends as plain values, None where there is no interval."""
        return (None if math.isnan(self.low) else self.low), (None if math.isnan(self.high) else self.high)


@dataclass(frozen=True, eq=False)
class PairSums:
    """A metric as one fraction per query: its value is ``numerator.sum() / denominator.sum()``; float64 ``[queries]``.

    Metrics of queries have a denominator of 1 for each query that counts; metrics of pairs have the query's pairs.
    """

    numerator: NDArray[np.float64]
    denominator: NDArray[np.float64]

    @property
    def value(self) -> float:
        """The metric; NaN where nothing counts."""
        total = float(self.denominator.sum())
        return float(self.numerator.sum()) / total if total else float("nan")


def bootstrap(sums: Mapping[str, PairSums], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
    """A 95% percentile interval for each metric, from resampled queries (Efron, Tibshirani 1993, ch. 13).

    Queries, not rows, are drawn: rows of one query are not independent. A metric with fewer than two queries that count
    has no interval: (nan, nan).
    """
    if not sums:
        return {}
    values = resampled(list(sums.values()), resamples, seed)
    intervals = {}
    for (name, one), column in zip(sums.items(), values.T, strict=True):
        several = np.count_nonzero(one.denominator) > 1
        intervals[name] = interval_of(column) if several else Interval(math.nan, math.nan)
    return intervals


def interval_of(drawn: NDArray[np.float64]) -> Interval:
    """The 95% percentile interval of resampled values ``[resamples]``; those that are not numbers are left out, and of fewer than
    two there is none: (nan, nan)."""
    usable = drawn[np.isfinite(drawn)]
    low, high = np.percentile(usable, [TAIL, 100 - TAIL]) if len(usable) > 1 else (math.nan, math.nan)
    return Interval(float(low), float(high))


def wilson(share: float, count: int) -> Interval:
    """The 95% score interval of a share of ``count`` independent observations (Wilson 1927); it has a width even at 0 and 1.

    Example:
        >>> [round(end, 3) for end in wilson(0.0, 3)]
        [0.0, 0.562]
    """
    squared = NORMAL**2
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    half = NORMAL / (1 + squared / count) * math.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    return Interval(max(middle - half, 0.0), min(middle + half, 1.0))


def resampled(sums: list[PairSums], resamples: int, seed: int) -> NDArray[np.float64]:
    """The metrics over resampled queries → float64 ``[resamples, metrics]``; a query without pairs is never drawn."""
    parts = np.array([[one.numerator, one.denominator] for one in sums])  # [metrics, 2, queries]
    parts = parts[:, :, parts[:, 1].any(0)]
    metrics, _, queries = parts.shape
    totals = np.zeros((resamples, metrics, 2))
    if queries:
        generator = np.random.default_rng(seed)
        flat = np.ascontiguousarray(parts.reshape(metrics * 2, queries).T)  # [queries, metrics * 2]
        step = max(1, DRAWS_AT_A_TIME // queries)
        for start in range(0, resamples, step):
            count = min(step, resamples - start)
            drawn = generator.integers(queries, size=(count, queries))
            drawn += queries * np.arange(count)[:, None]
            times = np.bincount(drawn.ravel(), minlength=count * queries).reshape(count, queries)
            totals[start : start + count] = (times.astype(np.float64) @ flat).reshape(-1, metrics, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        values: NDArray[np.float64] = totals[..., 0] / totals[..., 1]
    return values


def p_in_words(p: float) -> str:
    """A p-value as people write it.

    Example:
        >>> p_in_words(0.0312), p_in_words(0.00004)
        ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def chance(gain: NDArray[np.float64], draws: int, seed: int) -> float:
    """How often chance alone would bring a sum as large: a randomisation test that turns each query's gain round or not.

    The p-value counts the observed sum as one of the draws, so it is never 0.

    Args:
        gain: of each query, ``[queries]``.
        draws: how many times.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    moved = gain[gain != 0]
    total = abs(float(gain.sum()))
    step = max(1, DRAWS_AT_A_TIME // max(len(moved), 1))
    extreme = 0
    for start in range(0, draws, step):
        signs = generator.integers(0, 2, (min(step, draws - start), len(moved)), dtype=np.int8) * 2 - 1
        extreme += int(np.count_nonzero(np.abs(signs @ moved) >= total * (1 - 1e-9)))
    return (extreme + 1) / (draws + 1)
