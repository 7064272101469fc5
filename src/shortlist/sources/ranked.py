"""Ranked lists: the same candidates for every query, or for every query of a segment, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import ConfigError, DataError
from shortlist.language import counted
from shortlist.sources.neighbours import Scored

__all__ = ["RankedList", "newest_rows"]

SLOPE = 60  # places that count alike, about


@dataclass(frozen=True, eq=False)
class RankedList:
    """Candidates in an order that does not depend on a query's choices.

    The candidate in place p (from 1) of those that a query may have has the score 61 / (60 + p); candidates outside the list
    have 0. Places are counted after filters, so an exclusion moves the rest up.

    Source: the score of reciprocal rank fusion, Cormack, Clarke, Büttcher 2009.

    Args:
        offsets: int64 ``[lists + 1]``; list i owns ``offsets[i]:offsets[i + 1]`` of ``rows``. List 0 is everybody's, list
            i + 1 belongs to queries whose column ``by`` has ``values[i]``.
        rows: int32 candidate rows, best first.
        size: how many candidates there are.
        kind: "popular", "recent" or "new".
        by: a column of the queries; None for one list.
        values: of that column, those with a list of their own.
        length: most candidates of a list.
        newest: of "new" lists, the candidates' column by which they are ordered; None for the order of arrival.
        ids: of the candidates, in the order of rows, as a mixture compares them with those of its towers; None where they are not known.

    Raises:
        ConfigError: for arrays that do not describe such lists.

    Example:
        >>> ranked = RankedList(np.array([0, 2]), np.array([4, 1], np.int32), size=5, kind="popular")
        >>> ranked.scores(np.zeros(1, np.int64), lambda scored: scored.rows == 4).row(0)
        (array([1]), array([1.], dtype=float32))
    """

    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    size: int
    kind: str
    by: str | None = None
    values: tuple[str | int | bool, ...] = ()
    length: int = 1000
    newest: str | None = None
    ids: pl.Series | None = None

    def __post_init__(self) -> None:
        offsets, rows = self.offsets, self.rows
        rises = len(offsets) > 1 and offsets[0] == 0 and bool((offsets[1:] >= offsets[:-1]).all())
        if not rises or offsets[-1] != len(rows) or len(offsets) != len(self.values) + 2:
            raise ConfigError(
                f"ranked lists got {counted(len(rows), 'row')}, {counted(len(offsets), 'offset')} and {counted(len(self.values), 'segment')}; expected "
                "offsets that rise from 0 to the number of rows, for everybody's list and one for each segment."
            )
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.size:
            raise ConfigError(
                f"ranked lists of {counted(self.size, 'candidate')} got other rows; rows from 0 to {self.size - 1:,} were expected."
            )
        owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        if len(np.unique(owner * max(self.size, 1) + rows)) < len(rows):
            raise ConfigError("ranked lists have a candidate twice in one list; expected each once.")

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        by = f", by {self.by!r}: {counted(len(self.values), 'segment')}" if self.by is not None else ""
        return f"RankedList({self.kind}: {len(np.unique(self.rows)):,} of {counted(self.size, 'candidate')}{by})"

    def segments(self, values: pl.Series | None, queries: int) -> NDArray[np.int64]:
        """The list of each query, int64 ``[queries]``.

        Args:
            values: of each query in the column ``by``; None for everybody's list.
            queries: how many there are.

        Raises:
            DataError: for texts where the list has numbers, or the other way round.
        """
        if self.by is None or values is None:
            return np.zeros(queries, np.int64)
        if self.values and values.dtype != pl.Null and _kind(values.dtype) != type(self.values[0]).__name__:
            raise DataError(
                f"the column {self.by!r} is of type {values.dtype}; in training it had values such as {self.values[0]!r}.",
                hint="give it in the type that the training data had",
            )
        number = {value: place for place, value in enumerate(self.values, start=1)}
        return np.array([number.get(value, 0) for value in values.to_list()], np.int64)

    def scores(self, segments: NDArray[np.int64], closed: Callable[[Scored], NDArray[np.bool_]]) -> Scored:
        """All candidates with a score above 0, of each query's list.

        Args:
            segments: the list of each query.
            closed: which entries a query may not have.
        """
        counts = np.diff(self.offsets)[segments]
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.offsets[segments] - ends + counts, counts)
        offsets = np.concatenate([[0], ends]).astype(np.int64)
        rows = self.rows[places].astype(np.int64)
        open_to_it = ~closed(Scored(offsets, rows, np.zeros(len(rows), np.float32)))
        before = np.concatenate([[0], np.cumsum(open_to_it)])
        query = np.repeat(np.arange(len(segments)), counts)[open_to_it]
        rows, offsets = rows[open_to_it], before[offsets]
        scores = _score(np.arange(1, len(rows) + 1) - offsets[query])
        order = np.lexsort((rows, query))
        return Scored(offsets, rows[order], scores[order])

    def dense(
        self, segments: NDArray[np.int64], candidates: int, closed: NDArray[np.bool_] | None
    ) -> NDArray[np.float32]:
        """Scores ``[queries, candidates]``, 0 for candidates that are not in the list.

        Args:
            segments: the list of each query.
            candidates: how many columns.
            closed: bool of the same shape, candidates that each query may not have.
        """
        out = np.zeros((len(segments), candidates), np.float32)
        for number in np.unique(segments).tolist():
            which = np.flatnonzero(segments == number)
            rows = self.rows[self.offsets[number] : self.offsets[number + 1]]
            rows = rows[rows < candidates]
            at = np.ix_(which, rows)
            if closed is None:
                out[at] = _score(np.arange(1, len(rows) + 1))
                continue
            open_to_it = ~closed[at]
            out[at] = np.where(open_to_it, _score(np.cumsum(open_to_it, axis=1)), 0)
        return out

    def renumbered(self, row: NDArray[np.int64]) -> RankedList:
        """The same for renumbered candidates: ``row[old]`` is the new row, −1 for a deleted candidate."""
        rows = row[self.rows]
        before = np.concatenate([[0], np.cumsum(rows >= 0)])
        size = int(row.max(initial=-1)) + 1
        return replace(self, offsets=before[self.offsets], rows=rows[rows >= 0].astype(np.int32), size=size, ids=None)

    def grown(self, candidates: pl.DataFrame, changed: NDArray[np.int64]) -> RankedList:
        """The lists after candidates were added or changed; only lists of new candidates change.

        Args:
            candidates: the table by now.
            changed: rows of the candidates that were added or changed.
        """
        size = len(candidates)
        if self.kind != "new":
            return replace(self, size=size, ids=None)
        if self.newest is not None:
            rows = newest_rows(candidates[self.newest], self.length)
        else:
            came = np.sort(changed[changed >= self.size])[::-1]
            rows = np.concatenate([came, self.rows])[: self.length].astype(np.int32)
        return replace(self, offsets=np.array([0, len(rows)], np.int64), rows=rows, size=size, ids=None)


def newest_rows(column: pl.Series, most: int) -> NDArray[np.int32]:
    """Rows by falling value, so many at most; equal values by row, null and NaN not at all."""
    there = column.is_not_null()
    if column.dtype.is_float():
        there &= column.is_not_nan().fill_null(False)
    rows = np.flatnonzero(there.to_numpy())
    rank = column.gather(rows).rank("dense").to_numpy().astype(np.int64)
    return rows[np.lexsort((rows, -rank))][:most].astype(np.int32)


def _kind(dtype: pl.DataType) -> str:
    """The name of the Python type of a column's values."""
    words = dtype in (pl.String, pl.Categorical, pl.Enum)
    return "bool" if dtype == pl.Boolean else "int" if dtype.is_integer() else "str" if words else str(dtype)


def _score(place: NDArray[np.int64]) -> NDArray[np.float32]:
    return ((SLOPE + 1) / (SLOPE + np.maximum(place, 1))).astype(np.float32)
