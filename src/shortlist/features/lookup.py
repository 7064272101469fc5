"""Ids and categories: one embedding row for each known value, one shared row for all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import polars as pl

from shortlist.errors import DataError
from shortlist.features.checks import as_text, check_dim, not_fitted, nothing_to_learn, wrong_type
from shortlist.features.encoded import Codes
from shortlist.features.feature import State
from shortlist.features.vocabulary import Vocabulary

__all__ = ["Category", "IntegerLookup", "StringLookup"]


class _Lookup:
    kind: ClassVar[str]
    _takes: ClassVar[str]

    def __init__(
        self, column: str, vocabulary: Sequence[Any] | pl.Series | None = None, *, dim: int | None = None
    ) -> None:
        self.column = column
        self.dim = dim
        check_dim(self)
        self.vocabulary: Vocabulary | None = None
        if vocabulary is not None:
            values = vocabulary if isinstance(vocabulary, pl.Series) else pl.Series(column, list(vocabulary))
            self._check(values)
            self.vocabulary = Vocabulary(self._ids(values))
        self._given = vocabulary is not None

    def __repr__(self) -> str:
        known = "" if self.vocabulary is None else f", {len(self.vocabulary):,} values"
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

    def fit(self, values: pl.Series) -> None:
        """Take the distinct values as the vocabulary, unless one was given."""
        if values.null_count() < len(values):
            self._check(values)
        elif not self._given:
            raise nothing_to_learn(self, values)
        if not self._given:
            self.vocabulary = Vocabulary.of(self._ids(values))

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
        return {"column": self.column, "dim": self.dim, "vocabulary": self.vocabulary.ids}

    @classmethod
    def restore(cls, state: State) -> _Lookup:
        return cls(state["column"], state["vocabulary"], dim=state["dim"])


class StringLookup(_Lookup):
    """An embedding row for each string of a column.

    The vocabulary comes from the training data, or is given. Values outside it, and nulls, share one row.
    Raises DataError for a column that does not hold strings.

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
    """An embedding row for each integer of a column; like StringLookup in all else.

    >>> IntegerLookup("user_id", [7, 2**60]).encode(pl.Series([2**60, 8])).values.tolist()
    [2, 0]
    """

    kind: ClassVar[str] = "IntegerLookup"
    _takes = "integers"

    @classmethod
    def _accepts(cls, dtype: pl.DataType) -> bool:
        return dtype.is_integer()


class Category(_Lookup):
    """An embedding row for each value of a column of strings, integers or booleans; like StringLookup in all else.

    Which of the three it is, the training data decides (or the given vocabulary): ``"1"``, ``1`` and ``true`` are
    different values, and a column of another type later is a DataError. Null and unseen values share code 0.

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
