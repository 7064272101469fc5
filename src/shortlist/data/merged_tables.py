"""A table of one side as it was and as it is now: known rows keep their places, new ones follow."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import IdMap
from shortlist.errors import DataError

__all__ = ["united_rows", "united_table"]

ROW, NOW = "\0row", "\0now"  # names that no column has


def united_table(before: pl.DataFrame, now: pl.DataFrame, key: str) -> pl.DataFrame:
    """The rows of ``before`` in their order, then those of ``now`` whose ids are new. Errors as in ``united_rows``."""
    return united_rows(before, now, key)[0]


def united_rows(before: pl.DataFrame, now: pl.DataFrame, key: str) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """The rows of ``before`` in their order, then those of ``now`` whose ids are new; and the row there of each row of ``now``.

    Values of ``now`` are kept; where one is null, the earlier value. The cost beyond that of a copy is one join.

    Args:
        before: distinct ids.
        now: distinct ids.
        key: the column of ids.

    Raises:
        DataError: where ids, or a column that both have, have another type.
    """
    kinds = before.schema[key], now.schema[key]
    if (kinds[0] == pl.String) != (kinds[1] == pl.String):
        raise DataError(f"the ids {key!r} are of type {kinds[1]}; before they were {kinds[0]}.", hint="cast the column")
    shared = [name for name in now.columns if name in before.columns and name != key]
    for name in shared:
        if before.schema[name] != now.schema[name]:
            raise DataError(
                f"the column {name!r} is of type {now.schema[name]}; before it was {before.schema[name]}.",
                hint="cast the column",
            )
    before = before.with_columns(pl.col(key).cast(kinds[1], strict=True))
    rows = IdMap(before[key]).match(now[key])
    is_new = rows < 0
    met = pl.DataFrame({ROW: rows[~is_new], NOW: np.flatnonzero(~is_new)})
    rows[is_new] = len(before) + np.arange(int(is_new.sum()))
    more = [name for name in now.columns if name != key]
    if more and len(met):  # values of known ids
        later = met.select(pl.col(ROW), *(now[name].gather(met[NOW]).alias(f"{name}{NOW}") for name in more))
        before = before.with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
        before = before.join(later, on=ROW, how="left", maintain_order="left").drop(ROW)
        values = [pl.coalesce(f"{name}{NOW}", *([name] if name in shared else [])).alias(name) for name in more]
        before = before.with_columns(values).drop([f"{name}{NOW}" for name in more])
    return pl.concat([before, now.filter(pl.Series(is_new))], how="diagonal"), rows
