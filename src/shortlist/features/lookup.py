"""Ids and categories: one embedding row for each known value, one shared row for all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import IdMap
from shortlist.errors import DataError
from shortlist.features.checks import (
    as_text,
    check_count,
    check_dim,
    not_fitted,
    nothing_to_learn,
    vocabulary_of,
    wrong_type,
)
from shortlist.features.encoded import Codes
from shortlist.features.feature import State
from shortlist.features.growth import grown, sighted
from shortlist.language import counted

__all__ = ["Category", "IntegerLookup", "StringLookup"]


class _Lookup:
    kind: ClassVar[str]
    _takes: ClassVar[str]

    def __init__(
        self,
        column: str,
        vocabulary: Sequence[Any] | pl.Series | None = None,
        *,
        dim: int | None = None,
        min_count: int = 1,
        evict_after: int | None = None,
    ) -> None:
        self.column = column
        self.dim = dim
        self.min_count = min_count
        self.evict_after = evict_after
        self.ages: NDArray[np.int32] | None = None
        check_dim(self)
        check_count(self, "min_count", min_count)
        if evict_after is not None:
            check_count(self, "evict_after", evict_after)
        self.vocabulary: IdMap | None = None
        if vocabulary is not None:
            values = vocabulary_of(self, vocabulary)
            self._check(values)
            self.vocabulary = IdMap.checked(self._ids(values))
        self._given = vocabulary is not None

    def __repr__(self) -> str:
        known = "" if self.vocabulary is None else f", {counted(len(self.vocabulary), 'value')}"
        return f"{self.kind}({self.column!r}{known})"

    @classmethod
    def _accepts(cls, dtype: pl.DataType) -> bool:
        raise NotImplementedError

    def _check(self, values: pl.Series) -> None:
        if self._accepts(values.dtype):
            return
        hint = "cast the column to String or Int64 first"
        for other in (StringLookup, IntegerLookup, Category):
            if other._accepts(values.dtype):
                hint = f"use {other.kind}({self.column!r})"
                break
        raise wrong_type(self, values, self._takes, hint)

    def _ids(self, values: pl.Series) -> pl.Series:
        """The values in the type in which the vocabulary keeps them."""
        return as_text(values)

    @property
    def fitted(self) -> bool:
        return self.vocabulary is not None

    def fit(self, values: pl.Series, sightings: NDArray[np.integer] | None = None) -> None:
        """Take the distinct values as the vocabulary, unless one was given; those of at least ``min_count`` sightings.

        Args:
            values: the column's training values.
            sightings: how often each of the values was seen, in interactions; once where it is None.
        """
        if values.null_count() < len(values):
            self._check(values)
        elif not self._given:
            raise nothing_to_learn(self, values)
        if self._given:
            return
        if self.min_count == 1:
            self.vocabulary = IdMap.of_values(self._ids(values))
            return
        seen = sighted(self._ids(values), sightings)
        admitted = seen.filter(pl.col("len") >= self.min_count)["id"]
        if admitted.is_empty():
            most = 0 if seen.is_empty() else int(np.max(seen["len"].to_numpy()))
            raise DataError(
                f"{self!r} admits values of at least {self.min_count} sightings; the most that one has is {most}.",
                hint="lower min_count",
            )
        self.vocabulary = IdMap(admitted)

    def grow(self, values: pl.Series, sightings: NDArray[np.integer] | None = None) -> NDArray[np.int32]:
        """Take in the values of later training data; the code that each code had before ``[cardinality]``, −1 for a new one.

        New values are admitted after ``min_count`` sightings; with ``evict_after=n``, a value is dropped that was in none of
        the last n data it might have been in. Rows of a table follow: ``new[code] = old[origin[code]]``.

        Args:
            values: the column in those data.
            sightings: how often each of the values was seen, in interactions; once where it is None.
        """
        if self.vocabulary is None:
            raise not_fitted(self, "vocabulary")
        if values.dtype != pl.Null:
            self._check(values)
        seen = sighted(self._ids(values), sightings)
        later = grown(self.vocabulary, self.ages, seen, self.min_count, self.evict_after)
        self.vocabulary, self.ages = later.vocabulary, later.ages
        return later.origin

    def encode(self, values: pl.Series) -> Codes:
        """Codes ``[len(values)]``; null and unknown values share code 0."""
        if self.vocabulary is None:
            raise not_fitted(self, "vocabulary")
        if values.dtype != pl.Null:
            self._check(values)
        return Codes(self.vocabulary.encode(self._ids(values)), self.vocabulary.cardinality)

    def state(self) -> State:
        if self.vocabulary is None:
            raise not_fitted(self, "vocabulary")
        state = {"column": self.column, "dim": self.dim, "vocabulary": self.vocabulary.ids}
        if self.min_count > 1:
            state["min_count"] = self.min_count
        if self.evict_after is not None:
            state["evict_after"] = self.evict_after
        if self.ages is not None:
            state["ages"] = pl.Series("ages", self.ages)
        return state

    @classmethod
    def restore(cls, state: State) -> _Lookup:
        options = {name: state[name] for name in ("dim", "min_count", "evict_after") if name in state}
        lookup = cls(state["column"], state["vocabulary"], **options)
        lookup.ages = np.array(state["ages"], np.int32) if "ages" in state else None
        return lookup


class StringLookup(_Lookup):
    """An embedding row for each string of a column.

    Values outside the vocabulary, and nulls, share one row.

    Args:
        column: a column of strings.
        vocabulary: the values to know; by default those of the training data.
        dim: the width of the rows, by default the tower's; set it for concatenated features ("concat").
        min_count: a value with fewer training interactions shares the row of unknown values.
        evict_after: for repeated training (see ``grow``): drop a value that did not occur in this many trainings.

    Raises:
        DataError: for a column that does not hold strings.

    Example:
        >>> lookup = StringLookup("title", ["Heat", "Fargo"])
        >>> lookup.encode(pl.Series(["Fargo", "Alien"])).values.tolist()
        [2, 0]
    """

    kind: ClassVar[str] = "StringLookup"
    _takes = "strings"

    @classmethod
    def _accepts(cls, dtype: pl.DataType) -> bool:
        return dtype in (pl.String, pl.Categorical, pl.Enum)


class IntegerLookup(_Lookup):
    """An embedding row for each integer of a column.

    Args:
        column: a column of integers.
        vocabulary: as in ``StringLookup``.
        dim: as in ``StringLookup``.
        min_count: as in ``StringLookup``.
        evict_after: as in ``StringLookup``.

    Example:
        >>> IntegerLookup("user_id", [7, 2**60]).encode(pl.Series([2**60, 8])).values.tolist()
        [2, 0]
    """

    kind: ClassVar[str] = "IntegerLookup"
    _takes = "integers"

    @classmethod
    def _accepts(cls, dtype: pl.DataType) -> bool:
        return dtype.is_integer()


class Category(_Lookup):
    """An embedding row for each value of a column of strings, integers or booleans.

    The training data (or the given vocabulary) decides which of the three it is: ``"1"``, ``1`` and ``true`` are
    different values, and a column of another type later is a DataError. Null and unseen values share code 0.

    Args:
        column: a column of strings, integers or booleans.
        vocabulary: as in ``StringLookup``.
        dim: as in ``StringLookup``.
        min_count: as in ``StringLookup``.
        evict_after: as in ``StringLookup``.

    Example:
        >>> Category("premium", [True, False]).encode(pl.Series([False, None, True])).values.tolist()
        [2, 0, 1]
    """

    kind: ClassVar[str] = "Category"
    _takes = "strings, integers or booleans"
    _booleans = False

    @classmethod
    def _accepts(cls, dtype: pl.DataType) -> bool:
        return dtype == pl.Boolean or StringLookup._accepts(dtype) or IntegerLookup._accepts(dtype)

    def _check(self, values: pl.Series) -> None:
        super()._check(values)
        booleans = values.dtype == pl.Boolean
        if self.vocabulary is None:
            self._booleans = booleans
        elif booleans != self._booleans:
            known = pl.Boolean() if self._booleans else self.vocabulary.ids.dtype
            raise DataError(
                f"{self.kind}({self.column!r}) got a column of type {values.dtype}; it was trained on {known}.",
                hint=f"cast the column to {known} first",
            )

    def _ids(self, values: pl.Series) -> pl.Series:
        return values.cast(pl.UInt8) if values.dtype == pl.Boolean else as_text(values)

    def state(self) -> State:
        state = super().state()
        if self._booleans:
            state["vocabulary"] = state["vocabulary"].cast(pl.Boolean)
        return state
