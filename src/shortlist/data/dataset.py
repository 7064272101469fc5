"""Interactions, queries and candidates, checked once and in a fixed order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.account import Account
from shortlist.data.argument_checks import check_columns, check_frame, check_kind
from shortlist.data.events import EventPlan, Events
from shortlist.data.id_map import IdMap
from shortlist.data.ids import frame_of, require_column, unpatterned
from shortlist.data.readers import Table, read_table
from shortlist.data.reading import Reading
from shortlist.data.roles import PLURAL, TableLike, check_weight, checked_timestamp, id_doubts, side_table
from shortlist.data.suspicious_rows import doubtful_order, doubtful_rows, doubtful_times, first_rows
from shortlist.data.times import form_in_words, kind_in_words, refuse_format, settled_form
from shortlist.display import Framed, frame_html, table_html
from shortlist.errors import DataError, ShortlistWarning, checked_list
from shortlist.language import counted

__all__ = ["Dataset", "warn"]

SHOWN_ROWS = 5  # of each table, in a notebook


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Dataset(Framed):
    """A table of interactions (who chose what), and one table each of the queries and the candidates.

    Each table may be a path (.parquet .csv .tsv .arrow .feather .ipc .jsonl .ndjson .json, text also with .gz or .zst; a
    pattern, a folder of files of one format, a Delta or Iceberg table, a URL such as ``s3://bucket/log/``), a Polars or
    pandas DataFrame, an Arrow table, a dict of columns, or a list of dicts.

    1. Ids are strings or integers, never null, and keep their value and type. (Categories become strings; a
       CSV column becomes integers only when every value reads back exactly, so "007" stays.)
    2. ``queries`` and ``candidates`` hold one row per distinct id: of a given table in order of first appearance, rows
       with the same id merged (the first is kept, ``notes`` says how many); else the sorted ids of the interactions.
    3. Interacted ids that a given table lacks are appended to it, sorted, with null features and a ShortlistWarning.
    4. Other columns of the interactions are kept (those named in ``keep``, where it is given). A timestamp given as text is
       parsed; dates that can be read both ways (05/01/2024) are refused, unless ``reading`` says which.
    5. Of a folder, files under a name that begins with _ or . are skipped. Hive partitions (day=2024-05-01) are columns.

    Doubtful rows (ids that differ only by blanks, events that take a choice back, a crawler) cause a ShortlistWarning.

    Args:
        interactions: one row per interaction.
        query: the column of query ids, in ``interactions`` and ``queries``.
        candidate: the column of candidate ids, in ``interactions`` and ``candidates``.
        timestamp: a column of numbers, dates or datetimes, none of them null.
        weight: a column of finite numbers, none of them negative. ``fit``, ``als`` and metrics with ``weighted=True`` count a row
            by its weight; what counts choices (popularity, lists, tables of neighbours) counts each row above 0 once.
        queries: a table of the queries' features, or None.
        candidates: a table of the candidates' features, or None.
        events: which rows are interactions, what they weigh and which count as seen (``Events``); by default all do.
        keep: the other columns of the interactions that are read; None for all of them.
        reading: how to read text files, if it cannot be detected.

    Attributes:
        notes: what was merged or left out.
        account: what was read, an ``Account``.

    Raises:
        DataError: (before anything is trained) a missing column, a null id, an id that is neither string nor integer,
            ids of different types in two tables, an empty table, a bad weight or timestamp, an unreadable file.

    Example:
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
    seen_column: str | None
    _warned: tuple[str, ...]
    _times: str | None
    _files: int | None

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
        events: Events | None = None,
        keep: Sequence[str] | None = None,
        reading: Reading | None = None,
    ) -> None:
        self._read(interactions, query, candidate, timestamp, weight, queries, candidates, events, keep, reading)
        warn(self._warned, stacklevel=2)

    @classmethod
    def _again(cls, interactions: TableLike, query: str, candidate: str, **others: Any) -> Dataset:
        """A Dataset of an earlier Dataset's rows, without warning again."""
        dataset = object.__new__(cls)
        names = ("timestamp", "weight", "queries", "candidates", "events", "keep", "reading")
        dataset._read(interactions, query, candidate, **(dict.fromkeys(names) | others))
        return dataset

    def _read(
        self,
        interactions: TableLike,
        query: str,
        candidate: str,
        timestamp: str | None,
        weight: str | None,
        queries: TableLike | None,
        candidates: TableLike | None,
        events: Events | None,
        keep: Sequence[str] | None,
        reading: Reading | None,
    ) -> None:
        check_columns("Dataset", query, candidate, timestamp, weight)
        if keep is not None:
            keep = checked_list(keep, "Dataset(keep=)", "column names", str)
        check_kind(events, "Dataset(events=)", "Events", optional=True, hint="events=shortlist.Events(where=…)")
        check_kind(reading, "Dataset(reading=)", "Reading", optional=True, hint="reading=shortlist.Reading(…)")
        settings = Events() if events is None else events
        main = read_table(
            interactions,
            "interactions",
            ids=(query, candidate),
            times=[] if timestamp is None else [timestamp],
            others=[*([] if weight is None else [weight]), *settings.mentioned()],
            reading=reading,
            keep=keep,
        )
        require_column(main, query, "query")
        require_column(main, candidate, "candidate")
        plan = settings.plan(main.frame.schema, query, candidate, weight).placed(main.places)
        main = replace(main, places=replace(main.places, plan=None if plan.idle else plan))
        warned = list(_doubts(main, plan, (query, candidate, timestamp, weight), keep))
        frame, notes = plan.applied(main.frame)
        for known, found in zip((notes, warned), _unlisted(main, plan), strict=True):
            known += found
        weight = plan.weight or weight
        main, time_notes = _checked_context(replace(main, frame=frame), timestamp, weight, reading or Reading())
        notes = [*main.notes, *notes, *time_notes]
        if timestamp is not None:
            warned += doubtful_times(unpatterned(main.frame[timestamp]), timestamp)
        sides = []
        feature_files = None if reading is None else reading.of_features()
        for side, column, source in (("query", query, queries), ("candidate", candidate, candidates)):
            made = side_table(main, source, column, side, PLURAL[side], feature_files, settings.clean)
            sides.append(made)
            main = made.main
            notes += made.notes
            warned += made.warned
        for side, column, made in zip(PLURAL, (query, candidate), sides, strict=True):
            warned += id_doubts(made.counts, made.table[column], column, crawlers=side == "query")
        if timestamp is not None:
            warned += doubtful_order(main.frame, (query, candidate, timestamp))
        self._fill(
            interactions=main.frame,
            queries=sides[0].table,
            candidates=sides[1].table,
            query=query,
            candidate=candidate,
            timestamp=timestamp,
            weight=weight,
            notes=tuple(notes),
            seen_column=plan.seen,
            _warned=tuple(warned),
            _times=None if timestamp is None else kind_in_words(main.frame.schema[timestamp]),
            _files=None if main.source is None else main.source.file_count,
        )

    def _fill(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def with_interactions(self, interactions: pl.DataFrame) -> Dataset:
        """A Dataset of other interactions that shares both tables.

        Args:
            interactions: the same columns that matter; ids that the tables know.

        Raises:
            DataError: for a missing column, another id type, or no rows; for an id that its table lacks only when row
                numbers are first asked for.
        """
        check_frame(interactions, "Dataset.with_interactions(interactions)")
        table = Table(interactions, "interactions")
        for column in (self.query, self.candidate, self.timestamp, self.weight, self.seen_column):
            if column is None:
                continue
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
            seen_column=self.seen_column,
            _warned=(),
            _times=self._times,
            _files=self._files,
            **cached,
        )
        return other

    @cached_property
    def seen(self) -> Dataset:
        """The interactions that count as seen (``Events(seen_where=)``), over the same tables; by default all of them."""
        if self.seen_column is None:
            return self
        return self._filtered(self.interactions[self.seen_column].to_numpy())

    @cached_property
    def account(self) -> Account:
        """An account of the data."""
        return Account.of(self)

    @classmethod
    def _of_rows(
        cls,
        tables: Mapping[str, pl.DataFrame],
        columns: Mapping[str, str | None],
        rows: Mapping[str, NDArray[np.int32]],
        others: Sequence[pl.Series] = (),
    ) -> Dataset:
        """Interactions given as row numbers of ``tables`` (queries, candidates), by side, next to other columns."""
        ids = [
            tables[side][columns[name]].alias("id").gather(rows[name]).alias(str(columns[name]))  # type: ignore[index]
            for side, name in (("queries", "query"), ("candidates", "candidate"))
        ]
        dataset = object.__new__(cls)
        known = {"query_rows": rows["query"], "candidate_rows": rows["candidate"]}
        fields: dict[str, Any] = {"seen_column": None, **columns}
        frame = frame_of([*ids, *others])
        dataset._fill(interactions=frame, **tables, **fields, **known, notes=(), _warned=(), _times=None, _files=None)
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
        return IdMap(self.queries[self.query]).require(self.interactions[self.query])

    @cached_property
    def candidate_rows(self) -> NDArray[np.int32]:
        """The row in ``candidates`` of each interaction → int32 ``[interactions]``."""
        return IdMap(self.candidates[self.candidate]).require(self.interactions[self.candidate])

    @cached_property
    def query_counts(self) -> NDArray[np.int64]:
        """How many interactions each query has → int64 ``[queries]``."""
        return np.bincount(self.query_rows, minlength=len(self.queries))

    @cached_property
    def candidate_counts(self) -> NDArray[np.int64]:
        """How many interactions each candidate has → int64 ``[candidates]``."""
        return np.bincount(self.candidate_rows, minlength=len(self.candidates))

    @property
    def times(self) -> pl.Series:
        """The time of each interaction.

        Raises:
            DataError: without a timestamp column.
        """
        if self.timestamp is None:
            raise DataError("the data has no timestamp column.", hint="name it: Dataset(…, timestamp=…)")
        return unpatterned(self.interactions[self.timestamp])

    @cached_property
    def weights(self) -> NDArray[np.float32] | None:
        """The weight of each interaction → float32 ``[interactions]``; None without a weight column."""
        if self.weight is None:
            return None
        return np.array(self.interactions[self.weight].cast(pl.Float32), dtype=np.float32)

    def to_frame(self) -> pl.DataFrame:
        """``interactions``, a row each; ``queries`` and ``candidates`` are frames of their own."""
        return self.interactions

    def _repr_html_(self) -> str:
        """The first rows of each table that has more than ids."""
        parts = [table_html(repr(self), (), ()), frame_html("interactions", self.interactions, rows=SHOWN_ROWS)]
        for name in ("queries", "candidates"):
            table: pl.DataFrame = getattr(self, name)
            if table.width > 1:
                parts.append(frame_html(name, table, rows=SHOWN_ROWS))
        return "".join(parts)

    def __len__(self) -> int:
        return self.interactions.height

    def __repr__(self) -> str:
        return (
            f"Dataset({counted(len(self), 'interaction')} · {counted(self.queries.height, 'query')} · "
            f"{counted(self.candidates.height, 'candidate')})"
        )


def warn(sentences: Sequence[str], stacklevel: int) -> None:
    """A ShortlistWarning for each."""
    for one in sentences:
        warnings.warn(f"{one}.", ShortlistWarning, stacklevel=stacklevel + 1)


def _doubts(main: Table, plan: EventPlan, roles: Sequence[str | None], keeps: Sequence[str] | None) -> Iterator[str]:
    """Doubts about the given rows; columns that were not kept are checked in the first rows of files."""
    known = {*plan.columns, *(role for role in roles if role is not None)}
    yield from doubtful_rows(main.frame, known)
    if main.source is not None and keeps is not None:
        head, whole = first_rows(main.source, {*known, *main.frame.columns})
        yield from doubtful_rows(head, known, whole=whole)


def _unlisted(main: Table, plan: EventPlan) -> tuple[list[str], list[str]]:
    """Notes and warnings on the values by which rows are weighted."""
    if plan.weight_column is None:
        return [], []
    values = main.frame[plan.weight_column].alias("value").to_frame()
    return plan.unlisted(values.group_by("value").agg(pl.len().alias("rows")))


def _checked_context(
    table: Table, timestamp: str | None, weight: str | None, reading: Reading
) -> tuple[Table, list[str]]:
    """The table with its times and weights checked, and how its times were read."""
    frame, notes = table.frame, []
    if timestamp is not None:
        require_column(table, timestamp, "timestamp")
        values, form = frame[timestamp], None
        if values.dtype == pl.String:
            form = settled_form([values], timestamp, reading, table.places)
            notes += form_in_words(values, form)
        refuse_format(timestamp, values.dtype, reading)
        frame = frame.with_columns(checked_timestamp(values, form, table.places))
    if weight is not None:
        require_column(table, weight, "weight")
        check_weight(frame[weight], places=table.places)
    return replace(table, frame=frame), notes
