"""A table of one side as it was and as it is now: known rows keep their places, new ones follow."""

from __future__ import annotations

import polars as pl

from shortlist.errors import DataError

__all__ = ["united_table"]

NOW = "\0now"  # a suffix that no column has


def united_table(before: pl.DataFrame, now: pl.DataFrame, key: str) -> pl.DataFrame:
    """The rows of ``before`` in their order, then those of ``now`` whose ids are new. Values of ``now`` are kept; where one is
    null, the earlier value.

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
    both = before.with_columns(pl.col(key).cast(kinds[1], strict=True)).join(
        now, on=key, how="full", coalesce=True, suffix=NOW, maintain_order="left_right"
    )
    known = [pl.coalesce(f"{name}{NOW}", name).alias(name) for name in shared]
    return both.with_columns(known).drop([f"{name}{NOW}" for name in shared])
