"""Values of a vocabulary too large to keep, as a fixed number of buckets."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import DataError
from shortlist.features.checks import as_text, check_count, check_dim, not_fitted, nothing_to_learn, wrong_type
from shortlist.features.encoded import Codes
from shortlist.features.feature import State
from shortlist.features.stable_hash import hash_integers, hash_strings
from shortlist.language import counted

__all__ = ["Hashing"]


class Hashing:
    """An embedding row for each of ``buckets`` hashes of a column of strings or integers.

    Any value has a bucket, seen in training or not; values that share one share its row. Code 0 stands for null, so
    the table has ``buckets + 1`` rows. The hash depends on the value alone (see ``stable_hash``). The training data
    decides whether the column holds strings or integers (``"1"`` and ``1`` hash differently); the other one, and all
    other types, are a DataError.

    Args:
        column: a column of strings or integers.
        buckets: how many hashes; with about as many as there are distinct values, a value shares its bucket with one
            other on average.
        dim: the width of the rows, by default the tower's.

    Example:
        >>> hashing = Hashing("user_id", buckets=1000)
        >>> hashing.fit(pl.Series(["ann", "bob"]))
        >>> hashing.encode(pl.Series(["ann", None, "never seen"])).values.tolist()
        [576, 0, 625]
    """

    kind: ClassVar[str] = "Hashing"

    def __init__(self, column: str, buckets: int, *, dim: int | None = None) -> None:
        self.column = column
        self.buckets = buckets
        self.dim = dim
        check_dim(self)
        check_count(self, "buckets", buckets)
        self.holds: str | None = None  # "strings" or "integers"

    def __repr__(self) -> str:
        return f"{self.kind}({self.column!r}, {counted(self.buckets, 'bucket')})"

    @property
    def fitted(self) -> bool:
        return self.holds is not None

    def fit(self, values: pl.Series) -> None:
        """Learn whether the column holds strings or integers; nothing else."""
        holds = self._holds(values)
        if holds is None or values.null_count() == len(values):
            raise nothing_to_learn(self, values)
        self.holds = holds

    def encode(self, values: pl.Series) -> Codes:
        """Codes ``[len(values)]`` in ``[1, buckets]``; 0 for null."""
        if self.holds is None:
            raise not_fitted(self, "type of values")
        if self._holds(values) not in (None, self.holds):
            target = "String" if self.holds == "strings" else "Int64"
            hint = f'cast the column to {target} ("1" and 1 hash differently)'
            raise wrong_type(self, values, f"{self.holds}, as in training", hint)
        codes = np.zeros(len(values), dtype=np.int32)
        present = values.is_not_null()
        hashes = self._hashes(as_text(values.filter(present)))
        codes[present.to_numpy()] = hashes % np.uint64(self.buckets) + np.uint64(1)
        return Codes(codes, self.buckets + 1)

    def _holds(self, values: pl.Series) -> str | None:
        if values.dtype == pl.Null:
            return None
        if values.dtype in (pl.String, pl.Categorical, pl.Enum):
            return "strings"
        if values.dtype.is_integer():
            return "integers"
        hint = f"use Category({self.column!r})" if values.dtype == pl.Boolean else "cast the column to String or Int64"
        raise wrong_type(self, values, "strings or integers", hint)

    def _hashes(self, values: pl.Series) -> NDArray[np.uint64]:
        if values.dtype == pl.Null:
            return np.empty(0, dtype=np.uint64)
        if values.dtype == pl.String:
            return hash_strings(values)
        target = pl.UInt64() if values.dtype in (pl.UInt64, pl.Int128) and (values >= 0).all() else pl.Int64()
        numbers = values.cast(target, strict=False)
        if numbers.null_count():
            raise DataError(
                f"{self.kind}({self.column!r}) got integers that neither Int64 nor UInt64 can hold, "
                f"such as {values.filter(numbers.is_null())[0]}.",
                hint="cast the column to String first",
            )
        return hash_integers(numbers.to_numpy().view(np.uint64))

    def state(self) -> State:
        if self.holds is None:
            raise not_fitted(self, "type of values")
        return {"column": self.column, "buckets": self.buckets, "dim": self.dim, "holds": self.holds}

    @classmethod
    def restore(cls, state: State) -> Hashing:
        feature = cls(state["column"], state["buckets"], dim=state["dim"])
        feature.holds = state["holds"]
        return feature
