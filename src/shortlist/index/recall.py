"""How much of the true top k an index finds: the mean, how certain that is, and the worst queries."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.index.contract import Index
from shortlist.index.values import Floats, Hits

__all__ = ["Recall", "query_recalls", "recall_of", "true_scores"]

_Z = 2.0  # standard errors between a mean and what may be promised from it
_TAILS = (0.05, 0.01)


@dataclass(frozen=True)
class Recall:
    """Recall at one k over a sample of queries.

    Attributes:
        k: of the top k.
        queries: how many were asked.
        mean: over the queries, of the found part of each one's true top k.
        lower: the mean less two standard errors, a lower bound for the mean of all queries.
        worst_5: mean of the worst 5% of the queries (at least one).
        worst_1: mean of the worst 1% of the queries (at least one).
        least: of the worst query.
    """

    k: int
    queries: int
    mean: float
    lower: float
    worst_5: float
    worst_1: float
    least: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def true_scores(exact: Hits, k: int) -> Floats:
    """Score of each query's k-th best candidate, ``[queries]``; ``exact`` holds at least k of each."""
    kth: Floats = exact.scores[exact.offsets[:-1] + k - 1]
    return kth


def query_recalls(index: Index, queries: Floats, kth: Floats, k: int) -> npt.NDArray[np.float64]:
    """The part of each query's true top k that ``index`` finds, ``[queries]``.

    A candidate that scores as much as the true k-th counts as found, whichever of several equals it is. The index
    holds at least k candidates.
    """
    hits = index.search(queries, k)
    found = hits.scores.reshape(queries.shape[0], k) >= kth[:, None]
    recalls: npt.NDArray[np.float64] = found.mean(axis=1, dtype=np.float64)
    return recalls


def recall_of(recalls: npt.NDArray[np.float64], k: int) -> Recall:
    """A summary of recalls per query.

    The standard error is that of the sample, but never less than if each of a query's k were found or lost
    independently of the others: a few perfect queries prove little.
    """
    m = recalls.size
    mean = float(recalls.mean())
    spread = float(recalls.var(ddof=1)) if m > 1 else 0.0
    error = math.sqrt(max(spread, mean * (1 - mean) / k, 0.25 / (m * k * k)) / m)
    ordered = np.sort(recalls)
    worst = [float(ordered[: max(1, int(m * part))].mean()) for part in _TAILS]
    return Recall(k, m, mean, mean - _Z * error, worst[0], worst[1], float(ordered[0]))
