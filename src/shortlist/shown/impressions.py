"""A table of shown places, checked and as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import TableLike
from shortlist.data.id_map import IdMap
from shortlist.data.ids import require_column, settle_ids
from shortlist.data.readers import Table, read_table
from shortlist.errors import ConfigError, DataError
from shortlist.language import counted

__all__ = ["Impressions", "Places", "check_apart", "flags", "places_from_one", "read_impressions", "rows_of"]

NAME = "impressions"


@dataclass(frozen=True)
class Places:
    """The columns of a table of shown places.

    Attributes:
        query: ids of queries.
        candidate: ids of candidates.
        place: where each was shown, from 1.
        clicked: whether it was clicked.
    """

    query: str
    candidate: str
    place: str
    clicked: str

    def __post_init__(self) -> None:
        check_apart(query=self.query, candidate=self.candidate, place=self.place, clicked=self.clicked)


@dataclass(frozen=True, eq=False)
class Impressions:
    """One entry per place shown.

    Attributes:
        query: int64 ``[rows]``, rows of ``query_ids``.
        candidate: int64 ``[rows]``, rows of ``candidate_ids``.
        place: int64 ``[rows]``, from 1.
        clicked: float64 ``[rows]``, 0 or 1.
        lists: int64 ``[queries]``, how many lists each query was shown: how often its most frequent place or candidate was.
        query_ids: the distinct ids of queries.
        candidate_ids: the distinct ids of candidates.
        table: the table, with ids of one type.
    """

    query: NDArray[np.int64]
    candidate: NDArray[np.int64]
    place: NDArray[np.int64]
    clicked: NDArray[np.float64]
    lists: NDArray[np.int64]
    query_ids: IdMap
    candidate_ids: IdMap
    table: pl.DataFrame

    def __len__(self) -> int:
        return len(self.query)

    @property
    def deepest(self) -> int:
        """The last place that was shown."""
        return int(self.place.max())

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pair of query and candidate of each row, numbered from 0, and how often each pair was shown."""
        keys = self.query * len(self.candidate_ids) + self.candidate
        _, pair, times = np.unique(keys, return_inverse=True, return_counts=True)
        return pair.astype(np.int64).reshape(-1), times.astype(np.int64)


def read_impressions(table: TableLike, columns: Places, others: Sequence[str] = ()) -> Impressions:
    """The table, checked.

    Args:
        table: whatever ``Dataset`` takes.
        columns: its columns.
        others: more columns that have to be there.

    Raises:
        DataError: a missing column, a null, an id that is neither string nor integer, a place that is not a whole number
            from 1, a click that is neither yes nor no, no rows.
    """
    named = [columns.place, columns.clicked, *others]
    read = read_table(table, NAME, ids=(columns.query, columns.candidate), others=named)
    for column, role in (
        (columns.query, "query"),
        (columns.candidate, "candidate"),
        (columns.place, "place"),
        (columns.clicked, "clicked"),
        *((other, "column") for other in others),
    ):
        require_column(read, column, role)
    frame = read.frame
    for column, role in ((columns.query, "query"), (columns.candidate, "candidate")):
        (frame,) = settle_ids([Table(frame, NAME, read.untyped, places=read.places)], column, role)
    query_ids, candidate_ids = (
        IdMap(frame[column].unique(maintain_order=True)) for column in (columns.query, columns.candidate)
    )
    query, place = query_ids.find(frame[columns.query]), _places(frame[columns.place])
    candidate = candidate_ids.find(frame[columns.candidate])
    lists = np.zeros(len(query_ids), np.int64)
    for each in (place, candidate):  # a list has each place once, and each candidate
        pairs, times = np.unique(np.stack([query, each]), axis=1, return_counts=True)
        np.maximum.at(lists, pairs[0], times)
    return Impressions(
        query,
        candidate,
        place,
        flags(frame[columns.clicked]),
        lists,
        query_ids,
        candidate_ids,
        frame,
    )


def rows_of(values: pl.Series, known: IdMap, what: str) -> NDArray[np.int64]:
    """Rows of ids among those of the impressions, −1 for ids that they lack.

    Raises:
        DataError: where one side has strings and the other integers.
    """
    if len(values) and (values.dtype == pl.String) != known.strings:
        raise DataError(
            f"the {what} of the new lists are {values.dtype} and those of the impressions {known.ids.dtype}; "
            "expected one type.",
            hint='cast one of them; the value "1" and the value 1 are different ids',
        )
    return known.find(values)


def flags(values: pl.Series) -> NDArray[np.float64]:
    """Yes and no as 1 and 0.

    Raises:
        DataError: for a null, or any other value.
    """
    if values.null_count():
        raise DataError(
            f"the {NAME} table has {counted(values.null_count(), 'null')} in {values.name!r}; expected true or false.",
            hint="fill them: frame.with_columns(pl.col(…).fill_null(False))",
        )
    if values.dtype == pl.Boolean:
        values = values.cast(pl.Float64)
    if values.dtype.is_numeric():
        numbers: NDArray[np.float64] = values.cast(pl.Float64).to_numpy()
        if np.isin(numbers, (0.0, 1.0)).all():
            return numbers
    raise DataError(
        f"the {NAME} table's {values.name!r} holds {_example(values)}; expected true or false, or 1 and 0.",
        hint=f"frame.with_columns(pl.col({values.name!r}) > 0)" if values.dtype.is_numeric() else "cast it to Boolean",
    )


def check_apart(**columns: str | None) -> None:
    """ConfigError where one column is named for two roles."""
    named: dict[str, str] = {}
    for role, column in columns.items():
        if column is None:
            continue
        if column in named:
            raise ConfigError(
                f"{named[column]} and {role} are both {column!r}; expected two different columns.",
                hint=f"{role}=…",
            )
        named[column] = role


def places_from_one(values: pl.Series) -> pl.Series | None:
    """Places of any integer type as Int64; None if one is null, below 1 or beyond 2^31 − 1, or the type is another."""
    if not values.dtype.is_integer():
        return None
    places = values.cast(pl.Int64, strict=False)  # a place beyond Int64 becomes null
    return places if places.is_between(1, (1 << 31) - 1).fill_null(False).all() else None


def _places(values: pl.Series) -> NDArray[np.int64]:
    places = places_from_one(values)
    if places is not None:
        return places.to_numpy()
    raise DataError(
        f"the {NAME} table's {values.name!r} holds {_example(values, 1)}; expected whole numbers from 1, the first place.",
        hint=_hint_of_places(values),
    )


def _hint_of_places(values: pl.Series) -> str:
    column = f"pl.col({values.name!r})"
    if values.null_count():
        return f"drop rows without a place: frame.drop_nulls({values.name!r})"
    if not values.dtype.is_integer():
        return f"write them as whole numbers: frame.with_columns({column}.cast(pl.Int64))"
    return f"where places begin at 0, count from 1: frame.with_columns({column} + 1)"


def _example(values: pl.Series, least: int = 0) -> str:
    """A value that may be the wrong one, for a message."""
    if values.null_count():
        return "a null"
    wrong: Any = values.head(1)
    if values.dtype.is_integer():
        numbers = values.cast(pl.Int64, strict=False)
        outside = values.filter(~numbers.is_between(least, (1 << 31) - 1 if least else 1).fill_null(False))
        wrong = outside.head(1) if len(outside) else wrong
    elif values.dtype.is_numeric():
        outside = values.filter(~values.is_in([0.0, 1.0]))
        wrong = outside.head(1) if len(outside) else wrong
    return f"{str(wrong.item())[:40]!r}, of type {values.dtype}" if len(wrong) else f"values of type {values.dtype}"
