"""Settings of ranked lists: popular, recently popular and new candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.choices import check_choices, choices_alone
from shortlist.errors import DataError, did_you_mean
from shortlist.index.values import offsets_of
from shortlist.sources.ranked import RankedList, newest_rows
from shortlist.sources.tables import check_settings

__all__ = ["Newest", "Popular", "Recent"]

DAY = 86_400_000_000  # microseconds
SPAN = 0.1  # of the time from the first interaction to the last: the half-life where none is given


@dataclass(frozen=True)
class Popular:
    """Settings of the list of candidates that were chosen most often.

    Rows with a weight of 0 are not counted; others count once, whatever their weight.

    Args:
        by: a column of the queries' table; each of its values with enough interactions gets a list of its own, queries with
            another value get everybody's.
        least: interactions that a value needs for a list of its own.
        length: most candidates of a list.

    Raises:
        ConfigError: for settings out of range.

    Example:
        model = sl.Mixture([towers, sl.Popular(by="country").fit(train)], train, weights=[0.9, 0.1])
    """

    by: str | None = None
    least: int = 200
    length: int = 1000

    def __post_init__(self) -> None:
        check_settings(self, names=("by", "column"))

    def fit(self, train: Dataset) -> RankedList:
        """The lists of ``train``.

        Raises:
            DataError: for anything but a Dataset, one in which every weight is 0, or a column that its queries lack.
        """
        check_choices(train, "Popular.fit(train)")
        train = choices_alone(train)
        return _counted(train, np.ones(len(train)), self, "popular")


@dataclass(frozen=True)
class Recent:
    """Settings of the list of candidates that were chosen most often lately.

    An interaction counts half as much for each ``half_life`` that it is older than the latest. Weights count as in ``Popular``.

    Args:
        half_life: in days where the timestamps are dates or times, else in their own unit; None takes a tenth of the time
            from the first interaction to the last.
        by: as in ``Popular``.
        least: as in ``Popular``.
        length: most candidates of a list.

    Raises:
        ConfigError: for settings out of range.
    """

    half_life: float | None = None
    by: str | None = None
    least: int = 200
    length: int = 1000

    def __post_init__(self) -> None:
        check_settings(self, names=("by",), half_life=(1e-9, 1e18))

    def fit(self, train: Dataset) -> RankedList:
        """The lists of ``train``.

        Raises:
            DataError: for anything but a Dataset, one without a timestamp or in which every weight is 0, or a column that its queries lack.
        """
        check_choices(train, "Recent.fit(train)")
        if train.timestamp is None:
            raise DataError(
                "Recent needs timestamps, and this Dataset has none.", hint="Dataset(…, timestamp=…), or Popular()"
            )
        train = choices_alone(train)
        times = train.times
        moments = times.cast(pl.Datetime("us")) if times.dtype.is_temporal() else times
        age: NDArray[np.float64] = moments.to_physical().cast(pl.Float64).to_numpy()
        age = age.max(initial=-np.inf) - age
        unit = DAY if times.dtype.is_temporal() else 1.0
        half_life = SPAN * age.max(initial=0.0) if self.half_life is None else self.half_life * unit
        weights = np.exp2(-age / half_life) if half_life > 0 else np.ones(len(train))
        return _counted(train, weights, self, "recent")


@dataclass(frozen=True)
class Newest:
    """Settings of the list of new candidates.

    Candidates that ``upsert`` adds later come first, or in the place of their value.

    Args:
        column: of the candidates' table, with numbers, dates or times; the largest come first, null is not listed. None for the
            order of arrival: a candidate's first interaction, or its place in the table where there are no timestamps;
            candidates that nobody chose are not listed.
        length: most candidates of the list.

    Raises:
        ConfigError: for settings out of range.
    """

    column: str | None = None
    length: int = 1000

    def __post_init__(self) -> None:
        check_settings(self, names=("by", "column"))

    def fit(self, train: Dataset) -> RankedList:
        """The list of ``train``.

        Raises:
            DataError: for anything but a Dataset, one in which every weight is 0, or a column that its candidates lack or that has no order.
        """
        check_choices(train, "Newest.fit(train)")
        candidates = train.candidates
        if self.column is not None:
            column = _column(candidates, self.column, "candidates")
            if not (column.dtype.is_numeric() or column.dtype.is_temporal()):
                raise DataError(
                    f"the candidates' column {self.column!r} is of type {column.dtype}; numbers, dates or times were expected."
                )
            rows = newest_rows(column, self.length)
        else:
            rows = newest_rows(_arrivals(train), self.length)
        ids = candidates[train.candidate]
        return RankedList(
            np.array([0, len(rows)], np.int64), rows, len(ids), "new", length=self.length, newest=self.column, ids=ids
        )


def _arrivals(train: Dataset) -> pl.Series:
    """When each candidate was first chosen, by rank; null for one that was not."""
    train = choices_alone(train)
    rows = train.candidate_rows.astype(np.int64)
    if train.timestamp is None:
        first = np.where(np.bincount(rows, minlength=len(train.candidates)) > 0, np.arange(len(train.candidates)), -1)
    else:
        moment = train.times.rank("dense").to_numpy().astype(np.int64)
        first = np.full(len(train.candidates), np.iinfo(np.int64).max)
        np.minimum.at(first, rows, moment)
        first[first == np.iinfo(np.int64).max] = -1
    return pl.Series([None if one < 0 else one for one in first.tolist()], dtype=pl.Int64)


def _counted(train: Dataset, weights: NDArray[np.float64], settings: Popular | Recent, kind: str) -> RankedList:
    """Everybody's list and one for each segment that is large enough, by the sum of weights; equal sums by row."""
    size = len(train.candidates)
    lists = [_heaviest(np.bincount(train.candidate_rows, weights, size), settings.length)]
    values: list[str | int | bool] = []
    if settings.by is not None:
        column = _column(train.queries, settings.by, "queries")
        if not (column.dtype.is_integer() or column.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum)):
            raise DataError(
                f"the queries' column {settings.by!r} is of type {column.dtype}; text, whole numbers or booleans were expected."
            )
        if column.dtype in (pl.Categorical, pl.Enum):
            column = column.cast(pl.String)
        of_row = column.gather(train.query_rows)
        for value in of_row.drop_nulls().unique().sort().to_list():
            here = (of_row == value).fill_null(False).to_numpy()
            if here.sum() >= settings.least:
                counts = np.bincount(train.candidate_rows[here], weights[here], size)
                lists.append(_heaviest(counts, settings.length))
                values.append(value)
    offsets = offsets_of([len(one) for one in lists])
    rows, ids = np.concatenate(lists), train.candidates[train.candidate]
    return RankedList(offsets, rows, size, kind, settings.by, tuple(values), length=settings.length, ids=ids)


def _heaviest(counts: NDArray[Any], most: int) -> NDArray[np.int32]:
    """Rows with a count above 0, largest first, so many at most."""
    order = np.argsort(-counts, kind="stable")[:most]
    return order[counts[order] > 0].astype(np.int32)


def _column(table: pl.DataFrame, name: str, owner: str) -> pl.Series:
    if name not in table.columns:
        raise DataError(f"the {owner} have no column {name!r}.", hint=did_you_mean(name, table.columns))
    return table[name]
