"""Columns that hold any number of values per row, as one flat column of members and the row that owns each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.features.encoded import Bags

__all__ = ["Members", "bags_of", "members_of"]


class Members(NamedTuple):
    """owners ``[members]``, ascending row numbers; values ``[members]``, without nulls."""

    owners: NDArray[np.int64]
    values: pl.Series


def members_of(values: pl.Series) -> Members:
    """The members of a list column; null rows, empty lists and null members give none."""
    rows = pl.DataFrame({"member": values}).with_row_index("owner")
    if isinstance(values.dtype, pl.Array):
        rows = rows.with_columns(pl.col("member").arr.to_list())
    flat = rows.filter(pl.col("member").list.len() > 0).explode("member").drop_nulls("member")
    return Members(flat["owner"].to_numpy().astype(np.int64), flat["member"].rename(values.name))


def bags_of(owners: NDArray[np.int64], codes: NDArray[np.int32], rows: int, cardinality: int) -> Bags:
    """Codes and the row that owns each, ascending, as ``rows`` bags."""
    offsets = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(owners, minlength=rows), out=offsets[1:])
    return Bags(offsets, codes, cardinality)
