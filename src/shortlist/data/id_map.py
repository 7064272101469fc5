"""The map between raw ids and rows: strings or integers of one type, each with its row, found one by one or in columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.ids import counted, few, unpatterned
from shortlist.errors import DataError

__all__ = ["Id", "IdMap", "is_id_type"]

FEW = 64  # up to this many values a dictionary is faster than columns
AT_A_TIME = 4_000_000  # values joined at a time: twice as fast as all at once, in a quarter of the memory
SPREAD = 8  # integers that span up to so many times their number are found in an array
LISTED = 1 << 20  # up to this many ids are kept as a plain list, which answers single requests faster
PIECE = 4096  # ids put into a dictionary between two rests
MERGED = 64  # where more than one entry in so many changed, the map becomes one dictionary again

Id = str | int


def is_id_type(dtype: pl.DataType) -> bool:
    """Whether ids may have this type: strings and integers, nothing else."""
    return dtype == pl.String or dtype.is_integer()


class IdMap:
    """Distinct raw ids and their rows: the id at position r of ``ids`` has row r.

    Rows are found for a column (``find``, ``require``, ``encode``) or for single ids (``rows``, ``row_of``); ``take`` goes
    back. What a way needs is built when it is first asked. Ids are never converted: ``"1"`` and ``1`` are different.

    ids: distinct and not null, as a table's id column is; ``checked`` takes those of unknown origin.

    Raises DataError for nulls and types that are neither string nor integer.

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
            raise DataError(f"a vocabulary got {ids.null_count():,} nulls; every id must have a value.")
        self.name = ids.name
        self.ids = unpatterned(ids)
        self._row_of: Mapping[Id, int] | None = None
        self._listed: list[Id] | None = None
        self._whole = True  # every one of ``ids`` is found

    @classmethod
    def checked(cls, ids: pl.Series) -> IdMap:
        """The map of ids that may repeat. Raises DataError where one does."""
        made = cls(ids)
        if ids.n_unique() != len(ids):
            raise DataError(f"a vocabulary got {len(ids) - ids.n_unique():,} repeated ids; each may stand once.")
        return made

    @classmethod
    def of_values(cls, values: pl.Series) -> IdMap:
        """The distinct non-null values, most frequent first (ties by value), so that hot rows lie together."""
        counts = values.rename("id").drop_nulls().to_frame().group_by("id").len()
        return cls(counts.sort(["len", "id"], descending=[True, False])["id"])

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"IdMap({len(self):,} ids of type {self.ids.dtype})"

    @property
    def strings(self) -> bool:
        """Whether the ids are strings; else they are integers."""
        return self.ids.dtype == pl.String

    @property
    def cardinality(self) -> int:
        """Rows that an embedding table over these ids needs: one for each id and one for the unknown."""
        return len(self.ids) + 1

    def encode(self, values: pl.Series) -> NDArray[np.int32]:
        """Codes ``[len(values)]``, row + 1 of each value; 0 where it is null or not there. Raises as ``find``."""
        codes = self._found(values)
        codes += 1
        return codes

    def find(self, values: pl.Series) -> NDArray[np.int64]:
        """Rows ``[len(values)]``; −1 where a value is null or not there.

        Raises DataError where the values are strings and the ids integers, or the other way round.
        """
        return self._found(values).astype(np.int64)

    def require(self, values: pl.Series) -> NDArray[np.int32]:
        """Rows ``[len(values)]`` of interactions' ids. Raises DataError where one is not there."""
        rows = self._by_column(self._of_type(values)) if self._whole else self._found(values)
        if len(rows) and rows.min() < 0:
            missing = values.filter(pl.Series(rows < 0))
            raise DataError(
                f"{counted(len(missing), 'interaction')} with a {values.name!r} that its table lacks, "
                f"such as {few(missing)}.",
                hint="build a new Dataset from these interactions",
            )
        return rows

    def rows(self, ids: Sequence[Id | None]) -> list[int]:
        """The row of each id; −1 for one that is not there."""
        get = self.row_of.get
        return [get(value, -1) for value in ids]  # type: ignore[arg-type]  # None is never there

    def take(self, rows: NDArray[np.int64]) -> list[Id]:
        """The raw ids of ``rows``."""
        if len(self.ids) > LISTED:
            return self.ids.gather(rows).to_list()
        listed = self.listed
        return [listed[row] for row in rows.tolist()]

    @property
    def listed(self) -> list[Id]:
        """All ids by row."""
        if self._listed is None:
            self._listed = self.ids.to_list()
        return self._listed

    @property
    def row_of(self) -> Mapping[Id, int]:
        """Raw id -> row."""
        if self._row_of is None:
            self._row_of = {value: row for row, value in enumerate(self.ids.to_list())}
        return self._row_of

    def changed(
        self, ids: pl.Series, added: Mapping[Id, int], gone: Collection[Id], listed: list[Id] | None = None
    ) -> IdMap:
        """These ids after a live change, at the cost of what changed; this map stays as it is.

        ids: all ids by row, those that are gone too, since rows are never given anew. added: ids that are found from now on, by
        row; gone: ids that are found no more. listed: ``ids`` as a list, where there is one.
        """
        after = IdMap(ids)
        after._row_of = _Overlay.of(self.row_of, added, set(gone))
        after._listed = self._listed if listed is None else listed
        after._whole = False
        return after

    def prepare(self, rest: Callable[[], None]) -> None:
        """Build what single ids need now, with rests, and not when the first is asked."""
        row_of: dict[Id, int] = {}
        listed: list[Id] = []
        keeps = len(self.ids) <= LISTED
        for low in range(0, len(self.ids), PIECE):
            part = self.ids[low : low + PIECE].to_list()
            row_of.update(zip(part, range(low, low + len(part)), strict=True))
            if keeps:
                listed += part
            rest()
        self._row_of, self._listed = row_of, listed if keeps else None

    def _found(self, values: pl.Series) -> NDArray[np.int32]:
        """The row of each value; −1 where it is null or not there. Raises as ``find``."""
        values = self._of_type(values)
        if len(values) <= FEW or not self._whole:
            return np.array(self.rows(values.to_list()), dtype=np.int32)
        return self._by_column(values)

    def _of_type(self, values: pl.Series) -> pl.Series:
        """Values that may be among the ids: categories become strings. Raises as ``find``."""
        if values.dtype in (pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        same = is_id_type(values.dtype) and (values.dtype == pl.String) == self.strings
        if not same and values.dtype != pl.Null:
            raise DataError(
                f"column {values.name!r} holds {values.dtype}; its vocabulary was built from {self.ids.dtype}.",
                hint=f'cast the column to {self.ids.dtype} (the value "1" and the value 1 are different ids)',
            )
        return values

    def _by_column(self, values: pl.Series) -> NDArray[np.int32]:
        """As ``_found`` for values of the right type, through an array or a join: nothing is built for single ids."""
        found = self._joined if self._table is None else self._looked_up
        rows = np.empty(len(values), dtype=np.int32)
        step = max(AT_A_TIME, len(self))
        for start in range(0, len(values), step):
            rows[start : start + step] = found(values[start : start + step])
        return rows

    def _joined(self, values: pl.Series) -> NDArray[np.int32]:
        asked = values.cast(self.ids.dtype, strict=False).alias("id").to_frame()
        found = asked.join(self._frame, on="id", how="left", maintain_order="left")["row"]
        return np.asarray(found.fill_null(-1))

    def _looked_up(self, values: pl.Series) -> NDArray[np.int32]:
        assert self._table is not None
        first, table = self._table
        outside = first - 1 if first > -(2**63) else 2**63 - 1
        places = np.asarray(values.cast(pl.Int64, strict=False).fill_null(outside))
        inside = (places >= first) & (places < first + len(table))
        rows: NDArray[np.int32] = table[np.where(inside, places - first, 0)]
        rows[~inside] = -1
        return rows

    @cached_property
    def _frame(self) -> pl.DataFrame:
        return pl.DataFrame({"id": self.ids, "row": np.arange(len(self), dtype=np.int32)})

    @cached_property
    def _table(self) -> tuple[int, NDArray[np.int32]] | None:
        """The least id, and the row of each integer from it on, −1 for none; None unless the ids are close together."""
        if self.strings or not len(self):
            return None
        least, most = int(self.ids.min()), int(self.ids.max())  # type: ignore[arg-type]
        if least < -(2**63) or most >= 2**63 or most - least >= SPREAD * len(self) + 1_000:
            return None
        table = np.full(most - least + 1, -1, dtype=np.int32)
        table[self.ids.cast(pl.Int64).to_numpy() - least] = np.arange(len(self), dtype=np.int32)
        return least, table


class _Overlay(Mapping[Id, int]):
    """A map from raw ids to rows with some entries added, others gone; the map below is shared and stays as it is."""

    def __init__(self, below: Mapping[Id, int], more: dict[Id, int], gone: set[Id]) -> None:
        self._below, self._more, self._gone = below, more, gone

    @classmethod
    def of(cls, below: Mapping[Id, int], more: Mapping[Id, int], gone: set[Id]) -> Mapping[Id, int]:
        """``below`` with ``more``, without ``gone``; as one plain map where these have become many."""
        if isinstance(below, _Overlay):
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
