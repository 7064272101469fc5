"""How many rows there are, and about how many distinct ids, from a sample of pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.shards.tables import id_counts
from shortlist.data.source import Source
from shortlist.errors import ConfigError

__all__ = ["Estimate", "Sample", "counted_distinct", "distinct", "sample_of"]

PIECES = 64


@dataclass(frozen=True)
class Estimate:
    """A number, and two numbers that it is between; all three are the same where it was counted."""

    value: int
    low: int
    high: int

    @property
    def exact(self) -> bool:
        """Whether the number was counted, not estimated."""
        return self.low == self.high

    def __str__(self) -> str:
        return f"{self.value:,}" if self.exact else f"about {self.value:,} ({self.low:,} to {self.high:,})"


@dataclass(frozen=True, eq=False)
class Sample:
    """Pieces of neighbouring rows, spread over a source of ``rows`` rows; ``whole`` if they are all rows."""

    pieces: tuple[pl.DataFrame, ...]
    rows: int

    @property
    def whole(self) -> bool:
        """Whether the sample is everything."""
        return sum(map(len, self.pieces)) == self.rows

    @property
    def frame(self) -> pl.DataFrame:
        """All pieces as one table."""
        return pl.concat(self.pieces)


def sample_of(source: Source, rows: int, columns: Sequence[str] | None = None) -> Sample:
    """About ``rows`` rows of these columns (None: of all) in up to 64 pieces, evenly spread; everything where there are no more.

    ConfigError below 1.
    """
    if rows < 1:
        raise ConfigError(f"a sample of {rows} rows; at least 1 was expected.")
    counts = [source.rows(file) for file in source.files]
    total = sum(counts)
    columns = source.schema().names() if columns is None else columns
    if total <= rows:
        parts = [source.read(file, 0, count, columns) for file, count in zip(source.files, counts, strict=True)]
        return Sample(tuple(part for part in parts if len(part)), total)
    number = min(PIECES, rows)
    size = rows // number
    ends = np.cumsum(counts)
    pieces = []
    for start in np.linspace(0, total - size, number).astype(np.int64).tolist():
        place = int(np.searchsorted(ends, start, side="right"))
        within = start - (int(ends[place - 1]) if place else 0)
        pieces.append(source.read(source.files[place], within, size, columns))
    return Sample(tuple(piece for piece in pieces if len(piece)), total)


def distinct(sample: Sample, column: str) -> Estimate:
    """How many distinct values the whole column has: counted if the sample is all of it, else as follows.

    1. D(k), the distinct values expected in k of the sample's m pieces, follows from how many values are in one piece, in
       two, … (rarefaction, Hurlbert 1971); pieces, not rows, since neighbouring rows may have one value.
    2. Curves c · ((1 + k/θ)^a − 1) / a are laid through it: a = 1 is a line (equal values are together), 0 < a < 1 Heaps'
       law (ever more rare values), a < 0 saturates, the more abruptly the more alike values are in frequency.
    3. ``value`` is where the best of them ends at all pieces there are, ``low`` and ``high`` where those end that fit
       nearly as well: to twice the error of the best, and at least 0.5% or one over the root of what was found.
    """
    found, curve = _accumulation(sample, column)
    number = len(sample.pieces)
    if sample.whole or number < 4 or not found:
        return Estimate(found, found, found)
    pieces = number * sample.rows / sum(map(len, sample.pieces))
    a = np.concatenate([-np.geomspace(64, 1 / 64, 61), np.linspace(1 / 64, 1, 61)])[:, None, None]
    theta = number * np.geomspace(1e-3, 1e4, 141)[None, :, None]

    def shape(k: NDArray[np.float64]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = np.expm1(a * np.log1p(k / theta)) / a  # [a, theta, k]
        return values

    sizes = np.array([number / 8, number / 4, number / 2, number])
    fitted = shape(sizes)
    scale = curve[-1] / fitted[..., -1]
    error = np.sqrt(((fitted * scale[..., None] / curve - 1) ** 2).mean(-1))  # [a, theta]
    ends = np.clip(scale * shape(np.array([pieces]))[..., 0], found, max(found, (found - number) * pieces / number))
    near = ends[error <= max(2 * error.min(), 0.005, found**-0.5)]
    value = round(float(ends.ravel()[error.argmin()]))
    return Estimate(value, math.floor(near.min()), max(math.ceil(near.max()), math.floor(near.min()) + 1))


def _accumulation(sample: Sample, column: str) -> tuple[int, NDArray[np.float64]]:
    """The distinct values found, and how many to expect in an eighth, a quarter, half and all of the pieces."""
    seen = pl.concat([piece.select(pl.col(column).unique()) for piece in sample.pieces]).drop_nulls()
    number = len(sample.pieces)
    each = seen.group_by(column).len()["len"].to_numpy()
    held = np.bincount(each, minlength=number + 1)  # [0 … pieces]: values that occur in so many pieces
    in_pieces = np.arange(number + 1)
    curve = []
    for part in (8, 4, 2, 1):
        taken = max(1, number // part)
        missed = np.ones(number + 1)  # the chance that none of the pieces taken is among those of a value
        for drawn in range(taken):
            missed *= np.clip(number - drawn - in_pieces, 0, None) / (number - drawn)
        curve.append(float((held * (1 - missed)).sum()))
    return len(each), np.array(curve)


def counted_distinct(source: Source, column: str) -> Estimate:
    """The same, counted over all of the column out of core, in memory for the distinct values."""
    found = len(id_counts(source, column, "id")[0])
    return Estimate(found, found, found)
