"""The lists that a new bundle would have shown, joined with those that were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.argument_checks import check_methods
from shortlist.data.ids import few, require_column, settle_ids
from shortlist.data.readers import Table, is_frame, read_table
from shortlist.errors import ConfigError, DataError
from shortlist.language import counted
from shortlist.shown.impressions import Impressions, Places, places_from_one, rows_of

__all__ = ["NewLists", "read_new_lists"]

NAME = "new lists"


@dataclass(frozen=True, eq=False)
class NewLists:
    """One entry per place of the new lists, one list per query of the impressions.

    Attributes:
        query: int64 ``[items]``, rows of the impressions' queries.
        candidate: int64 ``[items]``, rows of the impressions' candidates; −1 for one that was never shown to anybody.
        place: int64 ``[items]``, from 1.
        unshown: ids of some candidates that were never shown to anybody.
        notes: what a reader of the estimate should know of these lists.
    """

    query: NDArray[np.int64]
    candidate: NDArray[np.int64]
    place: NDArray[np.int64]
    unshown: pl.Series
    notes: tuple[str, ...] = ()


def read_new_lists(new: Any, shown: Impressions, columns: Places, k: int) -> NewLists:
    """The first ``k`` places of the new lists for the queries of the impressions.

    Args:
        new: a ``Recommender``, or a table with a row per place (query, candidate and place, as the impressions call them).
        shown: the impressions.
        columns: what the columns are called.
        k: places of a list.

    Raises:
        ConfigError: for what is neither.
        DataError: for a bad table, a query without a list, or a recommender that leaves the clicked candidates out.
    """
    if hasattr(type(new), "recommend") and not isinstance(new, type):
        return _asked(new, shown, k)
    if isinstance(new, (str, Path)) and (Path(new) / "manifest.json").exists():
        raise ConfigError(
            f"off_policy_evaluate(new) got the bundle {str(new)!r}; a Recommender or a table of lists was expected.",
            hint=f'shortlist.Recommender.load("{new}")',
        )
    if isinstance(new, type) or not (isinstance(new, (str, Path, Mapping, Sequence)) or is_frame(new)):
        check_methods(
            new,
            "off_policy_evaluate(new)",
            ("recommend",),
            "a Recommender or a table of lists",
            hint="shortlist.Recommender.load(path), or a table with a row for each place of the new lists",
        )
    return _read(new, shown, columns, k)


def _asked(recommender: Any, shown: Impressions, k: int) -> NewLists:
    queries = shown.query_ids.ids
    listed = [answer.ids for answer in recommender.recommend(queries.to_list(), k=k)]
    lengths = np.array([len(one) for one in listed], np.int64)
    ids = [one for own in listed for one in own]
    query = np.repeat(np.arange(len(listed)), lengths)
    place = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    values = pl.Series("candidates", ids) if ids else pl.Series("candidates", [], shown.candidate_ids.ids.dtype)
    candidate = rows_of(values, shown.candidate_ids, "candidates")
    return NewLists(query, candidate, place, _unshown(values, candidate), _left_out(recommender, shown))


def _left_out(recommender: Any, shown: Impressions) -> tuple[str, ...]:
    """A note where clicked candidates are left out of the new lists as seen; DataError where most are."""
    seen = getattr(recommender, "seen", None)
    clicked = np.flatnonzero(shown.clicked > 0)
    if seen is None or not len(clicked):
        return ()
    queries = shown.query_ids.find(seen.queries[seen.query])[seen.query_rows]
    candidates = shown.candidate_ids.find(seen.candidates[seen.candidate])[seen.candidate_rows]
    known = (queries >= 0) & (candidates >= 0)
    size = len(shown.candidate_ids)
    keys = shown.query[clicked] * size + shown.candidate[clicked]
    out = int(np.isin(keys, queries[known] * size + candidates[known]).sum())
    if out > len(clicked) / 2:
        raise DataError(
            f"{out:,} of {counted(len(clicked), 'clicked candidate')} are left out of the new lists, because the recommender has "
            "seen them: it was trained on the clicks of these impressions.",
            hint="train it on what was known before the impressions, or give its lists as a table",
        )
    return (
        (
            f"{out:,} of {counted(len(clicked), 'clicked candidate')} are left out of the new lists as seen; if these clicks were "
            "trained on, the estimate is wrong",
        )
        if out
        else ()
    )


def _read(table: Any, shown: Impressions, columns: Places, k: int) -> NewLists:
    read = read_table(table, NAME, ids=(columns.query, columns.candidate), others=[columns.place])
    frame = read.frame
    for column, role in ((columns.query, "query"), (columns.candidate, "candidate"), (columns.place, "place")):
        require_column(read, column, role)
    for column, role in ((columns.query, "query"), (columns.candidate, "candidate")):
        _, frame = settle_ids(
            [Table(shown.table, "impressions"), Table(frame, NAME, read.untyped, places=read.places)], column, role
        )
    places = places_from_one(frame[columns.place])
    if places is None:
        raise DataError(
            f"the {NAME} table's {columns.place!r} is not a whole number from 1 everywhere.",
            hint="number the places of each list from 1",
        )
    frame = frame.with_columns(places).filter(places <= k)
    query = rows_of(frame[columns.query], shown.query_ids, "queries")
    keep = query >= 0
    frame, query = frame.filter(pl.Series(keep)), query[keep]
    for repeated in (columns.place, columns.candidate):
        if frame.select(columns.query, repeated).is_duplicated().any():
            raise DataError(
                f"the {NAME} table has two rows of one {columns.query!r} with the same {repeated!r}; "
                "expected one list for each query, and each candidate once in it.",
                hint="keep one list for each query",
            )
    without = np.setdiff1d(np.arange(len(shown.query_ids)), query)
    if len(without):
        raise DataError(
            f"{counted(len(without), 'query')} of the impressions have no new list: "
            f"{few(shown.query_ids.ids.gather(without))}.",
            hint="give a list for every query that was shown one, or leave these queries out of the impressions",
        )
    candidate = rows_of(frame[columns.candidate], shown.candidate_ids, "candidates")
    place = frame[columns.place].to_numpy()
    return NewLists(query, candidate, place, _unshown(frame[columns.candidate], candidate))


def _unshown(values: pl.Series, candidate: NDArray[np.int64]) -> pl.Series:
    return pl.Series(values.filter(pl.Series(candidate < 0)).unique().sort())


def check_k(k: object, deepest: int) -> int:
    """The length of the new lists: by default that of the longest list shown.

    Raises:
        ConfigError: unless it is a whole number from 1.
    """
    if k is None:
        return deepest
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ConfigError(f"k is {k!r}; a whole number from 1 was expected.", hint="k=10")
    return k
