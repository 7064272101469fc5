"""What a catalogue that grows is kept in, so that one more candidate does not cost a copy of all that are there.

States are snapshots: an older one can still be read while a newer one is made. Rows are only ever added behind the last,
so the states of one line share their arrays, and each sees as many rows as it has.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.recommender.state import Id

__all__ = ["Overlay", "Patched", "Room", "spliced"]

SPARE = 8  # one row in so many is room for more
LEAST = 1024
PATCHES = 4096  # rows in other than their first place beyond which all are copied
PIECES = 64  # of a table, beyond which it is made one again
MERGED = 64  # an overlay of more than one entry in so many is made into a map of its own


class Room:
    """Space for vectors, counts and raw ids by row, of which the first ``used`` rows are taken.

    ids: None where the catalogue is too large to list them. more: rows that are to come at once.
    """

    def __init__(
        self, vectors: NDArray[np.float32], counts: NDArray[np.int64], ids: list[Id] | None, more: int = 0
    ) -> None:
        self.used = len(vectors)
        size = self.used + more + max(LEAST, self.used // SPARE)
        self._vectors = np.empty((size, vectors.shape[1]), np.float32)
        self._vectors[: self.used] = vectors
        self._counts = np.zeros(size, np.int64)
        self._counts[: self.used] = counts
        self.ids = None if ids is None else ids[: self.used]
        self._lock = threading.Lock()

    def added(self, before: int, vectors: NDArray[np.float32], ids: list[Id]) -> bool:
        """Put rows behind the first ``before``; False where others are there, or there is no room."""
        with self._lock:
            after = before + len(ids)
            if before != self.used or after > len(self._vectors):
                return False
            self._vectors[before:after] = vectors
            if self.ids is not None:
                self.ids += ids
            self.used = after
            return True

    def vectors(self, count: int) -> NDArray[np.float32]:
        """The first rows' vectors ``[count, dim]``, not to be written to."""
        return _view(self._vectors, count)

    def counts(self, count: int) -> NDArray[np.int64]:
        """The first rows' training counts, not to be written to."""
        return _view(self._counts, count)


class Patched:
    """An array ``[rows, dim]`` of which some rows have been put in the place of others; read by row, and never written to.

    Both stay where they are: what was read before the change is read on, and a change does not cost a copy.
    """

    def __init__(self, below: NDArray[np.float32], rows: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        self.below, self.rows, self.values = below, rows, values  # rows: rising

    @classmethod
    def of(cls, array: Any, rows: NDArray[np.int64], values: NDArray[np.float32]) -> Any:
        """``array``, or what is patched over it, with ``values`` at ``rows``; as one array where these become many."""
        below = array.below if isinstance(array, cls) else array
        if isinstance(array, cls):
            kept = ~np.isin(array.rows, rows)
            rows = np.concatenate([array.rows[kept], rows])
            values = np.concatenate([array.values[kept], values])
        if len(rows) > PATCHES:
            whole = np.array(below)
            whole[rows] = values
            return whole
        order = np.argsort(rows)
        return cls(below, rows[order], values[order])

    def over(self, below: NDArray[np.float32]) -> Patched:
        """The same over an array that continues where this one ends."""
        return Patched(below, self.rows, self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.below.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.below.dtype

    def __len__(self) -> int:
        return len(self.below)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        if isinstance(key, slice):
            asked = np.arange(len(self))[key]
        else:
            asked = np.asarray(key)
            asked = np.flatnonzero(asked) if asked.dtype == bool else asked
        found = np.array(self.below[key])
        at = np.minimum(np.searchsorted(self.rows, asked), len(self.rows) - 1)
        hit = self.rows[at] == asked
        found[hit] = self.values[at[hit]] if asked.ndim else self.values[at]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:] if dtype is None else self[:].astype(dtype)


def spliced(table: pl.DataFrame, rows: NDArray[np.int64], new: pl.DataFrame) -> pl.DataFrame:
    """``table`` with the rows of ``new`` at ``rows``, which are distinct; a few cost no copy of the others."""
    pieces, at = [], 0
    if table.n_chunks() + 2 * len(rows) > PIECES:
        places = np.arange(len(table))
        places[rows] = len(table) + np.arange(len(rows))
        return pl.concat([table, new], rechunk=True)[places]
    for number in np.argsort(rows).tolist():
        row = int(rows[number])
        pieces += [table.slice(at, row - at), new.slice(number, 1)]
        at = row + 1
    return pl.concat([*pieces, table.slice(at)], rechunk=False)


def _view(array: NDArray, count: int) -> NDArray:  # type: ignore[type-arg]
    view = array[:count]
    view.flags.writeable = False
    return view


class Overlay(Mapping[Id, int]):
    """A map from raw ids to rows with some entries added, others gone; the map below is shared and stays as it is."""

    def __init__(self, below: Mapping[Id, int], more: dict[Id, int], gone: set[Id]) -> None:
        self._below, self._more, self._gone = below, more, gone

    @classmethod
    def of(cls, below: Mapping[Id, int], more: Mapping[Id, int], gone: set[Id]) -> Mapping[Id, int]:
        """``below`` with ``more``, without ``gone``; as one plain map where these have become many."""
        if isinstance(below, Overlay):
            gone = (below._gone - more.keys()) | gone
            more = {one: row for one, row in {**below._more, **more}.items() if one not in gone}
            below = below._below
        if (len(more) + len(gone)) * MERGED > max(len(below), 64 * MERGED):
            return {**{one: row for one, row in below.items() if one not in gone}, **more}
        return cls(below, dict(more), gone)

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
