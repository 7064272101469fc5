"""The input of a second stage for a query and a candidate: scores, popularity, and how the columns of both relate to choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.choices import choices_alone
from shortlist.errors import ConfigError, DataError
from shortlist.index.values import offsets_of
from shortlist.sources.grouping import Grouping

__all__ = ["Liking", "PairFeatures", "Taste"]

PRIOR = 10.0  # choices that are added to each history, spread as everybody's
EXPECTED = 5.0  # choices added to the counted ones and to the expected ones
OWN = 4  # numbers that are neither a source's nor a column's


@dataclass(frozen=True, eq=False)
class Taste:
    """How much more often than everybody a query chose candidates with the same values of one column, such as the same genres.

    1. n_g is the number of the history's items in group g, N the sum of all n_g, b_g the group's share of everybody's choices.
    2. The taste for a group is log((n_g + 10 b_g) / ((N + 10) b_g)).
    3. A candidate's value is the mean over its groups; 0 where it has none.

    Args:
        grouping: of a column of the candidates.
        members: int16 ``[candidates, places]``, the groups of each, −1 for none.
        shares: float32 ``[groups]``, above 0.
    """

    grouping: Grouping
    members: NDArray[np.int16]
    shares: NDArray[np.float32]

    @classmethod
    def of(cls, grouping: Grouping, candidates: pl.DataFrame, counts: NDArray[np.int64]) -> Taste:
        """The taste by a column, from the number of times that each candidate was chosen."""
        members = grouping.numbers(candidates[grouping.column])
        chosen = np.broadcast_to(counts[:, None], members.shape)[members >= 0]
        often = np.bincount(members[members >= 0], chosen, grouping.size) + 1.0
        return cls(grouping, members, (often / often.sum()).astype(np.float32))

    def values(self, history: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The values of candidate rows for one query, float32 ``[rows]``."""
        of_history = self.members[history].ravel()
        often = np.bincount(of_history[of_history >= 0], minlength=self.grouping.size)
        shares = self.shares.astype(np.float64)
        liking = np.log((often + PRIOR * shares) / ((often.sum() + PRIOR) * shares))
        mine = self.members[rows]
        there = mine >= 0
        found: NDArray[np.float64] = np.where(there, liking[mine], 0.0).sum(1) / np.maximum(there.sum(1), 1)
        return found.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Liking:
    """How much more often than everybody the queries with one value of a column chose a candidate, such as people of one occupation.

    1. o is the number of choices of the candidate by queries of the group. Where the column has numbers, choices by
       queries of near groups count too, by ``Grouping.nearness``.
    2. e is the expected number: all choices of the group times the candidate's share of everybody's choices.
    3. The value is log((o + 5) / (e + 5)); 0 for a query without a group.

    Args:
        grouping: of a column of the queries.
        offsets: int64 ``[groups + 1]``; group g chose ``rows[offsets[g]:offsets[g + 1]]``.
        rows: int32, candidate rows, rising within a group.
        often: float32, how often the group chose each.
        sizes: float64 ``[groups]``, the number of choices of each group in training, with those of candidates that were deleted since.
    """

    grouping: Grouping
    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    often: NDArray[np.float32]
    sizes: NDArray[np.float64]

    @classmethod
    def of(cls, grouping: Grouping, train: Dataset) -> Liking:
        """The liking by a column, from training data."""
        of_queries = grouping.numbers(train.queries[grouping.column])[:, 0].astype(np.int64)
        nearness = grouping.nearness(train.queries[grouping.column], of_queries)
        group, size = of_queries[train.query_rows], len(train.candidates)
        keys, often = np.unique((group * size + train.candidate_rows)[group >= 0], return_counts=True)
        groups, chosen = np.divmod(keys, size)
        rows, counts = [], []
        for number in range(grouping.size):
            added = np.bincount(chosen, nearness[number, groups] * often, size)
            rows.append(np.flatnonzero(added))
            counts.append(added[rows[-1]])
        return cls(
            grouping,
            offsets_of([len(one) for one in rows]),
            np.concatenate(rows).astype(np.int32),
            np.concatenate(counts).astype(np.float32),
            np.array([one.sum() for one in counts]),
        )

    def values(self, group: int, rows: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.float32]:
        """The values of candidate rows for a query of a group, float32 ``[rows]``.

        Args:
            group: the number of the group; −1 for none.
            rows: of the candidates.
            shares: each one's share of everybody's choices.
        """
        if group < 0:
            return np.zeros(len(rows), np.float32)
        low, high = self.offsets[group], self.offsets[group + 1]
        mine = self.rows[low:high]
        place = np.minimum(np.searchsorted(mine, rows), max(len(mine) - 1, 0))
        often = np.where(mine[place] == rows, self.often[low:high][place], 0.0) if len(mine) else np.zeros(len(rows))
        return np.log((often + EXPECTED) / (self.sizes[group] * shares + EXPECTED)).astype(np.float32)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """The numbers that a second stage reads of a query and a candidate.

    In this order:

    1. The score by each source: of towers less that of their best candidate, of another source as a share of its best score.
    2. The logarithm of the place by the first stage; of several sources also that of the place by each, which is how many
       candidates of the list have a higher score.
    3. The logarithms of the candidate's count and of the history's length, and the first less its mean in the history.
    4. A ``Taste`` for each column of the candidates and a ``Liking`` for each column of the queries that has groups.

    Args:
        counts: int64 ``[candidates]``, how often each was chosen.
        tastes: by columns of the candidates.
        likings: by columns of the queries.
        total: the number of choices in training, with those of candidates that were deleted since.
        length: how many of a history's latest items are read.
        ids: of the candidates, in the order of rows; None where they are not known.
    """

    counts: NDArray[np.int64]
    tastes: tuple[Taste, ...]
    likings: tuple[Liking, ...]
    total: int
    length: int = 1000
    ids: pl.Series | None = field(default=None, repr=False)

    @classmethod
    def of(cls, train: Dataset, length: int = 1000) -> PairFeatures:
        """The features of training data, with each column of its two tables that has groups, ids excepted."""
        train = choices_alone(train)
        counts = np.asarray(train.candidate_counts, np.int64)
        of_items = [Grouping.of(train.candidates[name]) for name in train.candidates.columns if name != train.candidate]
        of_queries = [Grouping.of(train.queries[name]) for name in train.queries.columns if name != train.query]
        tastes = tuple(Taste.of(one, train.candidates, counts) for one in of_items if one is not None)
        single = [
            one for one in of_queries if one is not None and not isinstance(train.queries.schema[one.column], pl.List)
        ]
        likings = tuple(Liking.of(one, train) for one in single)
        return cls(counts, tastes, likings, int(counts.sum()), length, train.candidates[train.candidate])

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of the queries that are read."""
        return tuple(one.grouping.column for one in self.likings)

    @property
    def groupings(self) -> tuple[Grouping, ...]:
        """The groupings of all columns that are read."""
        return (*(one.grouping for one in self.tastes), *(one.grouping for one in self.likings))

    def width(self, sources: int) -> int:
        """How many numbers there are for a mixture with this many sources."""
        return sources + (sources if sources > 1 else 0) + OWN + len(self.tastes) + len(self.likings)

    def check_tables(self, queries: pl.DataFrame, candidates: pl.DataFrame) -> None:
        """ConfigError for tables without the columns that are read, or with other values in them."""
        for taste in self.tastes:
            if not _same_groups(taste, candidates):
                raise _other_column(taste.grouping.column, "candidates")
        for liking in self.likings:
            if not _has(queries, liking.grouping) or isinstance(queries.schema[liking.grouping.column], pl.List):
                raise _other_column(liking.grouping.column, "queries")

    def names(self, sources: Sequence[str]) -> list[str]:
        """A name for each number, such as "taste for genre"; ``sources`` are those of the mixture's sources."""
        places = [f"place by {one}" for one in sources] if len(sources) > 1 else []
        own = ["place", *places, "popularity", "history length", "popularity to history"]
        tastes = [f"taste for {one.grouping.column}" for one in self.tastes]
        return [*sources, *own, *tastes, *(f"liking by {one.grouping.column}" for one in self.likings)]

    def groups(self, queries: pl.DataFrame) -> NDArray[np.int64]:
        """The group of each query by each of ``likings``, int64 ``[queries, likings]``; columns may be missing.

        Raises:
            DataError: for values of another kind than in training.
        """
        found = [
            one.grouping.numbers(_single(queries[one.grouping.column], one.grouping))[:, 0].astype(np.int64)
            if one.grouping.column in queries.columns
            else np.full(len(queries), -1)
            for one in self.likings
        ]
        return np.stack(found, 1) if found else np.zeros((len(queries), 0), np.int64)

    def of_list(
        self,
        history: NDArray[np.int64],
        groups: NDArray[np.int64],
        rows: NDArray[np.int64],
        sources: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """The numbers of one query and its list by the first stage, as ``of_pairs``."""
        return self.of_pairs(history, groups, rows, sources, np.arange(len(rows)), sources)

    def of_pairs(
        self,
        history: NDArray[np.int64],
        groups: NDArray[np.int64],
        rows: NDArray[np.int64],
        sources: NDArray[np.float32],
        places: NDArray[np.int64],
        listed: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """The numbers of one query and candidate rows, float32 ``[rows, features]``.

        Args:
            history: its choices, oldest first.
            groups: of the query, int64 ``[likings]``.
            sources: ``[rows, sources]``, as the class describes them.
            places: of each candidate by the first stage, from 0.
            listed: as ``sources``, of the candidates of the list by the first stage.
        """
        chosen = self._known(np.unique(history[-self.length :]))
        known, there = np.minimum(rows, len(self) - 1), rows < len(self)  # later candidates have no features here
        counts = np.where(there, self.counts[known], 0)
        shares = counts / max(float(self.total), 1.0)
        popular = np.log1p(counts)
        usual = np.log1p(self.counts[chosen]).mean() if len(chosen) else 0.0
        by_source = [
            np.log1p(np.searchsorted(np.sort(-in_list), -mine))
            for in_list, mine in zip(listed.T, sources.T, strict=True)
        ]
        by_source = by_source if len(by_source) > 1 else []
        own = [np.log1p(places), *by_source, popular, np.full(len(rows), np.log1p(len(chosen))), popular - usual]
        tastes = [np.where(there, one.values(chosen, known), 0) for one in self.tastes]
        likings = [one.values(int(group), rows, shares) for one, group in zip(self.likings, groups, strict=True)]
        return np.column_stack([sources, *own, *tastes, *likings]).astype(np.float32)

    def _known(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows[(rows >= 0) & (rows < len(self))]

    def renumbered(self, row: NDArray[np.int64]) -> PairFeatures:
        """The same for renumbered candidates: ``row[old]`` is the new row, −1 for a deleted candidate."""
        size = int(row.max(initial=-1)) + 1
        kept = np.flatnonzero(row >= 0)

        def moved(values: NDArray[Any], nothing: int) -> NDArray[Any]:
            out = np.full((size, *values.shape[1:]), nothing, values.dtype)
            out[row[kept]] = values[kept]
            return out

        tastes = tuple(replace(one, members=moved(one.members, -1)) for one in self.tastes)
        likings = []
        for one in self.likings:
            group = np.repeat(np.arange(len(one.sizes)), np.diff(one.offsets))
            rows = row[one.rows]
            order = np.lexsort((rows, group))
            order = order[rows[order] >= 0]
            offsets = offsets_of(np.bincount(group[order], minlength=len(one.sizes)))
            likings.append(replace(one, offsets=offsets, rows=rows[order].astype(np.int32), often=one.often[order]))
        return replace(self, counts=moved(self.counts, 0), tastes=tastes, likings=tuple(likings), ids=None)

    def grown(self, candidates: pl.DataFrame, changed: NDArray[np.int64]) -> PairFeatures:
        """The same after candidates were added or changed.

        Args:
            candidates: the table after the change.
            changed: rows of the candidates that were added or changed.
        """
        counts = np.concatenate([self.counts, np.zeros(len(candidates) - len(self), np.int64)])
        tastes = []
        for one in self.tastes:
            new = one.grouping.numbers(candidates[one.grouping.column].gather(changed))
            width = max(new.shape[1], one.members.shape[1])
            members = np.full((len(candidates), width), -1, np.int16)
            members[: len(one.members), : one.members.shape[1]] = one.members
            members[changed] = -1
            members[changed, : new.shape[1]] = new
            tastes.append(replace(one, members=members))
        return replace(self, counts=counts, tastes=tuple(tastes), ids=None)


def _single(column: pl.Series, grouping: Grouping) -> pl.Series:
    """A column of queries; DataError for one of lists."""
    return grouping.checked(column, isinstance(column.dtype, pl.List))


def _has(table: pl.DataFrame, grouping: Grouping) -> bool:
    """Whether a table has the column, with values such as those of training."""
    if grouping.column not in table.columns:
        return False
    try:
        grouping.numbers(table[grouping.column])
    except DataError:
        return False
    return True


def _same_groups(taste: Taste, candidates: pl.DataFrame) -> bool:
    """Whether the candidates of a table are in the groups that ``taste`` has them in."""
    if not _has(candidates, taste.grouping) or len(candidates) != len(taste.members):
        return False
    found = taste.grouping.numbers(candidates[taste.grouping.column])
    width = min(found.shape[1], taste.members.shape[1])
    beyond = (found[:, width:], taste.members[:, width:])
    return np.array_equal(found[:, :width], taste.members[:, :width]) and all((one < 0).all() for one in beyond)


def _other_column(name: str, table: str) -> ConfigError:
    return ConfigError(
        f"a second stage reads the column {name!r}, which the towers' table of {table} lacks or has with other values.",
        hint="train all on the same tables of queries and candidates",
    )
