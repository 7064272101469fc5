"""Embedding tables that a bundle does not store again, since their rows are vectors that it holds already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import BundleError
from shortlist.features import Codes, Feature, features_from_state
from shortlist.index import Halves
from shortlist.index.values import parts
from shortlist.recommender.state import ModelFiles, State
from shortlist.recommender.tensors import BFLOAT16, halved, widened

__all__ = ["WholeTables", "divided"]

FeaturesOf: TypeAlias = "Callable[[str], Mapping[str, Feature]]"

TABLES = ".tables."  # in the names of embedding tables


SIDES = ("query", "candidate")  # with which the names of their tables begin


def divided(
    state: State, candidates: NDArray[np.float32] | Halves, features_of: FeaturesOf
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The weights to store, and the names of those that are not stored as a whole.

    A tower of one table and nothing else gives its rows as vectors. Of such a table only the other rows are stored: the
    unknown row, and those of values that the side's table lacks. Other bfloat16 tables are stored as bfloat16.

    Args:
        candidates: their vectors, ``[candidates, dim]``.
        features_of: the features of a side's tower, by name.
    """
    tensors, tables = dict(state.model.tensors), []
    for side, vectors in zip(SIDES, (state.query_vectors, candidates), strict=True):
        name = _only_table(state.model, side)
        if name is None or vectors is None or tensors[name].shape[1:] != vectors.shape[1:]:
            continue
        codes = _codes(state, side, features_of(side))
        if codes is None or not _same_rows(tensors[name], codes, vectors):
            continue
        tensors[name] = widened(np.ascontiguousarray(tensors[name][_others(codes, len(tensors[name]))]))
        tables.append(name)
    for name in tensors:
        if TABLES in name and name not in tables:
            tensors[name] = halved(tensors[name])
    return tensors, tables


class WholeTables(Mapping[str, "NDArray[Any]"]):
    """The weights of a bundle by name; a table that is not stored as a whole is made from vectors each time that it is read.

    Args:
        stored: the weights that ``divided`` returned.
        tables: the names of tables that are not stored as a whole.
        state: of the same bundle.
        candidates: the candidates' vectors as training left them.
    """

    def __init__(
        self,
        stored: Mapping[str, NDArray[Any]],
        tables: Sequence[str],
        state: State,
        candidates: NDArray[np.float32] | Halves,
    ) -> None:
        self.stored = stored
        self._tables, self._state, self._candidates = tables, state, candidates

    def __getitem__(self, name: str) -> NDArray[Any]:
        stored = self.stored[name]
        return self._whole(name, stored) if name in self._tables else widened(stored)

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def _whole(self, name: str, rest: NDArray[Any]) -> NDArray[Any]:
        side = SIDES[0] if name.startswith(SIDES[0]) else SIDES[1]
        vectors = self._state.query_vectors if side == "query" else self._candidates
        files = self._state.model
        codes = _codes(self._state, side, features_from_state(side, files.config[side]["features"], files.series()))
        if codes is None or vectors is None or rest.shape[1:] != vectors.shape[1:]:
            raise BundleError(
                f"the bundle does not hold the rows of the table {name!r}.", hint="save it again from the model"
            )
        size = len(rest) + len(np.unique(codes))
        if len(codes) and int(codes.max()) >= size:
            raise BundleError(
                f"the bundle holds another number of rows than the table {name!r} has.",
                hint="save it again from the model",
            )
        table = np.empty((size, rest.shape[1]), np.float32)
        for part in parts(vectors.shape):
            table[codes[part]] = vectors[part]
        table[_others(codes, size)] = rest
        return table


def _only_table(files: ModelFiles, side: str) -> str | None:
    """The name of a tower's only table; None if it has none or several."""
    names = [name for name in files.tensors if name.startswith(f"{side}{TABLES}")]
    return names[0] if len(names) == 1 and files.tensors[names[0]].ndim == 2 else None


def _codes(state: State, side: str, features: Mapping[str, Feature]) -> NDArray[np.int32] | None:
    """The row in the tower's table of each row of the side's table; None where the tower reads more than one column."""
    if len(features) != 1:
        return None
    (feature,) = features.values()
    table = state.queries if side == "query" else state.candidates
    if feature.column not in table.columns:
        return None
    values = table[feature.column]
    if side == "query" and feature.column == state.query and not state.known.all():  # unknown ones have the unknown row
        known = pl.Series(state.known)
        values = pl.DataFrame([values]).select(pl.when(known).then(pl.col(values.name))).to_series()
    encoded = feature.encode(values)
    return encoded.values if isinstance(encoded, Codes) else None


def _same_rows(table: NDArray[Any], codes: NDArray[np.int32], vectors: NDArray[np.float32] | Halves) -> bool:
    """Whether the table's rows at ``codes`` are the vectors, to the last bit."""
    if table.dtype not in (np.float32, BFLOAT16) or len(codes) != len(vectors):
        return False
    for part in parts(vectors.shape):
        rows = widened(table[codes[part]])
        if not np.array_equal(rows.view(np.uint32), np.ascontiguousarray(vectors[part]).view(np.uint32)):
            return False
    return True


def _others(codes: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """The rows of a table of that size that are not among ``codes``, rising."""
    left = np.ones(size, bool)
    left[codes] = False
    return np.flatnonzero(left)
