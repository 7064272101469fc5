"""The sources that a mixture adds to its towers: tables of neighbours and ranked lists, and the weights of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.index import Lists
from shortlist.index.values import offsets_of
from shortlist.sources.blend import Blend, Weights
from shortlist.sources.neighbours import Neighbours
from shortlist.sources.ranked import RankedList
from shortlist.sources.second_stage import SecondStage

__all__ = ["Added", "Context", "without"]


@dataclass(frozen=True, eq=False)
class Context:
    """Input of all sources but the first towers, for each of some queries.

    Attributes:
        histories: the candidate rows that each chose, oldest first.
        segments: int64 ``[queries, lists]``, see ``RankedList.segments``.
        vectors: the queries' vectors of each further towers, ``[queries, heads · dim]``.
        groups: int64 ``[queries, columns]``, see ``PairFeatures.groups``; only a second stage reads them.
    """

    histories: Lists
    segments: NDArray[np.int64]
    vectors: tuple[NDArray[np.float32], ...] = ()
    groups: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def one(self, number: int) -> Context:
        """That of one of the queries."""
        part = slice(number, number + 1)
        histories = Lists.of([self.histories.row(number)])
        vectors = tuple(one[part] for one in self.vectors)
        return Context(histories, self.segments[part], vectors, self.groups[part])


@dataclass(frozen=True, eq=False)
class Added:
    """Sources that complement a recommender's towers.

    Attributes:
        tables: of neighbours.
        lists: ranked lists.
        histories: of each stored query, the candidate rows that it chose, oldest first.
        weights: of the towers, then of tables, then of lists.
        towers: fingerprints of the further towers, which have a state of their own.
        by_history: other weights for queries with at most so many items in their history, by rising numbers.
        quotas: of each source, the share of places that goes to its best; () for none.
        stage: a second stage behind all sources.
    """

    tables: tuple[Neighbours, ...]
    lists: tuple[RankedList, ...]
    histories: Lists
    weights: Weights
    towers: tuple[str, ...] = field(default=())
    by_history: tuple[tuple[int, Weights], ...] = ()
    quotas: tuple[float, ...] = ()
    stage: SecondStage | None = None

    def weights_of(self, length: int) -> Weights:
        """The weights for a query with so many items in its history."""
        return next((weights for most, weights in self.by_history if length <= most), self.weights)

    @property
    def names(self) -> tuple[str, ...]:
        """The sources' names, in the order of the weights: "towers", or the kind; the second of one kind is "… 2"."""
        kinds = ["towers"] * len(self.weights.temperatures)
        kinds += [one.kind for one in self.tables] + [one.kind for one in self.lists]
        of_kind = [kinds[:number].count(kind) + 1 for number, kind in enumerate(kinds)]
        return tuple(kind if which == 1 else f"{kind} {which}" for kind, which in zip(kinds, of_kind, strict=True))

    @property
    def size(self) -> int:
        """Rows of candidates that tables and ranked lists can have."""
        sizes = [len(one) for one in self.tables] + [len(one) for one in self.lists]
        return max([1, *sizes])

    @property
    def reads(self) -> tuple[str, ...]:
        """The queries' columns that ranked lists are chosen by."""
        return tuple(dict.fromkeys(one.by for one in self.lists if one.by is not None))

    @property
    def reads_in_all(self) -> tuple[str, ...]:
        """The columns of queries that ranked lists or the second stage read."""
        return self.reads if self.stage is None else tuple(dict.fromkeys([*self.reads, *self.stage.features.reads]))

    @property
    def pair(self) -> Blend | None:
        """How one pair of towers and one table are added; None for other sources, or weights that no ``Blend`` has."""
        values = self.weights.values
        if (len(self.tables), len(self.lists), len(values)) != (1, 0, 2) or values[1] > 1 or values[0] != 1 - values[1]:
            return None
        if self.by_history or self.quotas or self.stage is not None:
            return None
        return Blend(values[1], self.weights.temperatures[0])

    @cached_property
    def without_lists(self) -> Added:
        """The same less the ranked lists, quotas, weights by the length of histories, and the second stage."""
        if not self.lists:
            some = self.by_history or self.quotas or self.stage is not None
            return replace(self, by_history=(), quotas=(), stage=None) if some else self
        values = self.weights.values[: -len(self.lists)]
        values = values if any(values) else (1.0,) * len(values)
        weights = Weights(values, self.weights.temperatures)
        return replace(self, lists=(), weights=weights, by_history=(), quotas=(), stage=None)

    def of_queries(self, rows: NDArray[np.int64], more: Sequence[NDArray[np.int64]] = ()) -> Lists:
        """The histories of stored queries ``rows`` (−1: one that is not stored), each with what it chose since.

        Where weights or a second stage depend on the length of a history, each candidate occurs once, as in the stored histories.
        """
        nothing = np.zeros(0, np.int64)
        lists = [self.histories.row(row) if row >= 0 else nothing for row in rows.tolist()]
        if len(more):
            lists = [np.concatenate(both) if len(both[1]) else both[0] for both in zip(lists, more, strict=True)]
        if len(more) and (self.by_history or self.stage is not None):
            lists = [_each_once(one) for one in lists]
        return Lists.of(lists)

    def segments(self, queries: pl.DataFrame) -> NDArray[np.int64]:
        """The list of each ranked source for each row of ``queries``, int64 ``[queries, lists]``; columns may be missing."""
        found = [
            one.segments(queries[one.by] if one.by in queries.columns else None, len(queries)) for one in self.lists
        ]
        return np.stack(found, 1) if found else np.zeros((len(queries), 0), np.int64)

    def groups(self, queries: pl.DataFrame) -> NDArray[np.int64]:
        """Each row's groups for the second stage, int64 ``[queries, columns]``; ``queries`` may lack columns."""
        return np.zeros((len(queries), 0), np.int64) if self.stage is None else self.stage.features.groups(queries)

    def check_column(self, values: pl.Series) -> None:
        """DataError for values of a queries' column that a ranked list or the second stage does not take."""
        table = values.to_frame()
        self.segments(table)
        self.groups(table)

    def renumbered(self, row: NDArray[np.int64]) -> Added:
        """The same for renumbered candidates: ``row[old]`` is the new row, −1 for a deleted candidate."""
        items = row[self.histories.values]
        left = _kept(self.histories, items >= 0)
        return replace(
            self,
            tables=tuple(_renumbered(table, row) for table in self.tables),
            lists=tuple(one.renumbered(row) for one in self.lists),
            histories=Lists(left.offsets, items[items >= 0]),
            stage=None if self.stage is None else self.stage.renumbered(row),
        )

    def orders_any(self, rows: NDArray[np.int64]) -> bool:
        """Whether any of the candidates is in a list by a column, so that others follow when it is deleted."""
        return any(one.newest is not None and bool(np.isin(rows, one.rows).any()) for one in self.lists)

    def grown(self, candidates: pl.DataFrame, changed: NDArray[np.int64], dead: NDArray[np.int64]) -> Added:
        """The sources after candidates were added, changed or deleted, see ``RankedList.grown``.

        Args:
            candidates: the table by now.
            changed: rows of the candidates that were added or changed.
            dead: rows of the candidates that are deleted: a list by a column has the next ones in their places.
        """
        if len(dead):
            gone = pl.Series(np.isin(np.arange(len(candidates)), dead))
            columns = {one.newest for one in self.lists if one.newest is not None}
            candidates = candidates.with_columns(pl.when(~gone).then(pl.col(name)).alias(name) for name in columns)
        stage = None if self.stage is None else self.stage.grown(candidates, changed)
        return replace(self, lists=tuple(one.grown(candidates, changed) for one in self.lists), stage=stage)


def without(lists: Lists, ids: NDArray[np.int64]) -> Lists:
    """The lists without some ids.

    Example:
        >>> without(Lists.of([[1, 2], [2]]), np.array([2])).row(0)
        array([1])
    """
    return _kept(lists, ~np.isin(lists.values, ids))


def _each_once(history: NDArray[np.int64]) -> NDArray[np.int64]:
    """A history with each candidate at its latest place alone."""
    return np.array([*dict.fromkeys(reversed(history.tolist()))][::-1], np.int64)


def _renumbered(table: Neighbours, row: NDArray[np.int64]) -> Neighbours:
    owner = row[np.repeat(np.arange(len(table)), np.diff(table.offsets))]
    columns = row[table.columns]
    kept = (owner >= 0) & (columns >= 0)
    order = np.argsort(owner[kept], kind="stable")
    size = int(row.max(initial=-1)) + 1
    offsets = offsets_of(np.bincount(owner[kept], minlength=size))
    weights = table.weights[kept][order]
    return replace(table, offsets=offsets, columns=columns[kept][order].astype(np.int32), weights=weights, ids=None)


def _kept(lists: Lists, kept: NDArray[np.bool_]) -> Lists:
    """The lists' values where ``kept``."""
    before = np.concatenate([[0], np.cumsum(kept)])
    return Lists(before[lists.offsets], lists.values[kept])
