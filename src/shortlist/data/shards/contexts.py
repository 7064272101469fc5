"""Columns of the interactions other than ids, weight and time: a table of the distinct ones, and a row number per interaction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.source import Source
from shortlist.errors import ConfigError, DataError, did_you_mean

__all__ = ["check_context", "check_negatives", "context_rows", "context_table"]

MOST = 1 << 24


def check_context(context: Sequence[str], others: Sequence[str | None], schema: pl.Schema) -> None:
    """ConfigError for columns that are named twice or for something else, DataError for those that are missing or lists."""
    for column in context:
        if column in others or list(context).count(column) > 1:
            raise ConfigError(
                f"context names {column!r} again.",
                hint="context columns must be other than query, candidate, weight and timestamp, each once",
            )
        if column not in schema:
            raise DataError(
                f"the interactions have no column {column!r} for context.",
                hint=f"the columns are {', '.join(map(repr, schema))}",
            )
        if schema[column].is_nested():
            raise DataError(
                f"the context column {column!r} is of type {schema[column]}; plain values were expected.",
                hint="put lists into the queries' table, or train in memory (Dataset)",
            )


def check_negatives(column: str | None, others: Sequence[str | None], schema: pl.Schema) -> None:
    """ConfigError for a column of negatives that is something else too, DataError where it is missing."""
    if column is None:
        return
    if column in others:
        raise ConfigError(
            f"negatives names {column!r} again.",
            hint="negatives must be a column other than query, candidate, weight, timestamp and context",
        )
    if column not in schema:
        raise DataError(
            f"the interactions have no column {column!r} for negatives.", hint=did_you_mean(column, list(schema))
        )


def context_table(source: Source, context: Sequence[str]) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """The distinct rows of these columns, sorted, and how many interactions each has. DataError where there are too many."""

    def check(found: pl.DataFrame) -> None:
        if len(found) > MOST:
            raise DataError(
                f"the context columns {', '.join(map(repr, context))} have more than {MOST:,} distinct rows together.",
                hint="round or bin their values first (hours rather than seconds), or keep fewer of them",
            )

    found, often = source.counts(context, check)
    keys = [str(place) for place in range(found.width)]
    numbered = found.rename(dict(zip(found.columns, keys, strict=True)))
    order = numbered.select(pl.arg_sort_by(keys)).to_series()
    return found[order], often[order].cast(pl.Int64).to_numpy()


def context_rows(table: pl.DataFrame, frame: pl.DataFrame, name: str) -> NDArray[np.int32]:
    """The row of ``table`` of each row of ``frame``. DataError for an unknown one."""
    keys = [str(place) for place in range(table.width)]
    numbered = table.rename(dict(zip(table.columns, keys, strict=True)))
    numbered = numbered.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).alias("row"))
    asked = pl.DataFrame([frame[column].alias(key) for column, key in zip(table.columns, keys, strict=True)])
    found = asked.join(numbered, on=keys, how="left", nulls_equal=True, maintain_order="left")["row"]
    if found.null_count():
        raise DataError(f"{name!r} changed while it was encoded.", hint="run it again with overwrite=True")
    return found.to_numpy()
