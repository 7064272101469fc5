"""The map between raw ids and rows: strings or integers of one type, each with its row, found one by one or in columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.ids import few, unpatterned
from shortlist.errors import DataError
from shortlist.language import counted

__all__ = ["Id", "IdMap", "is_id_type"]

Id: TypeAlias = "str | int"

FEW = 64  # up to this many values of a column are looked up one by one, which is faster,
FEW_TEXTS = 2048  # or up to this many strings among at most twice as many
AT_A_TIME = 4_000_000  # values joined at a time: twice as fast as all at once, in a quarter of the memory
SPREAD = 8  # integers in a range of up to so many times their number are looked up in an array; less than half may be above it
PIECE = 4096  # ids put into a dictionary between two calls of ``pause``
LISTED = 1 << 20  # up to this many ids are kept as a plain list, which answers single requests faster
SEARCH = 4  # single ids are searched for among up to so many while there is no dictionary yet,
SEARCHES = 16  # up to so many times; then the dictionary is built
SEARCHED = 1 << 16  # ids compared at a time
MERGED = 64  # changes of more than one id in so many get a map of their own


def is_id_type(dtype: pl.DataType) -> bool:
    """Whether ids may have this type: strings and integers, nothing else."""
    return dtype == pl.String or dtype.is_integer()


class IdMap:
    """Distinct raw ids and their rows: the id at position r of ``ids`` has row r.

    ``find``, ``require`` and ``encode`` look up a column; ``rows`` and ``row_of`` single ids; ``take`` gives the ids of
    rows. Lookup tables are built when they are first needed. Ids are never converted: ``"1"`` and ``1`` are different.
    ``changed`` gives the map of a changed table, which shares the lookup tables of this one.

    Args:
        ids: distinct and not null, as a table's id column is; ``checked`` takes those of unknown origin.

    Raises:
        DataError: for nulls and types that are neither string nor integer.

    Example:
        >>> known = IdMap(pl.Series(["b", "a"]))
        >>> asked = pl.Series(["a", "never seen", "b"])
        >>> known.find(asked).tolist(), known.encode(asked).tolist()
        ([1, -1, 0], [2, 0, 1])
    """

    def __init__(self, ids: pl.Series) -> None:
        if not is_id_type(ids.dtype):
            raise DataError(
                f"a vocabulary got values of type {ids.dtype}; ids are strings or integers.",
                hint="cast the column to String or Int64 first",
            )
        if ids.null_count():
            raise DataError(f"a vocabulary got {counted(ids.null_count(), 'null')}; every id must have a value.")
        self.ids = unpatterned(ids)
        self.name = ids.name
        self._fixed = _Fixed(self.ids)  # the rows of the table that is shared
        self._added: Sequence[Id] = ()  # ids of rows after those
        self._more: Mapping[Id, int] = {}  # rows of ids added since
        self._gone: frozenset[Id] = frozenset()  # ids that no longer have a row

    @classmethod
    def checked(cls, ids: pl.Series) -> IdMap:
        """The map of ids that may repeat.

        Raises:
            DataError: where one does.
        """
        made = cls(ids)
        if ids.n_unique() != len(ids):
            raise DataError(
                f"a vocabulary got {counted(len(ids) - ids.n_unique(), 'repeated id')}; expected each id once."
            )
        return made

    @classmethod
    def of_values(cls, values: pl.Series) -> IdMap:
        """The distinct non-null values, most frequent first (ties by value), so that frequent rows are together."""
        if values.dtype.is_integer():  # by NumPy, which gives back the memory that it took
            ids, counts = np.unique(values.drop_nulls().to_numpy(), return_counts=True)
            return cls(pl.Series("id", ids[np.argsort(-counts, kind="stable")], dtype=values.dtype))
        found = values.rename("id").drop_nulls().to_frame().group_by("id").len()
        return cls(found.sort(["len", "id"], descending=[True, False])["id"])

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"IdMap({counted(len(self), 'id')} of type {self.ids.dtype})"

    @property
    def strings(self) -> bool:
        """Whether the ids are strings; else they are integers."""
        return self.ids.dtype == pl.String

    @property
    def cardinality(self) -> int:
        """Rows that an embedding table over these ids needs: one for each id and one for the unknown."""
        return len(self.ids) + 1

    def encode(self, values: pl.Series) -> NDArray[np.int32]:
        """Codes ``[len(values)]``, row + 1 of each value; 0 where it is null or unknown. Errors as in ``find``."""
        codes = self._found(values)
        codes += 1
        return codes

    def find(self, values: pl.Series) -> NDArray[np.int64]:
        """Rows ``[len(values)]``; −1 where a value is null or unknown.

        Raises:
            DataError: where the values are strings and the ids integers, or the other way round.
        """
        return self._found(values).astype(np.int64)

    def match(self, values: pl.Series) -> NDArray[np.int64]:
        """As ``find``, for a map that is asked once: nothing is built for single ids, however few the values are."""
        return self._fixed.by_column(self._of_type(values)).astype(np.int64)

    def require(self, values: pl.Series) -> NDArray[np.int32]:
        """Rows ``[len(values)]`` of interactions' ids.

        Raises:
            DataError: for an unknown id.
        """
        values = self._of_type(values)
        rows = self._singly(values) if self._more or self._gone else self._fixed.by_column(values)
        if len(rows) and rows.min() < 0:
            missing = values.filter(pl.Series(rows < 0))
            raise DataError(
                f"{counted(len(missing), 'interaction')} with a {values.name!r} that is not in its table, "
                f"such as {few(missing)}.",
                hint="build a new Dataset from these interactions",
            )
        return rows

    def rows(self, ids: Sequence[Id | None]) -> list[int]:
        """The row of each id; −1 for an unknown one."""
        rows = self._fixed.rows(ids)
        more, gone = self._more, self._gone
        if not more and not gone:
            return rows
        return [
            more.get(one, -1 if one in gone else row)  # type: ignore[arg-type]  # None is never there
            for one, row in zip(ids, rows, strict=True)
        ]

    @property
    def row_of(self) -> Mapping[Id, int]:
        """Raw id -> row."""
        below = self._fixed.row_of()
        return _Overlay(below, self._more, self._gone) if self._more or self._gone else below

    def take(self, rows: NDArray[np.int64]) -> list[Id]:
        """The raw ids of ``rows``."""
        size = self._fixed.size
        if not self._added or not len(rows) or int(rows.max()) < size:
            return self._fixed.take(rows)
        old = iter(self._fixed.take(rows[rows < size]))
        return [next(old) if row < size else self._added[row - size] for row in rows.tolist()]

    def prepare(self, pause: Callable[[], None]) -> None:
        """Build the lookup table of single ids now, in steps, rather than at the first lookup."""
        self._fixed.prepare(pause)

    def changed(
        self, ids: pl.Series, added: Sequence[Id] = (), more: Mapping[Id, int] | None = None, gone: Sequence[Id] = ()
    ) -> IdMap:
        """The map of a changed table, at a cost that depends on the change alone; this map stays as it is.

        Args:
            ids: the ids of all its rows, also of those that were removed.
            added: the ids of rows that are new, in their order.
            more: the rows of added ids, whether these rows are new or not.
            gone: the ids that were removed.
        """
        after, more = IdMap(ids), more or {}
        all_gone = (self._gone - more.keys()) | set(gone)
        all_more = {one: row for one, row in {**self._more, **more}.items() if one not in all_gone}
        all_added = [*self._added, *added]
        if (len(all_more) + len(all_gone)) * MERGED <= max(self._fixed.size, 64 * MERGED):
            after._fixed, after._added, after._more, after._gone = self._fixed, all_added, all_more, all_gone
        else:
            after._fixed = self._fixed.merged(after.ids, all_added, all_more, all_gone)
        return after

    def _found(self, values: pl.Series) -> NDArray[np.int32]:
        """The row of each value; −1 where it is null or unknown. Errors as in ``find``."""
        values = self._of_type(values)
        if not self._more and not self._gone and self._fixed.holds(values):
            return np.arange(len(values), dtype=np.int32)
        few = FEW_TEXTS if self.strings and self._fixed.size <= 2 * FEW_TEXTS else FEW
        if len(values) <= few or self._more or self._gone:
            return self._singly(values)
        return self._fixed.by_column(values)

    def _singly(self, values: pl.Series) -> NDArray[np.int32]:
        return np.fromiter(self.rows(values.to_list()), np.int32, len(values))

    def _of_type(self, values: pl.Series) -> pl.Series:
        """Values in a type that can be compared with the ids: categories become strings. Errors as in ``find``."""
        if values.dtype in (pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        same = is_id_type(values.dtype) and (values.dtype == pl.String) == self.strings
        if not same and values.dtype != pl.Null:
            raise DataError(
                f"column {values.name!r} holds {values.dtype}; its vocabulary was built from {self.ids.dtype}.",
                hint=f'cast the column to {self.ids.dtype} (the value "1" and the value 1 are different ids)',
            )
        return values


class _Fixed:
    """The rows of ids that do not change: a list, a dictionary, an array or a frame, each built when it is first needed."""

    def __init__(self, ids: pl.Series, row_of: dict[Id, int] | None = None, listed: list[Id] | None = None) -> None:
        self.size = len(ids)
        self._ids, self._row_of, self._listed = ids, row_of, listed
        self._whole = row_of is None  # else some of the ids may have no row
        self._searches = 0

    def row_of(self) -> Mapping[Id, int]:
        """Raw id -> row."""
        if self._row_of is None:
            self._row_of = {value: row for row, value in enumerate(self._ids.to_list())}
        return self._row_of

    def holds(self, values: pl.Series) -> bool:
        """Whether these are all the ids, in their order, and each has its row."""
        same = self._whole and len(values) == self.size and values.dtype == self._ids.dtype
        return same and values.equals(self._ids)

    def prepare(self, pause: Callable[[], None]) -> None:
        """Build the map, and the list if the ids are few; ``pause`` is called after every few thousand ids."""
        row_of: dict[Id, int] = {}
        listed: list[Id] = []
        keeps = self.size <= LISTED and self._integers is None
        for low in range(0, self.size, PIECE):
            part = self._ids[low : low + PIECE].to_list()
            row_of.update(zip(part, range(low, low + len(part)), strict=True))
            if keeps:
                listed += part
            pause()
        self._row_of, self._listed = row_of, listed if keeps else None

    def take(self, rows: NDArray[np.int64]) -> list[Id]:
        """The raw ids of ``rows``."""
        if self._integers is not None:  # as fast as a list, and shared with the column
            return self._integers[rows].tolist()  # type: ignore[no-any-return]
        if self.size > LISTED:
            return self._ids.gather(rows).to_list()
        if self._listed is None:
            self._listed = self._ids.to_list()
        listed = self._listed
        return [listed[row] for row in rows.tolist()]

    def rows(self, ids: Sequence[Id | None]) -> list[int]:
        """The row of each id; -1 for an unknown one."""
        if self._row_of is None and self.size > PIECE and len(ids) <= SEARCH and self._searches < SEARCHES:
            self._searches += 1
            return [self._searched(one) for one in ids]
        get = self.row_of().get
        return [get(value, -1) for value in ids]  # type: ignore[arg-type]  # None is never there

    def _searched(self, one: Id | None) -> int:
        """The row of an id, without a map: to build a map of a million ids takes longer than some searches, and 100 MB."""
        if one is None:
            return -1
        try:
            for low in range(0, self.size, SEARCHED):
                at = (self._ids[low : low + SEARCHED] == one).arg_max()
                if at is not None and self._ids[low + at] == one:
                    return low + at
        except OverflowError:  # not a number of the column's type
            pass
        return -1

    def merged(self, ids: pl.Series, added: Sequence[Id], more: Mapping[Id, int], gone: frozenset[Id]) -> _Fixed:
        """These ids and those added since, as one map."""
        row_of = {one: row for one, row in self.row_of().items() if one not in gone} | dict(more)
        listed = None if self._listed is None or len(ids) > LISTED else [*self._listed, *added]
        return _Fixed(ids, row_of, listed)

    def by_column(self, values: pl.Series) -> NDArray[np.int32]:
        """The row of each value, −1 where it is null or not there; nothing is built for single ids."""
        found = self._joined if self._table is None else self._looked_up
        rows = np.empty(len(values), dtype=np.int32)
        step = max(AT_A_TIME, self.size)
        for start in range(0, len(values), step):
            rows[start : start + step] = found(values[start : start + step])
        return rows if self._whole else np.where(self._has_row[rows], rows, np.int32(-1))

    def _joined(self, values: pl.Series) -> NDArray[np.int32]:
        places = np.arange(len(values), dtype=np.int32)
        asked = pl.DataFrame({"id": values.cast(self._ids.dtype, strict=False), "place": places})
        met = self._frame.join(asked, on="id", how="inner")  # hashes the smaller of both
        rows = np.full(len(values), -1, dtype=np.int32)
        rows[met["place"].to_numpy()] = met["row"].to_numpy()
        return rows

    def _looked_up(self, values: pl.Series) -> NDArray[np.int32]:
        assert self._table is not None
        first, table, above = self._table
        outside = first - 1 if first > -(2**63) else 2**63 - 1
        places = np.asarray(values.cast(pl.Int64, strict=False).fill_null(outside))
        inside = (places >= first) & (places < first + len(table))
        rows: NDArray[np.int32] = table[np.where(inside, places - first, 0)]
        rows[~inside] = -1
        if above is not None:
            away = np.flatnonzero(~inside)
            found = above.ids.by_column(values.gather(away))
            rows[away[found >= 0]] = above.rows[found[found >= 0]]
        return rows

    @cached_property
    def _has_row(self) -> NDArray[np.bool_]:
        """Whether each id has a row; the last one is that of row −1, and has none."""
        has = np.zeros(self.size + 1, np.bool_)
        has[list(self.row_of().values())] = True
        return has

    @cached_property
    def _integers(self) -> NDArray[Any] | None:
        """The ids as an array, where they are numbers."""
        return None if self._ids.dtype == pl.String else self._ids.to_numpy()

    @cached_property
    def _frame(self) -> pl.DataFrame:
        return pl.DataFrame({"id": self._ids, "row": np.arange(self.size, dtype=np.int32)})

    @cached_property
    def _table(self) -> _Table | None:
        """Rows by integer; None unless most ids are close together, from the least on."""
        if self._ids.dtype == pl.String or not self.size:
            return None
        least, most = int(self._ids.min()), int(self._ids.max())  # type: ignore[arg-type]
        if least < -(2**63) or most >= 2**63:
            return None
        ids, rows = self._ids.cast(pl.Int64).to_numpy(), np.arange(self.size, dtype=np.int32)
        end = least + SPREAD * self.size + 1_000
        above = None
        if most >= end:
            is_near = ids < end
            near = int(np.count_nonzero(is_near))
            if 2 * near < self.size:
                return None
            above = _Above(_Fixed(self._ids.filter(pl.Series(~is_near))), rows[~is_near])
            ids, rows = ids[is_near], rows[is_near]
            most = int(ids.max())
        table = np.full(most - least + 1, -1, dtype=np.int32)
        table[ids - least] = rows
        return _Table(least, table, above)


class _Above(NamedTuple):
    """Ids that are far above the others, and the row of each."""

    ids: _Fixed
    rows: NDArray[np.int32]


class _Table(NamedTuple):
    """The least id, the row of each integer from it on, −1 for none, and the ids that are far above these."""

    first: int
    rows: NDArray[np.int32]
    above: _Above | None


class _Overlay(Mapping[Id, int]):
    """A map from raw ids to rows with entries added and removed; the map below it is shared and stays as it is."""

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
