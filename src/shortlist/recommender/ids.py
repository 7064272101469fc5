"""Raw ids by row, and rows by raw id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.ids import unpatterned

__all__ = ["Id", "Ids"]

Id: TypeAlias = "str | int"

PIECE = 4096  # ids put into a map between two rests
LISTED = 1 << 20  # up to this many ids are kept as a plain list, which answers single requests faster
FEW = 4  # so many ids are searched for among all of them while there is no map yet,
SEARCHES = 16  # so many times; then the map is made
SEARCHED = 1 << 16  # ids compared at a time
MERGED = 64  # changes of more than one id in so many are made into a map of their own


@dataclass(frozen=True, eq=False)
class Ids:
    """The raw ids of a table's rows. ``changed`` gives the ids of a changed table, which share what was made of these.

    series: the id of each row; rows keep their ids when their candidates are deleted. found: the rows that do not change.
    added: ids of rows behind those. more: rows of ids that came since. gone: ids that are found no longer.
    """

    series: pl.Series
    found: RowMap
    added: Sequence[Id] = ()
    more: Mapping[Id, int] = field(default_factory=dict)
    gone: frozenset[Id] = frozenset()

    @classmethod
    def of(cls, series: pl.Series) -> Ids:
        """The ids in a column, one per row."""
        series = unpatterned(series)
        return cls(series, RowMap(series))

    @property
    def name(self) -> str:
        """The column's name."""
        return self.series.name

    @property
    def strings(self) -> bool:
        """Whether the ids are strings; else they are integers."""
        return self.series.dtype == pl.String

    @property
    def row_of(self) -> Mapping[Id, int]:
        """Raw id -> row."""
        below = self.found.row_of()
        return _Overlay(below, self.more, self.gone) if self.more or self.gone else below

    def prepare(self, rest: Callable[[], None]) -> None:
        """Make at once, with rests, what look-ups would make at the first of them."""
        self.found.prepare(rest)

    def take(self, rows: NDArray[np.int64]) -> list[Id]:
        """The raw ids of ``rows``."""
        size = self.found.size
        if not self.added or not len(rows) or int(rows.max()) < size:
            return self.found.take(rows)
        old = iter(self.found.take(rows[rows < size]))
        return [next(old) if row < size else self.added[row - size] for row in rows.tolist()]

    def rows(self, ids: Sequence[Id | None]) -> list[int]:
        """The row of each id; -1 for one that is not there."""
        rows = self.found.rows(ids)
        if not self.more and not self.gone:
            return rows
        more, gone = self.more, self.gone
        return [
            more.get(one, -1 if one in gone else row)  # type: ignore[arg-type]  # None is never there
            for one, row in zip(ids, rows, strict=True)
        ]

    def changed(
        self, series: pl.Series, added: Sequence[Id] = (), more: Mapping[Id, int] | None = None, gone: Sequence[Id] = ()
    ) -> Ids:
        """The ids of a changed table.

        series: of all its rows. added: the ids of rows that are new, in their order. more: the rows of ids that came, whether
        these rows are new or not. gone: ids whose rows are found no longer.
        """
        series, more = unpatterned(series), more or {}
        all_gone = (self.gone - more.keys()) | set(gone)
        all_more = {one: row for one, row in {**self.more, **more}.items() if one not in all_gone}
        all_added = [*self.added, *added]
        if (len(all_more) + len(all_gone)) * MERGED <= max(self.found.size, 64 * MERGED):
            return Ids(series, self.found, all_added, all_more, all_gone)
        return Ids(series, self.found.merged(series, all_added, all_more, all_gone))


class RowMap:
    """The rows of ids that do not change: a list and a map, each made when it is first worth it."""

    def __init__(self, series: pl.Series, row_of: dict[Id, int] | None = None, listed: list[Id] | None = None) -> None:
        self.size = len(series)
        self._series, self._row_of, self._listed = series, row_of, listed
        self._searches = 0

    def row_of(self) -> Mapping[Id, int]:
        """Raw id -> row."""
        if self._row_of is None:
            self._row_of = {value: row for row, value in enumerate(self._series.to_list())}
        return self._row_of

    def prepare(self, rest: Callable[[], None]) -> None:
        """Make the map, and the list where there is to be one; ``rest`` is called after every few thousand ids."""
        row_of: dict[Id, int] = {}
        listed: list[Id] = []
        keeps = self.size <= LISTED
        for low in range(0, self.size, PIECE):
            part = self._series[low : low + PIECE].to_list()
            row_of.update(zip(part, range(low, low + len(part)), strict=True))
            if keeps:
                listed += part
            rest()
        self._row_of, self._listed = row_of, listed if keeps else None

    def take(self, rows: NDArray[np.int64]) -> list[Id]:
        """The raw ids of ``rows``."""
        if self.size > LISTED:
            return self._series.gather(rows).to_list()
        if self._listed is None:
            self._listed = self._series.to_list()
        listed = self._listed
        return [listed[row] for row in rows.tolist()]

    def rows(self, ids: Sequence[Id | None]) -> list[int]:
        """The row of each id; -1 for one that is not there."""
        if self._row_of is None and self.size > PIECE and len(ids) <= FEW and self._searches < SEARCHES:
            self._searches += 1
            return [self._searched(one) for one in ids]
        get = self.row_of().get
        return [get(value, -1) for value in ids]  # type: ignore[arg-type]  # None is never there

    def _searched(self, one: Id | None) -> int:
        """The row of an id, without a map: a map of a million ids takes longer than some searches, and 100 MB."""
        if one is None:
            return -1
        try:
            for low in range(0, self.size, SEARCHED):
                at = (self._series[low : low + SEARCHED] == one).arg_max()
                if at is not None and self._series[low + at] == one:
                    return low + at
        except OverflowError:  # no number of the column's type
            pass
        return -1

    def merged(self, series: pl.Series, added: Sequence[Id], more: Mapping[Id, int], gone: frozenset[Id]) -> RowMap:
        """These ids and what came since, as one map."""
        row_of = {one: row for one, row in self.row_of().items() if one not in gone} | dict(more)
        listed = None if self._listed is None or len(series) > LISTED else [*self._listed, *added]
        return RowMap(series, row_of, listed)


class _Overlay(Mapping[Id, int]):
    """A map from raw ids to rows with some entries added, others gone; the map below is shared and stays as it is."""

    def __init__(self, below: Mapping[Id, int], more: Mapping[Id, int], gone: frozenset[Id]) -> None:
        self._below, self._more, self._gone = below, more, gone

    def get(self, key: Id, default: int | None = None) -> int | None:  # type: ignore[override]
        row = self._more.get(key)
        if row is not None:
            return row
        return default if key in self._gone else self._below.get(key, default)

    def __getitem__(self, key: Id) -> int:
        row = self.get(key)
        if row is None:
            raise KeyError(key)
        return row

    def __contains__(self, key: object) -> bool:
        return key in self._more or (key not in self._gone and key in self._below)

    def __iter__(self) -> Iterator[Id]:
        for one in self._below:
            if one not in self._gone and one not in self._more:
                yield one
        yield from self._more

    def __len__(self) -> int:
        hidden = sum(one in self._below for one in self._gone)
        return len(self._below) - hidden + sum(one not in self._below for one in self._more)
