"""Checks that every feature shares, in one wording: what was given, what was expected, what to do."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import ConfigError, DataError, checked_list
from shortlist.features.feature import Feature
from shortlist.language import counted

__all__ = [
    "MAX_ROWS",
    "ValueRefusedError",
    "as_text",
    "check_count",
    "check_dim",
    "finite",
    "not_fitted",
    "nothing_to_learn",
    "vocabulary_of",
    "wrong_type",
]

MAX_ROWS = 2**31 - 2  # rows of an embedding table at most, so that codes fit int32


class ValueRefusedError(DataError):
    """Values of a column that a feature does not take. row: where the first is in the column, counted from 0."""

    def __init__(self, problem: str, rows: NDArray[np.integer], takes: str, hint: str) -> None:
        self.problem, self.row, self.takes = problem, int(rows[0]), takes
        super().__init__(f"{problem}, the first in row {self.row} (counted from 0); {takes}", hint)

    def where(self, place: str) -> DataError:
        """The same with words for the place that say more than a row."""
        return DataError(f"{self.problem}, the first {place}; {self.takes}", self.hint)


def check_dim(feature: Feature) -> None:
    """Check an embedding's width; None stands for the tower's.

    Raises:
        ConfigError: for a ``dim`` that no embedding can have.
    """
    if feature.dim is not None:
        check_count(feature, "dim", feature.dim)


def check_count(feature: Feature, option: str, value: int, least: int = 1) -> None:
    """Check an option that counts something.

    Raises:
        ConfigError: for anything but a whole number of at least ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_ROWS:
        raise ConfigError(
            f"{feature.kind}({feature.column!r}) got {option}={value!r}; it must be a whole number of at least {least}."
        )


def vocabulary_of(feature: Feature, values: object) -> pl.Series:
    """A vocabulary that was given, as a column.

    Raises:
        ConfigError: for anything but a column or a list.
        DataError: for values that no column can hold.
    """
    if isinstance(values, pl.Series):
        return values
    where = f"{feature.kind}({feature.column!r}, vocabulary=)"
    listed = checked_list(values, where, "values")
    try:
        return pl.Series(feature.column, listed)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:  # lone surrogates too
        raise DataError(f"{where} cannot be read: {error}.", hint="give values of one type") from error


def wrong_type(feature: Feature, values: pl.Series, takes: str, hint: str | None = None) -> DataError:
    """The error for a column of a type that the feature does not take."""
    return DataError(
        f"{feature.kind}({feature.column!r}) got a column of type {values.dtype}; it takes {takes}.", hint=hint
    )


def not_fitted(feature: Feature, lacks: str) -> ConfigError:
    """The error of a feature that is used before it was trained."""
    return ConfigError(
        f"{feature.kind}({feature.column!r}) has no {lacks} yet.", hint="train the model with fit() first"
    )


def nothing_to_learn(feature: Feature, values: pl.Series) -> DataError:
    """The error for a training column of nulls only."""
    return DataError(
        f"{feature.kind}({feature.column!r}) got {counted(len(values), 'training row')} without any value; "
        "at least one was expected.",
        hint="omit this feature, or check how the column was joined to the table",
    )


def as_text(values: pl.Series) -> pl.Series:
    """Categories as the strings they stand for; anything else unchanged."""
    return values.cast(pl.String) if isinstance(values.dtype, (pl.Categorical, pl.Enum)) else values


def finite(feature: Feature, values: pl.Series) -> NDArray[np.float64]:
    """The non-null numbers of a column.

    Raises:
        DataError: for other types, and where one is NaN or infinite.
    """
    if values.dtype == pl.Null:
        return np.empty(0)
    if not values.dtype.is_numeric():
        hint = "cast the column to Float64 first"
        if values.dtype.is_temporal():
            hint = f"use Timestamp({feature.column!r})"
        elif values.dtype == pl.Boolean:
            hint = f"use Category({feature.column!r})"
        raise wrong_type(feature, values, "numbers", hint)
    numbers: NDArray[np.float64] = values.drop_nulls().cast(pl.Float64).to_numpy()
    if not np.isfinite(numbers).all():
        nans, bad = int(np.isnan(numbers).sum()), int((~np.isfinite(numbers)).sum())
        raise ValueRefusedError(
            f"{feature.kind}({feature.column!r}) got {nans:,} NaN and {counted(bad - nans, 'infinite value')} "
            f"in {counted(len(values), 'row')}",
            values.is_not_null().to_numpy().nonzero()[0][~np.isfinite(numbers)],
            "it takes finite numbers and nulls.",
            hint=f"a missing value is a null: frame.with_columns(pl.col({feature.column!r}).fill_nan(None))",
        )
    return numbers
