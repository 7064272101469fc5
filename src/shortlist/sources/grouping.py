"""Groups of a column's values: one for each frequent word or whole number, and bins for other numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import DataError

__all__ = ["Grouping"]

MOST = 64  # groups of a column
BINS = 16  # of a column of numbers
WIDTH = 8  # groups that one row can be in
FAR = 0.05  # nearness below which groups count nothing for each other
LARGEST = 1e150  # numbers are cut off here, so that their squares are finite
LEAST = 0.5  # share of all values that must be in a group
Value = str | int | bool


@dataclass(frozen=True)
class Grouping:
    """The groups of a column: one for each of its most frequent values, or one for each bin of its numbers.

    Groups have numbers from 0. A row of a column of lists can be in several.

    Args:
        column: its name.
        values: for words, whole numbers and booleans, and lists of these; group i has ``values[i]``.
        edges: for other numbers and for times, rising; group i has the numbers from ``edges[i - 1]`` to below ``edges[i]``.
        times: whether the column has times.

    Example:
        >>> Grouping("genre", values=("drama", "war")).numbers(pl.Series([["war", "drama"], ["sport"], None])).tolist()
        [[1, 0], [-1, -1], [-1, -1]]
    """

    column: str
    values: tuple[Value, ...] = ()
    edges: tuple[float, ...] = ()
    times: bool = False

    @property
    def size(self) -> int:
        """How many groups there are."""
        return len(self.values) if self.values else len(self.edges) + 1

    @classmethod
    def of(cls, column: pl.Series) -> Grouping | None:
        """The groups of a column: its most frequent values, at most ``MOST``, or ``BINS`` bins with as many numbers each.

        Whole numbers with more than ``BINS`` different values get bins too. None for a column without groups: of another type, with
        a single value, or with so many words that the most frequent ``MOST`` are less than ``LEAST`` of all.
        """
        flat = column.explode().drop_nulls() if isinstance(column.dtype, pl.List) else column.drop_nulls()
        kind: pl.DataType = flat.dtype
        if kind in (pl.Categorical, pl.Enum):
            flat, kind = flat.cast(pl.String), pl.String()
        counted = kind == pl.String or kind == pl.Boolean or kind.is_integer()
        if counted and len(flat):
            frequent = flat.rename("value").value_counts(name="often").sort("often", "value", descending=[True, False])
            kept = frequent.head(MOST)
            few = not kind.is_integer() or len(frequent) <= BINS
            if len(kept) > 1 and few and kept["often"].sum() >= LEAST * len(flat):
                return cls(column.name, values=tuple(kept["value"].to_list()))
        if isinstance(column.dtype, pl.List) or not (kind.is_numeric() or kind.is_temporal()):
            return None
        numbers = _floats(flat)
        numbers = numbers[np.isfinite(numbers)]
        edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS)) if len(numbers) else np.zeros(0)
        edges = edges[edges > numbers.min()] if len(edges) else edges
        return cls(column.name, edges=tuple(edges.tolist()), times=kind.is_temporal()) if len(edges) else None

    def numbers(self, column: pl.Series) -> NDArray[np.int16]:
        """The numbers of each row's groups, each once, int16 ``[rows, at most WIDTH]``; −1 where there are no more.

        Raises:
            DataError: for a column of another type than in training.
        """
        if column.dtype == pl.Null or not len(column):
            return np.full((len(column), 1), -1, np.int16)
        if not self.values:
            fits = column.dtype.is_temporal() if self.times else column.dtype.is_numeric()
            numbers = _floats(self.checked(column, not fits))
            found = np.searchsorted(np.array(self.edges), numbers, side="right")
            return np.where(np.isfinite(numbers), found, -1).astype(np.int16)[:, None]
        lists = isinstance(column.dtype, pl.List)
        frame = pl.DataFrame({"row": np.arange(len(column)), "value": column})
        frame = (frame.explode("value").unique(maintain_order=True) if lists else frame).drop_nulls()
        value = frame["value"]
        if value.dtype in (pl.Categorical, pl.Enum):
            value = value.cast(pl.String)
        kind = "bool" if value.dtype == pl.Boolean else "int" if value.dtype.is_integer() else "str"
        other = value.dtype != pl.Null and (
            kind != type(self.values[0]).__name__ or (kind == "str" and value.dtype != pl.String)
        )
        number = {one: place for place, one in enumerate(self.values)}
        group = np.array([number.get(one, -1) for one in self.checked(value, other).to_list()], np.int16)
        row = frame["row"].to_numpy()[group >= 0]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        inside = place < WIDTH
        out = np.full((len(column), max(1, int(place[inside].max(initial=0)) + 1)), -1, np.int16)
        out[row[inside], place[inside]] = group[group >= 0][inside]
        return out

    def nearness(self, column: pl.Series, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """How much each group counts for each other one, ``[groups, groups]``.

        For bins of numbers it is exp(−d² / 2), with d the distance between the means of the two bins in half standard deviations
        of the column, and 0 below ``FAR``. A bin without numbers has the middle of its edges in place of a mean. For values it is 1
        for the group itself and 0 for all others.

        Args:
            column: of the training data.
            numbers: the group of each row.
        """
        if self.values:
            return np.eye(self.size)
        there = numbers >= 0  # finite numbers alone
        values = _floats(column)[there]
        often = np.bincount(numbers[there], minlength=self.size)
        edges = np.array(self.edges)
        middles = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
        means = np.where(often > 0, np.bincount(numbers[there], values, self.size) / np.maximum(often, 1), middles)
        far = np.subtract.outer(means, means) / max(float(values.std()) / 2, 1e-300)
        near = np.exp(-0.5 * far**2)
        near[:, often == 0] = 0
        return np.where(near < FAR, 0.0, near)

    def checked(self, column: pl.Series, other: bool) -> pl.Series:
        """The column; DataError where it has ``other`` values than in training."""
        if other:
            example = repr(self.values[0]) if self.values else "times" if self.times else f"{self.edges[0]:g}"
            raise DataError(
                f"the column {self.column!r} is of type {column.dtype}; in training it had values such as {example}.",
                hint="give it in the type that the training data had",
            )
        return column


def _floats(column: pl.Series) -> NDArray[np.float64]:
    """The numbers of a column, NaN for null; finite ones are cut off at ±``LARGEST``. Times are in microseconds."""
    if column.dtype.is_temporal():
        column = column.cast(pl.Datetime("us") if column.dtype in (pl.Date, pl.Datetime) else pl.Duration("us")).cast(
            pl.Int64
        )
    numbers: NDArray[np.float64] = column.cast(pl.Float64).to_numpy()
    return np.where(np.isfinite(numbers), np.clip(numbers, -LARGEST, LARGEST), numbers)
