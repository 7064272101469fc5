"""Rows of shards as a ``Dataset``: read from disk, with both tables shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.dataset import Dataset
from shortlist.data.shards.blocks import Blocks, Rows
from shortlist.data.shards.files import Header
from shortlist.data.shards.list_column import ListColumn

__all__ = ["dataset_of"]


def dataset_of(
    blocks: Blocks,
    header: Header,
    tables: Mapping[str, pl.DataFrame],
    schema: pl.Schema,
    contexts: pl.DataFrame | None,
    which: str,
    some: Callable[[Rows], NDArray[np.bool_]] | None = None,
) -> Dataset:
    """Rows that are "kept" or "held out", in memory.

    Args:
        blocks: where they are.
        header: names the columns.
        tables: "queries" and "candidates".
        schema: of the interactions.
        contexts: the distinct rows of the context columns.
        which: rows.
        some: which of these; all by default.
    """
    parts, lists = [], []
    for numbers in blocks.spans():
        rows = blocks.read(numbers, True, which, negatives=True)
        chosen = np.ones(len(rows.query), np.bool_) if some is None else some(rows)
        parts.append([None if column is None else column[chosen] for column in rows[:6]])
        lists += [] if rows.negatives is None else [rows.negatives.at(chosen)]
    query, candidate, weight, time, context, seen = (
        None if column[0] is None else np.concatenate(column) for column in zip(*parts, strict=True)
    )
    assert query is not None
    assert candidate is not None
    others = [
        pl.Series(name, values).cast(schema[name])
        for name, values in ((header.weight, weight), (header.timestamp, time), (header.seen, seen))
        if name is not None and values is not None
    ]
    if contexts is not None and context is not None:
        others += contexts[context].get_columns()
    if header.negatives is not None:
        ids = tables["candidates"][header.candidate]
        others.append(_as_ids(ids, ListColumn.joined(lists)).alias(header.negatives))
    return Dataset._of_rows(
        dict(tables),
        {name: getattr(header, name) for name in ("query", "candidate", "timestamp", "weight")}
        | {"seen_column": header.seen},
        {"query": query, "candidate": candidate},
        others,
    )


def _as_ids(candidates: pl.Series, negatives: ListColumn) -> pl.Series:
    """Negatives as a column of lists of raw ids."""
    ids = candidates.gather(negatives.values)
    owner = np.repeat(np.arange(negatives.rows), np.diff(negatives.offsets))
    listed = pl.DataFrame({"row": owner, "id": ids}).group_by("row", maintain_order=True).agg("id")
    rows = pl.DataFrame({"row": np.arange(negatives.rows)})
    return rows.join(listed, on="row", how="left", maintain_order="left")["id"]
