"""Ids and categories: one embedding row for each known value, one shared row for all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import polars as pl

from shortlist.errors import ConfigError, DataError
from shortlist.features.encoded import Codes
from shortlist.features.feature import State
from shortlist.features.vocabulary import Vocabulary

__all__ = ["IntegerLookup", "StringLookup"]


class _Lookup:
    kind: ClassVar[str]
    _holds: ClassVar[str]

    def __init__(
        self, column: str, vocabulary: Sequence[Any] | pl.Series | None = None, *, dim: int | None = None
    ) -> None:
        if dim is not None and dim < 1:
            raise ConfigError(f"{self.kind}({column!r}) got dim={dim}; it must be at least 1.")
        self.column = column
        self.dim = dim
        self.vocabulary: Vocabulary | None = None
        if vocabulary is not None:
            values = vocabulary if isinstance(vocabulary, pl.Series) else pl.Series(column, list(vocabulary))
            self._check(values)
            self.vocabulary = Vocabulary(values)
        self._given = vocabulary is not None

    def __repr__(self) -> str:
        known = "" if self.vocabulary is None else f", {len(self.vocabulary):,} values"
        return f"{self.kind}({self.column!r}{known})"

    @classmethod
    def _accepts(cls, dtype: pl.DataType) -> bool:
        raise NotImplementedError

    def _check(self, values: pl.Series) -> None:
        if not self._accepts(values.dtype):
            other = "IntegerLookup" if values.dtype.is_integer() else "StringLookup"
            known = values.dtype.is_integer() or values.dtype == pl.String
            raise DataError(
                f"{self.kind}({self.column!r}) got a column of type {values.dtype}; it takes {self._holds}.",
                hint=f"use {other}({self.column!r})" if known else "cast the column to String or Int64 first",
            )

    @property
    def fitted(self) -> bool:
        return self.vocabulary is not None

    def fit(self, values: pl.Series) -> None:
        """Take the distinct values as the vocabulary, unless one was given."""
        self._check(values)
        if not self._given:
            self.vocabulary = Vocabulary.of(values.cast(pl.String) if values.dtype == pl.Categorical else values)

    def encode(self, values: pl.Series) -> Codes:
        """Codes ``[len(values)]``; null and unknown values share code 0."""
        if self.vocabulary is None:
            raise ConfigError(f"{self!r} has no vocabulary yet.", hint="fit the model first, or give vocabulary=")
        if values.dtype != pl.Null:
            self._check(values)
        return Codes(self.vocabulary.encode(values), self.vocabulary.cardinality)

    def state(self) -> State:
        if self.vocabulary is None:
            raise ConfigError(f"{self!r} has no vocabulary yet.", hint="fit the model before saving it")
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

    kind = "StringLookup"
    _holds = "strings"

    @classmethod
    def _accepts(cls, dtype: pl.DataType) -> bool:
        return dtype in (pl.String, pl.Categorical, pl.Enum)


class IntegerLookup(_Lookup):
    """An embedding row for each integer of a column; like StringLookup in all else.

    >>> IntegerLookup("user_id", [7, 2**60]).encode(pl.Series([2**60, 8])).values.tolist()
    [2, 0]
    """

    kind = "IntegerLookup"
    _holds = "integers"

    @classmethod
    def _accepts(cls, dtype: pl.DataType) -> bool:
        return dtype.is_integer()
