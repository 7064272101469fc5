"""A table of candidates that grows: rows are replaced or added without copying the others."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["spliced"]

PIECES = 64  # pieces of a table beyond which it is merged into one


def spliced(table: pl.DataFrame, rows: NDArray[np.int64], new: pl.DataFrame) -> pl.DataFrame:
    """``table`` with the rows of ``new`` at ``rows``, which are distinct; a few of them do not cause a copy of the others."""
    pieces, at = [], 0
    if table.n_chunks() + 2 * len(rows) > PIECES:
        first = int(rows.min())  # those before it, most where the latest ones change, stay as they are
        head, tail = table.slice(0, first), table.slice(first)
        places = np.arange(len(tail))
        places[rows - first] = len(tail) + np.arange(len(rows))
        return pl.concat([head, pl.concat([tail, new], rechunk=True)[places]], rechunk=head.n_chunks() >= PIECES // 2)
    for number in np.argsort(rows).tolist():
        row = int(rows[number])
        pieces += [table.slice(at, row - at), new.slice(number, 1)]
        at = row + 1
    return pl.concat([*pieces, table.slice(at)], rechunk=False)
