"""How many rows there are, and about how many distinct ids, from a sample of pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from shortlist.data.shards.encode import id_counts
from shortlist.data.shards.source import Source
from shortlist.errors import ConfigError

__all__ = ["Estimate", "Sample", "counted_distinct", "distinct", "sample_of"]

PIECES = 64


@dataclass(frozen=True)
class Estimate:
    """A number, and between which two it lies; all three are the same where it was counted."""

    value: int
    low: int
    high: int

    @property
    def exact(self) -> bool:
        """Whether it was counted."""
        return self.low == self.high

    def __str__(self) -> str:
        return f"{self.value:,}" if self.exact else f"about {self.value:,} ({self.low:,} to {self.high:,})"


@dataclass(frozen=True, eq=False)
class Sample:
    """Pieces of neighbouring rows, spread over a source of ``rows`` rows; ``whole`` where they are all there are."""

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


def sample_of(source: Source, rows: int) -> Sample:
    """About ``rows`` rows in up to 64 pieces, evenly spread; everything where there are no more. ConfigError below 1."""
    if rows < 1:
        raise ConfigError(f"a sample of {rows} rows; at least 1 was expected.")
    counts = [source.rows(file) for file in source.files]
    total, columns = sum(counts), source.schema().names()
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
    """How many distinct values the whole column has.

    Of all of it, their number. Of a share q of it, in m pieces, d values of which Q1 lie in one piece and Q2 in two:

    1. ``low``: d + (m − 1)/m · Q1 (Q1 − 1) / (2 (Q2 + 1)), at most (d − m) / q. Right where values are spread evenly, and a lower
       bound else (Chao 1987, "Chao2", which counts pieces, so that neighbouring rows may be of one value).
    2. ``high``: d · q^−β, where from half of the pieces to all of them d grew by 2^β (Heaps' law). Right where few values
       are frequent and ever more are rare, or where equal values lie together (β = 1).
    3. ``value``: the geometric mean of both.
    """
    seen = pl.concat(
        [piece.select(pl.col(column).unique()).with_columns(piece=pl.lit(n)) for n, piece in enumerate(sample.pieces)]
    ).drop_nulls()
    each = seen.group_by(column).agg(pl.len().alias("pieces"), (pl.col("piece") % 2).min().alias("odd_alone"))
    found = len(each)
    if sample.whole or not found:
        return Estimate(found, found, found)
    share = sum(map(len, sample.pieces)) / sample.rows
    number = len(sample.pieces)
    once, twice = (int((each["pieces"] == count).sum()) for count in (1, 2))
    chao = found + (number - 1) / number * once * (once - 1) / (2 * (twice + 1))
    half = int((each["odd_alone"] == 0).sum())  # in some even piece
    growth = math.log2(found / half) if half else 1.0
    heaps = found * (1 / share) ** min(max(growth, 0.0), 1.0)
    most = max(found, (found - number) / share)  # where values lie together a piece cuts one in two, half at each end
    low, high = sorted((min(chao, most), min(heaps, most)))
    return Estimate(round(math.sqrt(low * high)), math.floor(low), max(math.ceil(high), math.floor(low) + 1))


def counted_distinct(source: Source, column: str) -> Estimate:
    """The same, counted over all of the column out of core, in memory for the distinct values."""
    found = len(id_counts(source, column, "id"))
    return Estimate(found, found, found)
