"""Vectors computed elsewhere: sentence embeddings, image embeddings, factors of another model."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import DataError
from shortlist.features.checks import ValueRefusedError, check_count, not_fitted, nothing_to_learn, wrong_type
from shortlist.features.encoded import Floats
from shortlist.features.feature import State
from shortlist.language import counted

__all__ = ["Vector"]


class Vector:
    """A column of vectors, one list of ``width`` numbers per row, that enters the tower as it is and stays frozen.

    Args:
        column: a column of lists or arrays of numbers.
        width: numbers in each vector; by default that of the training data. Another width is a DataError, and so are a
            null, NaN or infinite number within a vector and a column that does not hold lists (or arrays) of numbers. A
            row that is null has no vector; it becomes zeros.

    Example:
        >>> Vector("image", width=2).encode(pl.Series([[0.5, 1.0], None])).values.tolist()
        [[0.5, 1.0], [0.0, 0.0]]
    """

    kind: ClassVar[str] = "Vector"

    def __init__(self, column: str, width: int | None = None) -> None:
        self.column = column
        self.dim: int | None = None
        self.width = width
        if width is not None:
            check_count(self, "width", width)

    def __repr__(self) -> str:
        return f"{self.kind}({self.column!r}, width={self.width})"

    @property
    def fitted(self) -> bool:
        return self.width is not None

    def fit(self, values: pl.Series) -> None:
        """Take the width of the training rows, unless one was given."""
        lists = self._lists(values)
        if self.width is None:
            given = lists.drop_nulls()
            if not len(given):
                raise nothing_to_learn(self, values)
            width = int(given.list.len()[0])
            if width < 1:
                raise self._wrong_width(lists, "at least one number", lists.list.len() < 1)
            self.width = width
        self._numbers(lists)

    def encode(self, values: pl.Series) -> Floats:
        """Numbers ``[len(values), width]``; zeros for null."""
        if self.width is None:
            raise not_fitted(self, "width")
        encoded = np.zeros((len(values), self.width), dtype=np.float32)
        lists = self._lists(values)
        encoded[values.is_not_null().to_numpy()] = self._numbers(lists)
        return Floats(encoded)

    def _lists(self, values: pl.Series) -> pl.Series:
        dtype: Any = values.dtype
        inner = dtype.inner if isinstance(dtype, (pl.List, pl.Array)) else None
        inner = pl.Null() if dtype == pl.Null else inner
        if inner is None or not (inner.is_numeric() or inner == pl.Null):
            raise wrong_type(self, values, "lists or arrays of numbers", "one vector per row: pl.List(pl.Float32)")
        lists: pl.Series = values.cast(pl.List(pl.Float32))
        return lists

    def _numbers(self, lists: pl.Series) -> NDArray[np.float32]:
        """Numbers ``[lists that are not null, width]``."""
        wrong = lists.list.len() != self.width
        if wrong.any():
            raise self._wrong_width(lists, f"{self.width} numbers", wrong)
        given = lists.drop_nulls()
        flat: NDArray[np.float32] = given.explode().to_numpy()  # a null becomes NaN
        numbers = flat.reshape(len(given), self.width or 0)
        bad = (~np.isfinite(numbers)).any(axis=1)
        if bad.any():
            raise ValueRefusedError(
                f"{self!r} got {counted(int(bad.sum()), 'vector')} with a null, a NaN or a number too large for float32",
                np.flatnonzero(lists.is_not_null().to_numpy())[bad],
                "it takes finite numbers.",
                hint="replace such a vector as a whole by null; it then becomes zeros",
            )
        return numbers

    def _wrong_width(self, lists: pl.Series, expected: str, wrong: pl.Series) -> DataError:
        rows = np.flatnonzero(wrong.fill_null(False).to_numpy())
        return ValueRefusedError(
            f"{self.kind}({self.column!r}) got {counted(len(rows), 'vector')} of another width, such as {len(lists[int(rows[0])])}",
            rows,
            f"{expected} were expected.",
            hint="all rows must come from the same embedding model; a missing vector is a null",
        )

    def state(self) -> State:
        if self.width is None:
            raise not_fitted(self, "width")
        return {"column": self.column, "width": self.width}

    @classmethod
    def restore(cls, state: State) -> Vector:
        return cls(state["column"], state["width"])
