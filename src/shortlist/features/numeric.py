"""Numbers: as they are, scaled (``Normalization``), or as the bin that they fall into (``Discretization``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import ConfigError, check_flags, checked_list
from shortlist.features.checks import check_count, check_dim, finite, not_fitted, nothing_to_learn
from shortlist.features.encoded import Codes, Floats
from shortlist.features.feature import State

__all__ = ["Discretization", "Normalization", "Scale"]

FARTHEST = 1e6  # standard deviations; n training values reach at most sqrt(n), so none of them is ever clipped
LEAST = 1e-300  # a smaller deviation counts as none


class Scale:
    """Mean and standard deviation (of the population) of training values: ``apply(x) = (x - mean) / deviation``.

    Equal training values have no scale: then everything becomes 0. Results are clipped to a million deviations.
    """

    def __init__(self, mean: float, deviation: float) -> None:
        self.mean = mean
        self.deviation = deviation

    @classmethod
    def of(cls, numbers: NDArray[np.float64]) -> Scale:
        """The scale of at least one finite number; none is too large."""
        low, high = float(numbers.min()), float(numbers.max())
        if low == high:
            return cls(low, 0.0)
        middle = (
            low / 2 + high / 2
        )  # subtracted first, so that small differences between large numbers keep their digits
        halves = numbers / 2 - middle / 2
        unit = float(np.abs(halves).max())  # dividing by it keeps sums and squares of large numbers finite
        shrunk = halves / unit
        deviation = float(shrunk.std()) * unit * 2
        return cls(float(shrunk.mean()) * unit * 2 + middle, deviation if deviation > LEAST else 0.0)

    def apply(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        if self.deviation == 0.0:
            return np.zeros(len(numbers), dtype=np.float32)
        with np.errstate(over="ignore"):
            scaled = (numbers / 2 - self.mean / 2) / (self.deviation / 2)  # halves: a difference cannot overflow
        return scaled.clip(-FARTHEST, FARTHEST).astype(np.float32)


class Normalization:
    """A number, less the mean and divided by the standard deviation of the training rows.

    Null becomes 0, the mean. With ``indicator`` a second number is 1 for rows that were null and 0 for others.
    A column that was constant in training becomes 0 throughout. Integers, floats and decimals are accepted; NaN,
    infinity and other types are a DataError.

    Args:
        column: a column of numbers.
        indicator: add a second number that says which rows were null.

    Example:
        >>> age = Normalization("age")
        >>> age.fit(pl.Series([20, 30, 40, 30]))
        >>> age.encode(pl.Series([30, None])).values.tolist()
        [[0.0], [0.0]]
    """

    kind: ClassVar[str] = "Normalization"

    def __init__(self, column: str, *, indicator: bool = False) -> None:
        self.column = column
        self.dim: int | None = None
        check_flags("Normalization", indicator=indicator)
        self.indicator = indicator
        self.scale: Scale | None = None

    def __repr__(self) -> str:
        return f"{self.kind}({self.column!r})"

    @property
    def fitted(self) -> bool:
        return self.scale is not None

    def fit(self, values: pl.Series) -> None:
        numbers = finite(self, values)
        if not len(numbers):
            raise nothing_to_learn(self, values)
        self.scale = Scale.of(numbers)

    def encode(self, values: pl.Series) -> Floats:
        """Numbers ``[len(values), 1]``, or ``[len(values), 2]`` with the indicator."""
        if self.scale is None:
            raise not_fitted(self, "mean")
        present = values.is_not_null().to_numpy()
        encoded = np.zeros((len(values), 2 if self.indicator else 1), dtype=np.float32)
        encoded[present, 0] = self.scale.apply(finite(self, values))
        if self.indicator:
            encoded[:, 1] = ~present
        return Floats(encoded)

    def state(self) -> State:
        if self.scale is None:
            raise not_fitted(self, "mean")
        return {
            "column": self.column,
            "indicator": self.indicator,
            "mean": self.scale.mean,
            "deviation": self.scale.deviation,
        }

    @classmethod
    def restore(cls, state: State) -> Normalization:
        feature = cls(state["column"], indicator=state["indicator"])
        feature.scale = Scale(state["mean"], state["deviation"])
        return feature


class Discretization:
    """An embedding row for each bin of a number in ``column``.

    Code 0 stands for null; the bin below the lowest border is 1. Numbers outside the training range fall into the
    outer bins. NaN, infinity and types that are not numbers are a DataError.

    Args:
        column: a column of numbers.
        bins: how many bins of about equally many training rows to learn (fewer where values repeat).
        boundaries: the bins' borders, increasing, instead of ``bins``. A border belongs to the bin above it.
        dim: the width of the rows, by default the tower's.

    Example:
        >>> Discretization("age", boundaries=[18, 65]).encode(pl.Series([17, 18, None, 80])).values.tolist()
        [1, 2, 0, 3]
    """

    kind: ClassVar[str] = "Discretization"

    def __init__(
        self,
        column: str,
        bins: int | None = None,
        *,
        boundaries: Sequence[float] | None = None,
        dim: int | None = None,
    ) -> None:
        self.column = column
        self.dim = dim
        self.bins = 10 if bins is None else bins
        check_dim(self)
        check_count(self, "bins", self.bins, least=2)
        if bins is not None and boundaries is not None:
            raise ConfigError(f"{self!r} got both bins= and boundaries=; give one of them.")
        self._given = boundaries is not None
        self.boundaries: NDArray[np.float64] | None = None  # [bins - 1], strictly increasing
        if boundaries is not None:
            listed = checked_list(boundaries, f"{self!r}, boundaries=", "numbers")
            try:
                found = np.asarray(listed, dtype=np.float64)
            except (TypeError, ValueError, OverflowError):
                found = np.full(1, np.nan)
            if not (found.ndim == 1 and np.isfinite(found).all() and (np.diff(found) > 0).all()):
                raise ConfigError(
                    f"{self!r} got boundaries={listed!r:.80}; finite, strictly increasing numbers were expected."
                )
            self.boundaries = found

    def __repr__(self) -> str:
        return f"{self.kind}({self.column!r})"

    @property
    def fitted(self) -> bool:
        return self.boundaries is not None

    def fit(self, values: pl.Series) -> None:
        """Learn the bins, unless their boundaries were given."""
        numbers = np.sort(finite(self, values))
        if self._given:
            return
        if not len(numbers):
            raise nothing_to_learn(self, values)
        firsts = len(numbers) * np.arange(1, self.bins) // self.bins  # the place of each bin's lowest value
        lowest = np.unique(numbers[firsts])
        self.boundaries = lowest[lowest > numbers[0]]

    def encode(self, values: pl.Series) -> Codes:
        """Codes ``[len(values)]``; 0 for null."""
        if self.boundaries is None:
            raise not_fitted(self, "boundaries")
        codes = np.zeros(len(values), dtype=np.int32)
        bins = self.boundaries.searchsorted(finite(self, values), side="right")
        codes[values.is_not_null().to_numpy()] = bins + 1
        return Codes(codes, len(self.boundaries) + 2)

    def state(self) -> State:
        if self.boundaries is None:
            raise not_fitted(self, "boundaries")
        return {"column": self.column, "dim": self.dim, "boundaries": self.boundaries.tolist()}

    @classmethod
    def restore(cls, state: State) -> Discretization:
        return cls(state["column"], boundaries=state["boundaries"], dim=state["dim"])
