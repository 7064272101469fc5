"""Bytes of the parts of a run, from a model that is not built yet and the data: for ``shortlist plan``, and before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shortlist.data import Dataset, Shards
from shortlist.data.shards import row_bytes
from shortlist.data.shards.sizes import NUMBERS
from shortlist.features import Feature, Hashing
from shortlist.index import Index, choose_index
from shortlist.index.halves import Halves, accepts_halves
from shortlist.model import Tower, TwoTower
from shortlist.model.tower import IDS
from shortlist.train.optimizers import Optimizer
from shortlist.train.phases import Sizes

__all__ = [
    "bytes_of_disk_rows",
    "bytes_of_ids",
    "bytes_of_lists",
    "bytes_of_memory_rows",
    "bytes_of_ordered",
    "bytes_of_shards",
    "gives_rows",
    "index_of",
    "sizes_of",
    "state_bytes",
    "table_bytes",
    "tables_in_memory",
]

INDEXED = 20_000
WINDOW = 20  # bytes of a code and of the two ends of a window
CODES = 12  # bytes of a row's code as int32 and int64
MOST_OF_INDEX = 8  # no index takes more than so many times its vectors

IdTable = tuple[Tower, int, int]


def tables_in_memory(
    model: TwoTower, train: Dataset | Shards, device: torch.device, ids: Mapping[str, int] | None = None
) -> list[IdTable]:
    """Rows and width of each table of ids that will be made in memory, and its tower."""
    return [one for one in _tables(model, train, ids) if one[0].storage.folder is None or device.type != "cpu"]


def _tables(model: TwoTower, train: Dataset | Shards, ids: Mapping[str, int] | None) -> list[IdTable]:
    """The same of all tables of ids.

    Args:
        ids: how many ids of each column there are at least, where they were not counted.
    """
    found = []
    sides = (
        (model.query, train.query, train.query_counts),
        (model.candidate, train.candidate, train.candidate_counts),
    )
    for tower, column, counts in sides:
        if tower.built:
            continue
        for feature in tower.features.values():
            if feature.kind in IDS and feature.column == column:
                width = feature.dim or tower.dim * (tower.heads if _is_single(tower) else 1)
                found.append((tower, _rows(feature, counts, None if ids is None else ids[column]), width))
    return found


def _is_single(tower: Tower) -> bool:
    """Whether a vector is made of one row of one table."""
    return len(tower.features) == 1 and tower.shape.plain


def _rows(feature: Feature, counts: NDArray[np.integer], ids: int | None) -> int:
    """Rows that the table of a feature of ids will have, at least.

    Args:
        counts: interactions of each id.
        ids: how many there are at least, where ``counts`` are those of a sample.
    """
    if isinstance(feature, Hashing):
        return feature.buckets + 1
    if feature.fitted:
        return feature.encode(pl.Series(feature.column, [None])).cardinality  # type: ignore[union-attr]
    least = getattr(feature, "min_count", 1)
    if ids is not None:
        return 1 + (ids if least <= 1 else 0)
    return 1 + int(np.count_nonzero(counts >= least))


def table_bytes(tables: Sequence[IdTable]) -> int:
    """Bytes of tables of ids."""
    return sum(rows * width * (2 if tower.storage.dtype == "bfloat16" else 4) for tower, rows, width in tables)


def state_bytes(tables: Sequence[IdTable], optimizer: Optimizer) -> int:
    """Bytes of the optimizer's state of these tables."""
    return sum(
        rows * sum(slot.numel() for slot in optimizer.slots(torch.zeros(1, width))) * 4 for _, rows, width in tables
    )


def bytes_of_ids(data: Dataset | Shards, ids: Mapping[str, int]) -> int:
    """Tables of both sides, their vocabularies and lookups, codes and counts."""
    total = 0
    for table, column in ((data.queries, data.query), (data.candidates, data.candidate)):
        own = row_bytes(pl.Schema({column: table.schema[column]}))
        total += ids[column] * (row_bytes(table.schema) + 3 * own + CODES + 9)
    return total


def bytes_of_lists(model: TwoTower, data: Dataset | Shards, rows: int, queries: int) -> int:
    """The last choices of each query, which a model that reads histories keeps."""
    one = row_bytes(pl.Schema({data.candidate: data.candidates.schema[data.candidate]}))
    return sum(min(rows, queries * history.length) * one for history in model.query.histories.values())


def bytes_of_memory_rows(rows: int, schema: pl.Schema) -> int:
    """Interactions in memory: the table, both parts of a split, and row numbers.

    Args:
        schema: of the columns that training reads.
    """
    return rows * (2 * row_bytes(schema) + NUMBERS)


def bytes_of_disk_rows(rows: int, weighted: bool) -> int:
    """Interactions in memory where they are in shards: a buffer of them."""
    return min(Shards.buffer_rows, rows) * (4 * (8 + 4 * weighted) + 8)


def bytes_of_shards(rows: int, weighted: bool, timed: bool) -> int:
    """Interactions in shards, on the disk."""
    return rows * (8 + 4 * weighted + 8 * timed)


def bytes_of_ordered(rows: int, weighted: bool, model: TwoTower) -> int:
    """The files of rows by query, on the disk next to the shards, of a query tower that reads histories."""
    return rows * (8 + 4 * weighted + WINDOW * len(model.query.histories)) if model.query.histories else 0


def index_of(candidates: int, dim: int, index: Index | None, is_half: bool) -> tuple[str, float]:
    """The kind of index for so many candidates, and its bytes for each, by one of a few.

    Args:
        is_half: bfloat16 holds the vectors.
    """
    chosen = index or choose_index(candidates, dim)[0]
    some = min(candidates, INDEXED)
    vectors = np.random.Generator(np.random.Philox(0)).standard_normal((some, dim)).astype(np.float32)
    if is_half and accepts_halves(chosen):
        halves = Halves.of((vectors.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))
        return type(chosen).__name__, chosen.build(halves).nbytes / some  # type: ignore[arg-type]
    return type(chosen).__name__, chosen.build(vectors).nbytes / some


def sizes_of(
    model: TwoTower,
    data: Dataset | Shards,
    optimizer: Optimizer | None,
    device: torch.device,
    processes: int,
    index: Index | None = None,
    *,
    guess: bool = False,
    rows: int | None = None,
    ids: Mapping[str, int] | None = None,
) -> Sizes:
    """The parts of a run that is about to begin, at least: tables of ids, their state, ids, interactions, vectors and index.

    Tables of other features and dense layers, which are small next to these, are left out.

    Args:
        optimizer: None for a training without state.
        index: of the candidates; None for what suits them.
        guess: take the most that an index may take in place of building one of a few candidates.
        rows: how many interactions there are, where ``data`` are a sample.
        ids: how many ids there are at least, by column, where ``data`` are a sample.
    """
    known = {data.query: len(data.queries), data.candidate: len(data.candidates)} if ids is None else ids
    count = len(data) if rows is None else rows
    tables, here = _tables(model, data, ids), tables_in_memory(model, data, device, ids)
    state, state_here = (0 if optimizer is None else state_bytes(one, optimizer) for one in (tables, here))
    weights = table_bytes(tables)
    of_queries, of_candidates = (
        _vector_bytes(tower, known[column])
        for tower, column in ((model.query, data.query), (model.candidate, data.candidate))
    )
    if guess:
        indexed = MOST_OF_INDEX * known[data.candidate] * model.dim * 4
    else:
        is_half = of_candidates < known[data.candidate] * model.dim * 4
        indexed = round(index_of(known[data.candidate], model.dim, index, is_half)[1] * known[data.candidate])
    own = bytes_of_ids(data, known) + bytes_of_lists(model, data, count, known[data.query])
    kept = table_bytes([one for one in tables if not gives_rows(one[0])])
    from_disk = isinstance(data, Shards) or rows is not None
    weighted, timed = data.weight is not None, data.timestamp is not None
    ordered = bytes_of_ordered(count, weighted, model) if from_disk else 0
    elsewhere = weights + state if device.type != "cpu" else weights - table_bytes(here) + state - state_here
    return Sizes(
        weights=weights,
        optimizer=state,
        dense=0,
        ids=own,
        interactions=bytes_of_disk_rows(count, weighted)
        if from_disk
        else bytes_of_memory_rows(count, data.interactions.schema),
        shards=(0 if rows is None else bytes_of_shards(count, weighted, timed)) + ordered,
        vectors=of_queries + of_candidates,
        stored=kept + state + of_queries + indexed,
        index=indexed,
        serving=weights + of_queries + of_candidates + indexed + own,
        processes=processes,
        elsewhere=elsewhere,
    )


def gives_rows(tower: Tower) -> bool:
    """Whether vectors are rows of the tower's only table, which a bundle does not hold again then."""
    return _is_single(tower) and not tower.normalize and not tower.bias


def _vector_bytes(tower: Tower, rows: int) -> int:
    """Bytes of the vectors of one side: in bfloat16 where its tables are and a vector is a row of them."""
    return rows * tower.dim * tower.heads * (2 if tower.storage.dtype == "bfloat16" and gives_rows(tower) else 4)
