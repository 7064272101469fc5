"""Several categories per row, such as genres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import IdMap, is_id_type
from shortlist.errors import ConfigError
from shortlist.features.checks import as_text, check_dim, not_fitted, nothing_to_learn, vocabulary_of, wrong_type
from shortlist.features.encoded import Bags
from shortlist.features.feature import State
from shortlist.features.growth import grown, sighted
from shortlist.features.members import Members, bags_of, members_of
from shortlist.language import counted

__all__ = ["MultiCategory"]


class MultiCategory:
    """The mean of the embedding rows of each value in a list.

    The column holds lists of strings or integers, or, with ``separator``, strings such as ``"Comedy|Drama"``; there
    white space around a value is dropped. A value that occurs twice counts twice. Null rows, empty lists, null members
    and members outside the vocabulary add nothing: a row without any known member is an empty bag, whose mean is 0.

    Args:
        column: a column of lists, or of strings that ``separator`` divides.
        separator: what divides the values of a string; None for lists.
        vocabulary: the values to know; by default those of the training data.
        dim: the width of the rows, by default the tower's.

    Example:
        >>> genres = MultiCategory("genres", "|", vocabulary=["Comedy", "Drama"])
        >>> bags = genres.encode(pl.Series(["Drama|Comedy", "", "Western|Drama"]))
        >>> bags.offsets.tolist(), bags.values.tolist()
        ([0, 2, 2, 3], [2, 1, 2])
    """

    kind: ClassVar[str] = "MultiCategory"

    def __init__(
        self,
        column: str,
        separator: str | None = None,
        *,
        vocabulary: Sequence[Any] | pl.Series | None = None,
        dim: int | None = None,
    ) -> None:
        self.column = column
        self.separator = separator
        self.dim = dim
        self.vocabulary: IdMap | None = None
        check_dim(self)
        if separator == "":
            raise ConfigError(f"{self!r} got an empty separator; a text such as '|' was expected.")
        self._given = vocabulary is not None
        if vocabulary is not None:
            values = vocabulary_of(self, vocabulary)
            self.vocabulary = IdMap.checked(as_text(values))

    def __repr__(self) -> str:
        known = "" if self.vocabulary is None else f", {counted(len(self.vocabulary), 'value')}"
        return f"{self.kind}({self.column!r}{known})"

    @property
    def fitted(self) -> bool:
        return self.vocabulary is not None

    def fit(self, values: pl.Series) -> None:
        """Take the distinct members as the vocabulary, unless one was given."""
        members = self._members(values)
        if self._given:
            return
        if not len(members.values):
            raise nothing_to_learn(self, values)
        self.vocabulary = IdMap.of_values(members.values)

    def grow(self, values: pl.Series, sightings: NDArray[np.integer] | None = None) -> NDArray[np.int32]:
        """Take in the members of later training data; the code that each code had before, −1 for a new one.

        Args:
            values: the column in those data.
            sightings: has no effect, since every member is admitted.
        """
        if self.vocabulary is None:
            raise not_fitted(self, "vocabulary")
        later = grown(self.vocabulary, None, sighted(self._members(values).values, None), 1, None)
        self.vocabulary = later.vocabulary
        return later.origin

    def encode(self, values: pl.Series) -> Bags:
        """One bag per value; its codes are in the order of the members."""
        if self.vocabulary is None:
            raise not_fitted(self, "vocabulary")
        members = self._members(values)
        codes = self.vocabulary.encode(members.values)
        known = codes != 0
        return bags_of(members.owners[known], codes[known], len(values), self.vocabulary.cardinality)

    def _members(self, values: pl.Series) -> Members:
        if values.dtype == pl.Null:
            return members_of(values.cast(pl.List(pl.Null)))
        if isinstance(values.dtype, (pl.List, pl.Array)):
            inner = values.dtype.inner
            if self.separator is not None:
                hint = f"leave separator out: {self.kind}({self.column!r})"
                raise wrong_type(self, values, f"strings with the separator {self.separator!r}", hint)
            if inner == pl.Null or is_id_type(inner) or inner in (pl.Categorical, pl.Enum):  # type: ignore[arg-type]
                members = members_of(values)
                return Members(members.owners, as_text(members.values))
            raise wrong_type(self, values, "lists of strings or integers", "cast the members to String or Int64")
        texts = as_text(values)
        if texts.dtype != pl.String:
            one_each = texts.dtype.is_integer() or texts.dtype == pl.Boolean
            single = (
                f"use Category({self.column!r})" if one_each else "make it a column of lists of strings or integers"
            )
            raise wrong_type(self, values, "lists, or strings with a separator", single)
        if self.separator is None:
            hint = f'give the separator: {self.kind}({self.column!r}, separator="|")'
            raise wrong_type(self, values, "lists, or strings with a separator", hint)
        members = members_of(texts.str.split(self.separator))
        pieces = members.values.str.strip_chars()
        filled = pieces != ""
        return Members(members.owners[filled.to_numpy()], pieces.filter(filled))

    def state(self) -> State:
        if self.vocabulary is None:
            raise not_fitted(self, "vocabulary")
        return {
            "column": self.column,
            "separator": self.separator,
            "dim": self.dim,
            "vocabulary": self.vocabulary.ids,
        }

    @classmethod
    def restore(cls, state: State) -> MultiCategory:
        return cls(state["column"], state["separator"], vocabulary=state["vocabulary"], dim=state["dim"])
