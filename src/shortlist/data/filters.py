"""Which interactions count: explicit steps before a split, each recorded in ``Dataset.notes``."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.argument_checks import check_dataset
from shortlist.data.dataset import Dataset
from shortlist.data.ids import require_column
from shortlist.data.readers import Table
from shortlist.errors import ConfigError, DataError
from shortlist.language import counted

__all__ = ["k_core", "keep_at_least"]


def keep_at_least(dataset: Dataset, column: str, value: float) -> Dataset:
    """The interactions of ``dataset`` with ``column`` ≥ ``value``: "a rating of 4 or more is a choice".

    Both tables stay as they are, so that candidates without such interactions still compete; ``k_core(…, 1)`` removes them.
    Rows where the column is null or NaN are left out. ``notes`` says how many were kept.

    Args:
        dataset: stays as it is.
        column: a column of numbers among the interactions.
        value: the least number to keep.

    Raises:
        DataError: for a column that does not exist or holds no numbers, and where nothing is left.
        ConfigError: for a value that is not a finite number.

    Example:
        >>> ratings = {"user": list("aab"), "film": [1, 2, 1], "stars": [5, 3, 4]}
        >>> kept = keep_at_least(Dataset(ratings, query="user", candidate="film"), "stars", 4)
        >>> kept, kept.notes
        (Dataset(2 interactions · 2 queries · 2 candidates), ('kept 2 of 3 interactions: stars at least 4',))
    """
    check_dataset(dataset, "keep_at_least()")
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise ConfigError(f"value is {value!r}; a finite number was expected.", hint='keep_at_least(data, "rating", 4)')
    require_column(Table(dataset.interactions, "interactions"), column, "column to filter by")
    numbers = dataset.interactions[column]
    if not numbers.dtype.is_numeric():
        raise DataError(f"the column {column!r} is of type {numbers.dtype}; expected numbers.", hint="cast it first")
    kept = (numbers >= value).fill_null(False)
    if numbers.dtype.is_float():
        kept &= ~numbers.is_nan().fill_null(False)
    if not kept.any():
        raise DataError(
            f"no interaction has {column} of at least {value!r}; the largest is {numbers.max()!r}.",
            hint="choose a smaller value",
        )
    note = f"kept {int(kept.sum()):,} of {counted(len(kept), 'interaction')}: {column} at least {value!r}"
    return dataset._filtered(kept.to_numpy())._noted(note)


def k_core(dataset: Dataset, k: int = 5, *, queries: int | None = None, candidates: int | None = None) -> Dataset:
    """The k-core of ``dataset``: queries and candidates that have at least ``k`` of the interactions that are left.

    1. Take out every query with fewer than ``queries`` interactions.
    2. Take out every candidate with fewer than ``candidates`` of what is left.
    3. Repeat until nothing changes; the result does not depend on the order (Batagelj, Zaveršnik 2003).

    Queries and candidates that are taken out leave the tables too: they no longer compete. Repeated pairs count as often as they
    occur. Figures on a core say nothing about the rest; ``notes`` says how much was taken out.

    Args:
        dataset: stays as it is.
        k: the least number of interactions, for both sides.
        queries: the same for queries alone; by default ``k``.
        candidates: the same for candidates alone; by default ``k``.

    Raises:
        ConfigError: for numbers below 1.
        DataError: where nothing is left.

    Example:
        >>> log = {"user": list("aabbc"), "film": [1, 2, 1, 2, 1]}
        >>> core = k_core(Dataset(log, query="user", candidate="film"), 2)   # c has one film only
        >>> core.interactions["user"].to_list(), core.queries["user"].to_list()
        (['a', 'a', 'b', 'b'], ['a', 'b'])
        >>> core.notes
        ('kept 4 of 5 interactions: queries with at least 2, candidates with at least 2 (2 of 3 queries, 2 of 2 candidates)',)
    """
    check_dataset(dataset, "k_core()")
    least = {
        "k": k,
        "queries": k if queries is None else queries,
        "candidates": k if candidates is None else candidates,
    }
    for name, number in least.items():
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise ConfigError(f"{name} is {number!r}; a whole number of at least 1 was expected.", hint="k=5")
    sides = ((dataset.query_rows, least["queries"]), (dataset.candidate_rows, least["candidates"]))
    kept = _core(sides)
    wanted = f"queries with at least {least['queries']}, candidates with at least {least['candidates']}"
    if not kept.any():
        raise DataError(f"no interactions are left in the core of {wanted}.", hint="choose a smaller k")
    tables: dict[str, pl.DataFrame] = {}
    for name, rows in (("queries", dataset.query_rows), ("candidates", dataset.candidate_rows)):
        tables[name] = getattr(dataset, name)[np.unique(rows[kept])]
    note = (
        f"kept {int(kept.sum()):,} of {counted(len(kept), 'interaction')}: {wanted} "
        f"({len(tables['queries']):,} of {counted(dataset.queries.height, 'query')}, "
        f"{len(tables['candidates']):,} of {counted(dataset.candidates.height, 'candidate')})"
    )
    return _rebuilt(dataset, dataset.interactions.filter(pl.Series(kept)), tables)._noted(*dataset.notes, note)


def _core(sides: tuple[tuple[NDArray[np.int32], int], ...]) -> NDArray[np.bool_]:
    """Which interactions are in the core, bool ``[interactions]``."""
    kept = np.ones(len(sides[0][0]), dtype=np.bool_)
    while True:
        before = int(kept.sum())
        for rows, least in sides:
            kept &= np.bincount(rows[kept], minlength=int(rows.max()) + 1)[rows] >= least
        if int(kept.sum()) == before:
            return kept


def _rebuilt(dataset: Dataset, interactions: pl.DataFrame, tables: dict[str, Any]) -> Dataset:
    columns = {"timestamp": dataset.timestamp, "weight": dataset.weight}
    rebuilt = Dataset._again(interactions, dataset.query, dataset.candidate, **columns, **tables)
    rebuilt._fill(seen_column=dataset.seen_column, _times=dataset._times, _files=dataset._files)
    return rebuilt
