"""Interactions, queries and candidates, checked once and in a fixed order."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.ids import counted, few, require_column, row_numbers, settle_ids
from shortlist.data.readers import Table, read_table
from shortlist.data.reading import Reading
from shortlist.data.times import TimeForm, read_times, settled_form, told_form
from shortlist.errors import ConfigError, DataError, ShortlistWarning

__all__ = ["Dataset", "TableLike", "check_weight", "checked_timestamp", "side_table"]

TableLike: TypeAlias = (
    "str | Path | pl.DataFrame | pl.LazyFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any"
)


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Dataset:
    """A table of interactions (who chose what), and one table each of the queries and the candidates.

    Each table may be a path (.parquet .csv .tsv .arrow .feather .ipc .jsonl .ndjson .json, text also with .gz or .zst; a
    pattern, a folder of files of one format, a Delta or Iceberg table, a URL such as ``s3://bucket/log/``), a Polars or
    pandas DataFrame, an Arrow table, a dict of columns, or a list of dicts.

    1. Ids are strings or integers, never null, and stay as they came, in value and type. (Categories become strings; a
       CSV column becomes integers only when every value reads back exactly, so "007" stays.)
    2. ``queries`` and ``candidates`` hold one row per distinct id: of a given table in order of first appearance, rows
       with the same id merged (the first is kept, ``notes`` says how many); else the sorted ids of the interactions.
    3. Interacted ids that a given table lacks are appended to it, sorted, with null features and a ShortlistWarning.
    4. Other columns of the interactions are kept (those named in ``keep``, where it is given). A timestamp given as text is
       parsed; dates that can be read both ways (05/01/2024) are refused, unless ``reading`` says which.
    5. Of a folder, files under a name that begins with _ or . are no data. Hive partitions (day=2024-05-01) are columns.

    Args:
        interactions: one row per interaction.
        query: the column of query ids, in ``interactions`` and ``queries``.
        candidate: the column of candidate ids, in ``interactions`` and ``candidates``.
        timestamp: a column of numbers, dates or datetimes, none of them null.
        weight: a column of finite numbers, none of them negative.
        queries, candidates: tables of features, or None.
        keep: the other columns of the interactions that are read; None for all of them.
        reading: how text files are written, where they do not say so themselves.

    Raises DataError (before anything is trained): a missing column, a null id, an id that is neither string nor integer,
    ids of different types in two tables, an empty table, a bad weight or timestamp, an unreadable file.

    >>> ratings = [{"user": "ann", "film": 7}, {"user": "bob", "film": 9}, {"user": "ann", "film": 9}]
    >>> data = Dataset(ratings, query="user", candidate="film")
    >>> data
    Dataset(3 interactions · 2 queries · 2 candidates)
    >>> data.candidate_rows.tolist(), data.candidates["film"].to_list()
    ([0, 1, 1], [7, 9])
    """

    interactions: pl.DataFrame
    queries: pl.DataFrame
    candidates: pl.DataFrame
    query: str
    candidate: str
    timestamp: str | None
    weight: str | None
    notes: tuple[str, ...]

    def __init__(
        self,
        interactions: TableLike,
        query: str,
        candidate: str,
        timestamp: str | None = None,
        weight: str | None = None,
        *,
        queries: TableLike | None = None,
        candidates: TableLike | None = None,
        keep: Sequence[str] | None = None,
        reading: Reading | None = None,
    ) -> None:
        if query == candidate:
            raise ConfigError(
                f"query and candidate are both {query!r}; expected two different columns.",
                hint="name the column of who chose as query, and of what was chosen as candidate",
            )
        main = read_table(
            interactions,
            "interactions",
            ids=(query, candidate),
            times=[] if timestamp is None else [timestamp],
            others=[] if weight is None else [weight],
            reading=reading,
            keep=keep,
        )
        require_column(main, query, "query")
        require_column(main, candidate, "candidate")
        main, time_notes = _checked_context(main, timestamp, weight, reading or Reading())
        side = None if reading is None else reading.of_features()
        main, query_table, query_notes = side_table(main, queries, query, "query", "queries", side)
        main, candidate_table, candidate_notes = side_table(
            main, candidates, candidate, "candidate", "candidates", side
        )
        self._fill(
            interactions=main.frame,
            queries=query_table,
            candidates=candidate_table,
            query=query,
            candidate=candidate,
            timestamp=timestamp,
            weight=weight,
            notes=(*main.notes, *time_notes, *query_notes, *candidate_notes),
        )

    def _fill(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def with_interactions(self, interactions: pl.DataFrame) -> Dataset:
        """A Dataset of other interactions (the same columns that matter, known ids) that shares both tables.

        Raises DataError for a missing column, another id type, or no rows; an id that its table lacks is found out when
        row numbers are first asked for.
        """
        table = Table(interactions, "interactions")
        for column in filter(None, (self.query, self.candidate, self.timestamp, self.weight)):
            require_column(table, column, "column of the Dataset")
            if interactions.schema[column] != self.interactions.schema[column]:
                raise DataError(
                    f"the interactions' {column!r} is of type {interactions.schema[column]}; "
                    f"expected {self.interactions.schema[column]}, as in the Dataset they replace.",
                    hint="cast the column, or build a new Dataset",
                )
        if interactions.is_empty():
            raise DataError("the interactions table is empty; expected at least one row.", hint="check the filter")
        return self._replaced(interactions)

    def _replaced(self, interactions: pl.DataFrame, **cached: NDArray[np.int32]) -> Dataset:
        """The same tables under other interactions, whose row numbers may be known already."""
        other = object.__new__(Dataset)
        other._fill(
            interactions=interactions,
            queries=self.queries,
            candidates=self.candidates,
            query=self.query,
            candidate=self.candidate,
            timestamp=self.timestamp,
            weight=self.weight,
            notes=self.notes,
            **cached,
        )
        return other

    @classmethod
    def _of_rows(
        cls,
        tables: Mapping[str, pl.DataFrame],
        columns: Mapping[str, str | None],
        rows: Mapping[str, NDArray[np.int32]],
        others: Sequence[pl.Series] = (),
    ) -> Dataset:
        """Interactions given as row numbers of ``tables`` (queries, candidates), by side, with other columns beside."""
        ids = [
            tables[side][columns[name]].alias("id").gather(rows[name]).alias(str(columns[name]))  # type: ignore[index]
            for side, name in (("queries", "query"), ("candidates", "candidate"))
        ]
        dataset = object.__new__(cls)
        known = {"query_rows": rows["query"], "candidate_rows": rows["candidate"]}
        dataset._fill(interactions=pl.DataFrame([*ids, *others]), **tables, **columns, **known, notes=())
        return dataset

    def _noted(self, *notes: str) -> Dataset:
        """The same Dataset with more notes."""
        other = self._replaced(self.interactions)
        other._fill(notes=(*self.notes, *notes))
        return other

    def _filtered(self, mask: NDArray[np.bool_]) -> Dataset:
        """The interactions where ``mask`` is true, in order, with their row numbers."""
        return self._replaced(
            self.interactions.filter(pl.Series(mask)),
            query_rows=self.query_rows[mask],
            candidate_rows=self.candidate_rows[mask],
        )

    @cached_property
    def query_rows(self) -> NDArray[np.int32]:
        """The row in ``queries`` of each interaction → int32 ``[interactions]``."""
        return row_numbers(self.interactions[self.query], self.queries[self.query])

    @cached_property
    def candidate_rows(self) -> NDArray[np.int32]:
        """The row in ``candidates`` of each interaction → int32 ``[interactions]``."""
        return row_numbers(self.interactions[self.candidate], self.candidates[self.candidate])

    @cached_property
    def query_counts(self) -> NDArray[np.int64]:
        """How many interactions each query has → int64 ``[queries]``."""
        return np.bincount(self.query_rows, minlength=len(self.queries))

    @cached_property
    def candidate_counts(self) -> NDArray[np.int64]:
        """How many interactions each candidate has → int64 ``[candidates]``."""
        return np.bincount(self.candidate_rows, minlength=len(self.candidates))

    @cached_property
    def weights(self) -> NDArray[np.float32] | None:
        """The weight of each interaction → float32 ``[interactions]``; None without a weight column."""
        if self.weight is None:
            return None
        return np.array(self.interactions[self.weight].cast(pl.Float32), dtype=np.float32)

    def __len__(self) -> int:
        return self.interactions.height

    def __repr__(self) -> str:
        return (
            f"Dataset({len(self):,} interactions · {self.queries.height:,} queries · "
            f"{self.candidates.height:,} candidates)"
        )


def side_table(
    main: Table, source: TableLike | None, column: str, role: str, name: str, reading: Reading | None = None
) -> tuple[Table, pl.DataFrame, list[str]]:
    """The interactions with settled ids, the table of one side, and what there is to say about it."""
    if source is None:
        (frame,) = settle_ids([main], column, role)
        return replace(main, frame=frame), _distinct(frame[column]).sort().alias(column).to_frame(), []
    table = read_table(source, name, ids=(column,), reading=reading)
    frame, given = settle_ids([main, table], column, role)
    distinct = given.filter(given[column].alias("id").is_first_distinct())
    notes = [f"{name}: {note}" for note in table.notes]
    if merged := given.height - distinct.height:
        notes.append(
            f"{counted(merged, f'{role} row')} had the {column} of an earlier row and merged into it "
            f"({given.height:,} rows, {distinct.height:,} {name})"
        )
    interacted = _distinct(frame[column])
    lacking = interacted.filter(~interacted.is_in(distinct[column].alias("id").implode())).sort()
    if len(lacking):
        note = f"the {name} table lacked {counted(len(lacking), 'interacted id')} ({few(lacking)})"
        notes.append(f"{note}; added with null features")
        warnings.warn(f"{note}; added with null features.", ShortlistWarning, stacklevel=3)
        distinct = pl.concat([distinct, lacking.alias(column).to_frame()], how="diagonal")
    return replace(main, frame=frame), distinct, notes


def _distinct(ids: pl.Series) -> pl.Series:
    """Each id once, under a name that Polars takes for nothing else (it would take "^u.*$" for a pattern)."""
    return ids.alias("id").unique()


def _checked_context(
    table: Table, timestamp: str | None, weight: str | None, reading: Reading
) -> tuple[Table, list[str]]:
    """The table with its times and weights checked, and how its times were read."""
    frame, notes = table.frame, []
    if timestamp is not None:
        require_column(table, timestamp, "timestamp")
        values, form = frame[timestamp], None
        if values.dtype == pl.String:
            form = settled_form([values], timestamp, reading)
            notes += told_form(values, form)
        frame = frame.with_columns(checked_timestamp(values, form))
    if weight is not None:
        require_column(table, weight, "weight")
        check_weight(frame[weight])
    return replace(table, frame=frame), notes


def checked_timestamp(values: pl.Series, form: TimeForm | None = None) -> pl.Series:
    """Timestamps; those that are text are read by ``form``. DataError for another type, and where one is missing."""
    if values.dtype == pl.String and form is not None:
        values = read_times(values, form)
    dtype = values.dtype
    if not (dtype.is_integer() or dtype.is_float() or dtype == pl.Date or isinstance(dtype, pl.Datetime)):
        raise DataError(
            f"the timestamp column {values.name!r} is of type {dtype}; expected numbers, dates or datetimes.",
            hint="cast it, or name another column as the timestamp",
        )
    bad = values.null_count() + (int((~values.is_finite()).sum()) if dtype.is_float() else 0)
    if bad:
        raise DataError(
            f"the timestamp column {values.name!r} has {counted(bad, 'bad value')} (null, NaN or infinite); "
            "every interaction needs a time.",
            hint="drop those rows, or leave timestamp out",
        )
    return values


def check_weight(values: pl.Series, *, whole: bool = True) -> None:
    """DataError for weights that cannot be; ``whole``: also where every one of them is zero."""
    if not (values.dtype.is_integer() or values.dtype.is_float() or values.dtype.is_decimal()):
        raise DataError(
            f"the weight column {values.name!r} is of type {values.dtype}; expected numbers.",
            hint="cast it, or name another column as the weight",
        )
    numbers = values.cast(pl.Float32)
    good = numbers.is_finite() & (numbers >= 0)
    bad = len(values) - int(good.sum())
    if bad:
        raise DataError(
            f"the weight column {values.name!r} has {counted(bad, 'bad value')} (null, negative, or not finite in "
            "float32); expected finite numbers ≥ 0.",
            hint="fill or drop those rows",
        )
    if whole and not bool((numbers > 0).any()):
        raise DataError(
            f"the weight column {values.name!r} is zero in every row; expected some weight above 0.",
            hint="leave weight out to count every interaction once",
        )
