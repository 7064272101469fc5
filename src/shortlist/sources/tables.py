"""Helpers of every neighbour source: the choices of each query in order, and the heaviest entries of sparse rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset, Shards
from shortlist.data.choices import check_choices, choices_alone
from shortlist.data.id_map import IdMap
from shortlist.data.shards import ordered_by_query, parts_of
from shortlist.errors import ConfigError, MissingExtraError
from shortlist.index import Lists
from shortlist.sources.neighbours import Neighbours, latest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from scipy.sparse import csr_matrix

__all__ = [
    "Chosen",
    "check_fit",
    "check_settings",
    "choices_by_part",
    "choices_of",
    "chosen_matrix",
    "distinct_choices",
    "heaviest",
    "histories_of",
    "in_blocks",
    "joined",
]

WEIGHT = np.uint64(0xFFFFFFFF)
BLOCK = 1 << 24  # products of a block of sparse rows


class Chosen(NamedTuple):
    """Interactions by query, and in the order of time within each: query and candidate rows, int64 ``[interactions]``."""

    query: NDArray[np.int64]
    candidate: NDArray[np.int64]

    def distinct(self, length: int) -> Chosen:
        """Each candidate of a query once, at its latest place; only the ``length`` latest of a query."""
        query, candidate, back = latest(self.query, self.candidate)
        return Chosen(query[back < length], candidate[back < length])


def choices_of(data: Dataset) -> Chosen:
    """The interactions of ``data`` with a weight above 0; equal times, or all without a timestamp, in the order of rows."""
    data = choices_alone(data)
    time = np.zeros(len(data)) if data.timestamp is None else data.times.rank("dense").to_numpy()
    order = np.lexsort((time, data.query_rows))
    return Chosen(data.query_rows[order].astype(np.int64), data.candidate_rows[order].astype(np.int64))


def choices_by_part(data: Dataset | Shards) -> Iterator[Chosen]:
    """The same of a part of the queries at a time: of all where the data are in memory, of a few million rows where they are
    shards, whose equal times are in the order of the shards.

    Raises:
        DataError: where the disk has no room to order the rows of shards.
    """
    if isinstance(data, Dataset):
        yield choices_of(data)
        return
    ordered = ordered_by_query(data)
    for begin, end in parts_of(ordered.offsets):
        part = slice(int(ordered.offsets[begin]), int(ordered.offsets[end]))
        kept = slice(None) if ordered.weight is None else ordered.weight[part] > 0
        query, candidate = ordered.query[part][kept], ordered.candidate[part][kept]
        yield Chosen(query.astype(np.int64), candidate.astype(np.int64))


def distinct_choices(data: Dataset | Shards, length: int) -> Chosen:
    """Each candidate of a query once, at its latest place; only the ``length`` latest of a query, in memory."""
    query, candidate = zip(*(one.distinct(length) for one in choices_by_part(data)), strict=True)
    return Chosen(np.concatenate(query), np.concatenate(candidate))


def histories_of(data: Dataset | Shards, query_ids: pl.Series, candidate_ids: pl.Series, length: int) -> Lists:
    """The choices of each of ``query_ids`` in ``data``, as rows of ``candidate_ids``, oldest first: the ``length`` latest.

    Candidates that are not among ``candidate_ids`` are ignored.

    Raises:
        DataError: for ids of another type.
    """
    chosen = distinct_choices(data, length)
    query = IdMap(query_ids).find(data.queries[data.query])[chosen.query]
    candidate = IdMap(candidate_ids).find(data.candidates[data.candidate])[chosen.candidate]
    kept = (query >= 0) & (candidate >= 0)
    order = np.argsort(query[kept], kind="stable")
    offsets = np.zeros(len(query_ids) + 1, np.int64)
    np.cumsum(np.bincount(query[kept], minlength=len(query_ids)), out=offsets[1:])
    return Lists(offsets, candidate[kept][order])


def heaviest(matrix: Any, most: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Offsets, columns and weights of the ``most`` heaviest entries above 0 of each row of a CSR matrix.

    Heaviest first; of equal weights the lower column.
    """
    matrix = matrix.tocsr()
    bits = max(1, (matrix.shape[1] - 1).bit_length())  # of a column
    step = 1 << (32 - bits)  # rows whose number, weight and column fit into a key of 64 bits
    parts = [_sorted_keys(matrix, slice(low, low + step), bits, most) for low in range(0, matrix.shape[0], step)]
    counts = np.concatenate([np.zeros(1, np.int64), *(count for count, _ in parts)])
    key = np.concatenate([np.zeros(0, np.uint64), *(key for _, key in parts)])
    columns = (key & np.uint64((1 << bits) - 1)).astype(np.int32)
    falling = ((key >> np.uint64(bits)) & WEIGHT).astype(np.uint32)
    return np.cumsum(counts), columns, (np.uint32(WEIGHT) - falling).view(np.float32)


def _sorted_keys(matrix: Any, rows: slice, bits: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """How many entries each of some rows keeps, and their keys of row, falling weight and column, in order."""
    edges = matrix.indptr[rows.start : rows.stop + 1]
    part = slice(edges[0], edges[-1])
    values = matrix.data[part].astype(np.float32)
    # the bits of floats above 0 rise as they do
    key = (WEIGHT - values.view(np.uint32).astype(np.uint64)) << np.uint64(bits)
    key |= matrix.indices[part].astype(np.uint64)
    key |= np.repeat(np.arange(len(edges) - 1, dtype=np.uint64) << np.uint64(32 + bits), np.diff(edges))
    key = key[values > 0]
    key.sort(kind="stable")
    counts = np.bincount((key >> np.uint64(32 + bits)).astype(np.int64), minlength=len(edges) - 1)
    first = np.cumsum(counts) - counts
    return np.minimum(counts, most), key[np.arange(len(key)) - np.repeat(first, counts) < most]


def in_blocks(products: NDArray[np.int64]) -> list[slice]:
    """Runs of rows that cost about ``BLOCK`` products each, at least one row.

    Args:
        products: int64 ``[rows]``, the cost of each row.
    """
    edges = np.floor(np.cumsum(products.astype(np.float64)) / BLOCK).astype(np.int64)
    starts = np.flatnonzero(np.diff(edges, prepend=-1)).tolist()
    return [slice(low, high) for low, high in zip(starts, [*starts[1:], len(products)], strict=True)]


def joined(parts: list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]], **options: Any) -> Neighbours:
    """Neighbours of blocks of rows, one after another, as one table."""
    counts = np.concatenate([np.diff(offsets) for offsets, _, _ in parts])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    columns = np.concatenate([one for _, one, _ in parts])
    return Neighbours(offsets, columns, np.concatenate([one for _, _, one in parts]), **options)


def chosen_matrix(chosen: Chosen, data: Dataset | Shards) -> csr_matrix:
    """The choices as 0 and 1, float32 CSR ``[queries, candidates]``."""
    from scipy.sparse import csr_matrix

    shape = (len(data.queries), len(data.candidates))
    return csr_matrix((np.ones(len(chosen.query), np.float32), (chosen.query, chosen.candidate)), shape=shape)


def check_settings(settings: DataclassInstance, names: Sequence[str] = (), **ranges: tuple[float, float]) -> None:
    """Check a source's settings: numbers in ``ranges``, ends included; the others are whole numbers of at least 1.

    None is accepted where it is the default.

    Args:
        names: settings that are columns' names.

    Raises:
        ConfigError: for a setting out of range.
    """
    owner = type(settings).__name__
    for field in fields(settings):
        name, value = field.name, getattr(settings, field.name)
        if value is None and field.default is None:
            continue
        if name in names:
            if not isinstance(value, str):
                raise ConfigError(f"{owner} got {name}={value!r}; the name of a column was expected.")
            continue
        if name in ranges:
            low, high = ranges[name]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise ConfigError(f"{owner} got {name}={value!r}; a number from {low:g} to {high:g} was expected.")
        elif isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ConfigError(f"{owner} got {name}={value!r}; a whole number of at least 1 was expected.")


def check_fit(settings: DataclassInstance, train: object) -> None:
    """MissingExtraError without scipy, DataError for anything but a Dataset or Shards, and where every weight is 0."""
    owner = type(settings).__name__
    try:
        import scipy.sparse  # noqa: F401
    except ModuleNotFoundError as missing:
        raise MissingExtraError("scipy", "train", owner) from missing
    check_choices(train, f"{owner}.fit(train)", shards=True)
