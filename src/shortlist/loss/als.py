"""Matrix factorisation by alternating least squares: what each sweep makes least."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from shortlist.errors import ConfigError
from shortlist.loss.chosen import Chosen

__all__ = ["ALS"]

DENSITY, MOST = 2.0, 0.2  # the weight of a pair that nobody chose: times the density, at most


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
        rows, columns = int((chosen.offsets.diff() > 0).sum()), int((torch.bincount(chosen.columns) > 0).sum())
        return min(DENSITY * float(chosen.weights.sum()) / max(rows * columns, 1), MOST)

    def on(self, chosen: Chosen) -> ALS:
        """The same with ``unobserved`` as a number, for this table."""
        return replace(self, unobserved=self.weight(chosen))
