"""How the scores of several sources are added to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import ConfigError
from shortlist.language import counted

__all__ = ["Blend", "Weights"]

LOWEST, HIGHEST = 1e-30, 1e30  # of weights and temperatures: what scores in float32 can be divided and multiplied by


@dataclass(frozen=True)
class Blend:
    """How the scores of two sources are added.

    With s the towers' scores and n the neighbours' of the candidates that a query may have:

        score(c) = (1 − share) · exp((s(c) − max s) / temperature) + share · n(c) / max n

    Both parts are between 0 and 1, whatever the sources' scale, and 1 is each source's best. A query without neighbours
    has the first part alone. Where both parts are 0 (a share of 1, or so far below the best that the first part
    rounds to 0), s(c) − max s is used instead: below all others, such candidates are in the towers' order.

    Args:
        share: the neighbours' share of the score, from 0 to 1.
        temperature: above 0, in the unit of the towers' scores.

    Example:
        >>> Blend(0.5, temperature=1.0).total(np.array([2.0, 2.0 - np.log(2)]), np.array([0.0, 3.0]), 2.0, 3.0)
        array([0.5 , 0.75])
    """

    share: float
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name, value, high in (("share", self.share, 1.0), ("temperature", self.temperature, HIGHEST)):
            low = 0.0 if name == "share" else LOWEST
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise ConfigError(
                    f"a mixture got {name}={value!r}; a number from 0 to 1 was expected."
                    if name == "share"
                    else f"a mixture got temperature={value!r}; a number from {LOWEST:g} to {HIGHEST:g} was expected."
                )

    @property
    def weights(self) -> Weights:
        """The same for any number of sources."""
        return Weights((1 - self.share, self.share), (self.temperature,))

    def total(
        self, towers: NDArray[Any], neighbours: NDArray[Any], best_tower: float, best_neighbour: float
    ) -> NDArray[np.float64]:
        """The sum of both parts, for candidates with these scores.

        Args:
            towers: the towers' scores.
            neighbours: the neighbours' scores.
            best_tower: the largest score of the towers.
            best_neighbour: the largest score of the neighbours; 0 without neighbours.
        """
        return self.weights.total([towers], [neighbours], [best_tower], [best_neighbour])


@dataclass(frozen=True)
class Weights:
    """How the scores of any number of sources are added.

    With s the scores of towers, and n those of a table of neighbours or of a ranked list, of the candidates that a query may
    have:

        score(c) = Σ_towers w · exp((s(c) − max s) / temperature) + Σ_others w · n(c) / max n

    Each part is between 0 and 1 before its weight counts. A source without a score for a query adds nothing. Where the sum is
    0, s(c) − max s of the first towers is used instead, as in ``Blend``.

    Args:
        values: a weight for each source, at least 0: of all towers, then of the others.
        temperatures: one for each of the towers, above 0, in the unit of their scores.

    Raises:
        ConfigError: for weights or temperatures out of range.

    Example:
        >>> two = np.array([2.0, 2.0 - np.log(2)])
        >>> Weights((0.5, 0.25, 0.25), (1.0, 1.0)).total([two, two[::-1]], [np.array([0.0, 3.0])], [2.0, 2.0], [3.0])
        array([0.625, 0.75 ])
    """

    values: tuple[float, ...]
    temperatures: tuple[float, ...]

    def __post_init__(self) -> None:
        for value in self.values:
            if not _is_number(value) or not 0 <= value <= HIGHEST:
                raise ConfigError(f"a mixture got the weight {value!r}; a number from 0 to {HIGHEST:g} was expected.")
        if not any(self.values):
            raise ConfigError("all weights of a mixture are 0; at least one above 0 was expected.")
        for value in self.temperatures:
            if not _is_number(value) or not LOWEST <= value <= HIGHEST:
                raise ConfigError(
                    f"a mixture got temperature={value!r}; a number from {LOWEST:g} to {HIGHEST:g} was expected."
                )
        if not 1 <= len(self.temperatures) <= len(self.values):
            raise ConfigError(
                f"a mixture got {counted(len(self.temperatures), 'temperature')} and {counted(len(self.values), 'weight')}; a temperature for each "
                "of the towers and a weight for each source were expected."
            )

    @property
    def of_towers(self) -> tuple[float, ...]:
        """The weights of the towers."""
        return self.values[: len(self.temperatures)]

    @property
    def of_others(self) -> tuple[float, ...]:
        """The weights of tables and ranked lists."""
        return self.values[len(self.temperatures) :]

    def total(
        self,
        towers: Sequence[NDArray[Any]],
        others: Sequence[NDArray[Any]],
        best_towers: Sequence[float],
        best_others: Sequence[float],
    ) -> NDArray[np.float64]:
        """The sum of all parts, float64 ``[candidates]``.

        Args:
            towers: scores ``[candidates]`` of each towers.
            others: scores ``[candidates]`` of each other source.
            best_towers: the largest score of each towers.
            best_others: the largest score of each other source; 0 for one without a score.
        """
        below = [np.subtract(one, best, dtype=np.float64) for one, best in zip(towers, best_towers, strict=True)]
        weights, temperatures = self.of_towers, self.temperatures
        total: NDArray[np.float64] = weights[0] * np.exp(below[0] / temperatures[0])
        for one, weight, temperature in zip(below[1:], weights[1:], temperatures[1:], strict=True):
            total = total + weight * np.exp(one / temperature)
        for other, weight, best in zip(others, self.of_others, best_others, strict=True):
            if best > 0:
                total = total + weight * np.divide(other, best, dtype=np.float64)
        return np.where(total > 0, total, below[0])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
