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
from shortlist.index.values import offsets_of
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

WEIGHT = np.uint32(0xFFFFFFFF)
COLUMN = np.uint64(32)  # bits
FEW = 4  # values that one maximum stands for
BLOCK = 1 << 18  # products of a block of sparse rows, which stay in the processor's cache


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
    offsets = offsets_of(np.bincount(query[kept], minlength=len(query_ids)))
    return Lists(offsets, candidate[kept][order])


def heaviest(
    matrix: Any, most: int, first: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Offsets, columns and weights of the ``most`` heaviest entries above 0 of each row of a CSR matrix.

    Heaviest first; of equal weights the lower column. Entries below a bound that at least ``most`` entries of their row reach are
    left out, and the rest of each row is sorted.

    Args:
        matrix: sparse ``[rows, columns]``; no row has a column twice.
        most: entries that each row keeps.
        first: where given, row i is candidate ``first + i``, whose own column is left out.
    """
    matrix = matrix.tocsr()
    values, offsets = matrix.data.astype(np.float32), matrix.indptr
    least = _least(values, offsets, most + (first is not None))
    kept = np.flatnonzero(values >= least.repeat(np.diff(offsets)))
    row = np.arange(matrix.shape[0], dtype=np.int32).repeat(np.diff(offsets))[kept]
    columns = matrix.indices[kept]
    if first is not None:
        others = columns != row + first
        kept, row, columns = kept[others], row[others], columns[others]
    # the bits of floats above 0 rise as they do
    key = (WEIGHT - values[kept].view(np.uint32)).astype(np.uint64) << COLUMN
    key |= columns.astype(np.uint64)
    counts = np.bincount(row, minlength=matrix.shape[0])
    ends = counts.cumsum()
    for low, high in zip((ends - counts).tolist(), ends.tolist(), strict=True):
        key[low:high].sort()
    key = key[np.arange(len(key)) - (ends - counts).repeat(counts) < most]
    weights = WEIGHT - (key >> COLUMN).astype(np.uint32)
    ends = np.minimum(counts, most).cumsum()
    return np.concatenate([[0], ends]), key.astype(np.uint32).view(np.int32), weights.view(np.float32)


def _least(values: NDArray[np.float32], offsets: NDArray[np.int32], most: int) -> NDArray[np.float32]:
    """For each row a number above 0 that at least ``most`` of its values reach, or the smallest above 0.

    In a long row it is the ``most``-th largest of the maxima of every ``FEW`` values: that many values reach it, and few others.
    """
    whole = len(values) // FEW * FEW
    maxima = np.maximum.reduce([values[place:whole:FEW] for place in range(FEW)])
    begin, end = -(-offsets[:-1] // FEW), offsets[1:] // FEW  # maxima of a row's values alone
    least = np.full(len(offsets) - 1, np.finfo(np.float32).smallest_subnormal)
    long = np.flatnonzero(end - begin >= most)
    for row, low, high in zip(long.tolist(), begin[long].tolist(), end[long].tolist(), strict=True):
        place = high - low - most
        maxima[low:high].partition(place)
        least[row] = max(least[row], maxima[low + place])
    return least


def in_blocks(products: NDArray[np.int64]) -> list[slice]:
    """Runs of rows that cost about ``BLOCK`` products each, or as many as there are rows; at least one row.

    Args:
        products: int64 ``[rows]``, the cost of each row.
    """
    edges = np.floor(np.cumsum(products.astype(np.float64)) / max(BLOCK, len(products))).astype(np.int64)
    starts = np.flatnonzero(np.diff(edges, prepend=-1)).tolist()
    return [slice(low, high) for low, high in zip(starts, [*starts[1:], len(products)], strict=True)]


def joined(parts: list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]], **options: Any) -> Neighbours:
    """Neighbours of blocks of rows, one after another, as one table."""
    counts = np.concatenate([np.diff(offsets) for offsets, _, _ in parts])
    offsets = offsets_of(counts)
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
