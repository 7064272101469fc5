"""Groups of test pairs: by a column, by the query's training interactions, by the candidate's popularity."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.ids import unpatterned
from shortlist.errors import ConfigError, ShortlistWarning, did_you_mean
from shortlist.evaluation.testset import TestSet

__all__ = ["BUILT_IN", "Group", "by_values", "grouped", "segment_names"]

BUILT_IN = ("query_history", "candidate_popularity", "head_tail", "warm_cold")
GROUPS = 12
SEPARATOR = "|"

Group = tuple[str, NDArray[np.bool_]]
"""A group's name and which pairs belong to it, bool ``[pairs]``."""


def segment_names(test: Dataset) -> list[str]:
    """Every segment that the test data allows."""
    return [*BUILT_IN, *(column for column in _columns(test) if column not in BUILT_IN)]


def _columns(test: Dataset) -> list[str]:
    """The columns of the test data other than ids."""
    columns = [*test.queries.columns, *test.candidates.columns, *test.interactions.columns]
    return [column for column in dict.fromkeys(columns) if column not in (test.query, test.candidate)]


def grouped(name: str, data: Dataset, test: TestSet) -> Iterator[Group]:
    """The groups of one segment, those without a pair left out.

    A built-in name or a column of the queries, the candidates or the interactions. Numbers fall into quartiles, text into
    its commonest values and the rest; a list, or text with "|" between values, puts a pair into each value's group.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in segment_names(data):
        raise ConfigError(f"there is no segment {name!r}.", hint=did_you_mean(name, segment_names(data)))
    if name in BUILT_IN and name in _columns(data):
        message = (
            f"the segment {name!r} is the built-in one, not the column that is called so; rename the column to see it."
        )
        warnings.warn(message, ShortlistWarning, stacklevel=2)
    groups = _built_in(name, test) if name in BUILT_IN else by_values(_values(name, data))
    for group, mask in groups:
        if mask.any():
            yield group, mask


def _built_in(name: str, test: TestSet) -> Iterator[Group]:
    history = test.query_counts[test.query]
    counts = test.candidate_counts[test.candidate]
    if name == "query_history":
        edges = [0, 1, 5, 20, 100]
        for low, high in zip(edges, [*edges[1:], None], strict=True):
            text = "none" if low == 0 else f"{low}–{high - 1}" if high else f"{low} and more"
            yield text, (history >= low) & (history < (high or np.inf))
    elif name == "candidate_popularity":
        yield from _deciles(test, counts)
    elif name == "head_tail":
        head = counts >= _head(test.candidate_counts)
        yield "head: most popular with half of all interactions", head
        yield "tail", ~head & (counts > 0)
        yield "never chosen in training", counts == 0
    else:
        warm, known = history > 0, counts > 0
        yield "warm query, warm candidate", warm & known
        yield "cold query, warm candidate", ~warm & known
        yield "warm query, cold candidate", warm & ~known
        yield "cold query, cold candidate", ~warm & ~known


def _deciles(test: TestSet, counts: NDArray[np.int64]) -> Iterator[Group]:
    """Tenths of the catalogue by training count, equal counts together; the first is the most popular."""
    order = np.sort(test.candidate_counts)[::-1]
    edges = [order[min(len(order) - 1, len(order) * i // 10)] for i in range(1, 10)]
    decile = (counts[:, None] < np.array(edges)[None, :]).sum(1)
    ends = {0: "decile 1 (most popular)", 9: "decile 10 (least popular)"}
    for number in range(10):
        yield ends.get(number, f"decile {number + 1}"), decile == number


def _head(counts: NDArray[np.int64]) -> int:
    """The count from which candidates hold half of all interactions."""
    order = np.sort(counts)[::-1]
    return int(order[np.searchsorted(np.cumsum(order), order.sum() / 2)]) if order.sum() else 1


def _values(column: str, test: Dataset) -> pl.Series:
    """The column's value of each pair."""
    if column in test.interactions.columns:
        return unpatterned(test.interactions[column])
    if column in test.queries.columns:
        return unpatterned(test.queries[column]).gather(test.query_rows)
    return unpatterned(test.candidates[column]).gather(test.candidate_rows)


def by_values(values: pl.Series) -> Iterator[Group]:
    """Groups of rows by their value in a column: quartiles of numbers, the commonest values and the rest of others."""
    dtype = values.dtype
    if dtype == pl.String and values.str.contains(SEPARATOR, literal=True).any():
        values = values.str.split(SEPARATOR)
        dtype = values.dtype
    if isinstance(dtype, (pl.List, pl.Array)):
        yield from _by_member(values)
    elif (dtype.is_numeric() or dtype.is_temporal()) and values.n_unique() > GROUPS:
        yield from _quartiles(values)
    else:
        text = values.cast(pl.String)
        yield from _commonest(text, [(text == name).fill_null(False).to_numpy() for name in _common(text)])


def _by_member(values: pl.Series) -> Iterator[Group]:
    rows = pl.DataFrame({"row": np.arange(len(values)), "value": values}).explode("value")
    text = rows["value"].cast(pl.String)
    names = _common(text)
    masks = []
    for name in names:
        mask = np.zeros(len(values), np.bool_)
        mask[rows["row"].filter(text == name).to_numpy()] = True
        masks.append(mask)
    yield from _commonest(text, masks)


def _common(text: pl.Series) -> Sequence[str]:
    return (
        text.drop_nulls()
        .alias("value")
        .value_counts(sort=True)
        .sort(["count", "value"], descending=[True, False])["value"]
        .head(GROUPS - 1)
        .to_list()
    )


def _commonest(text: pl.Series, masks: list[NDArray[np.bool_]]) -> Iterator[Group]:
    yield from zip(_common(text), masks, strict=True)
    if masks:
        yield "other or none given", ~np.logical_or.reduce(masks)


def _quartiles(values: pl.Series) -> Iterator[Group]:
    numbers = values.to_physical().cast(pl.Float64)
    array = numbers.fill_null(np.nan).to_numpy()
    edges = np.nanquantile(array, [0, 0.25, 0.5, 0.75, 1])
    for low, high, last in zip(edges[:-1], edges[1:], [False, False, False, True], strict=True):
        inside = (array >= low) & ((array <= high) if last else (array < high))
        ends = values.filter(pl.Series(inside))
        if len(ends):
            yield f"{ends.min()} to {ends.max()}", inside
    yield "none given", np.isnan(array)
