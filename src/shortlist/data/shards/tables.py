"""The first pass of an encoding: both tables, how often each id occurs, and notes on the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import IdMap
from shortlist.data.ids import unpatterned
from shortlist.data.places import NOWHERE, Places
from shortlist.data.readers import Table
from shortlist.data.roles import PLURAL, checked_timestamp, id_doubts, side_table
from shortlist.data.shards import files
from shortlist.data.shards.contexts import context_table
from shortlist.data.shards.files import TablePart, Tables
from shortlist.data.shards.growth import Grown
from shortlist.data.shards.interactions import plain
from shortlist.data.shards.work import CONTEXTS, SIDES, IdsRead, Work
from shortlist.data.source import Source
from shortlist.data.suspicious_rows import doubtful_order, doubtful_rows, doubtful_times, first_rows
from shortlist.data.times import form_in_words
from shortlist.errors import DataError
from shortlist.language import counted
from shortlist.store import Entry

__all__ = ["id_counts", "tables_of"]


def tables_of(work: Work) -> Tables:
    """Both tables, their counts, and an empty table of interactions, as files; from an earlier run if they exist."""
    path = work.folder / work.name(files.TABLES)
    if path.is_file():
        tables = files.read_record(path, Tables)
        files.check_files(work.folder, tables.files)
        return tables
    entries: dict[str, Entry] = {}
    parts: dict[str, list[TablePart]] = {}
    notes, warned = _remarks(work) if work.source.files else ([], [])
    types: dict[str, pl.DataType] = {}
    for side in SIDES:
        column = work.columns[side]
        ids, often = _ids(work, side)
        main, table, said, doubts, _ = side_table(
            Table(ids.to_frame(), "interactions", _untyped(work, side), places=work.places),
            work.given[PLURAL[side]],
            column,
            side,
            PLURAL[side],
            work.reading.of_features(),
            work.plan.clean,
        )
        types[column] = main.frame.schema[column]
        total = _in_order(table[column], pl.DataFrame({"id": main.frame[column], "count": often}))
        grown = Grown(table, total, 0)
        if work.base is not None:
            grown, rows = work.base.united(side, column, table, total)
            kind = grown.table.schema[column]
            work.lookups[side] = (kind, IdsRead(IdMap(table[column].cast(kind)), rows))
        _add_table(work, entries, parts, f"{PLURAL[side]}.parquet", grown)
        _add(work, entries, f"{side}_counts.npy", grown.counts)
        notes += said
        warned += doubts
        if work.source.files:
            named = pl.DataFrame({"id": main.frame[column], "rows": often})
            warned += id_doubts(named, grown.table[column], column, crawlers=side == "query")
    if work.header.context:
        grown = _contexts(work)
        _add_table(work, entries, parts, CONTEXTS, grown)
        _add(work, entries, "context_counts.npy", grown.counts)
    empty = _empty(work, types) if work.source.files else None
    form = "" if empty is None or work.form is None else repr(work.form)
    if work.base is not None:
        if empty is not None:
            work.base.require_alike(empty, form)
        old = work.base.manifest.tables
        entries[files.MARK] = old.files[files.MARK]
        notes, warned, form = [*dict.fromkeys([*old.notes, *notes])], [*dict.fromkeys(warned)], old.form
    else:
        assert empty is not None
        _add(work, entries, files.MARK, empty)
    tables = Tables(files=entries, notes=notes, warnings=warned, generation=work.generation, form=form, parts=parts)
    files.write_record(path, tables)
    return tables


def _in_order(ids: pl.Series, counts: pl.DataFrame) -> NDArray[np.int64]:
    """The ``count`` of each of ``ids``; 0 for those without one."""
    found = counts.sort("id")  # as a table that is made of these ids is
    if not found["id"].equals(ids.alias("id")):
        found = ids.alias("id").to_frame().join(counts, on="id", how="left", maintain_order="left")
    total: NDArray[np.int64] = found["count"].fill_null(0).cast(pl.Int64).to_numpy()
    return total


def _add(work: Work, entries: dict[str, Entry], name: str, content: pl.DataFrame | NDArray[Any]) -> None:
    """A table or an array as a file, and its entry."""
    name = work.name(name)
    if isinstance(content, pl.DataFrame):
        entries[name] = files.write(work.folder / name, content.write_parquet)
    else:
        entries[name] = files.write_array(work.folder / name, content)


def _add_table(
    work: Work, entries: dict[str, Entry], parts: dict[str, list[TablePart]], name: str, grown: Grown
) -> None:
    """A table as files, of which those that are as they were stay, and their entries."""
    rows = len(grown.table)
    if work.base is not None:
        before = work.base.manifest.tables
        parts[name] = before.kept_parts(name, grown.same, rows)
        entries.update(
            {files.named(name, one.generation): before.files[files.named(name, one.generation)] for one in parts[name]}
        )
    start = sum(one.rows for one in parts.get(name, ()))
    if start < rows:
        _add(work, entries, name, grown.table[start:])
        parts.setdefault(name, []).append(TablePart(generation=work.generation, rows=rows - start))
    if len(parts[name]) == 1 and parts[name][0].generation == work.generation:
        del parts[name]  # as tables are that have not grown


def _ids(work: Work, side: str) -> tuple[pl.Series, pl.Series]:
    """``id_counts`` of a side; without new files, the ids that are left, of which none is added."""
    column = work.columns[side]
    if work.source.files:
        return id_counts(work.source, column, side, work.places)
    assert work.base is not None
    left = work.base.table(side)[column].filter(pl.Series(work.base.counts(side) > 0))
    return left, pl.Series("count", [0] * len(left), dtype=pl.UInt32)


def _untyped(work: Work, side: str) -> bool:
    """Whether ids read from text may be integers: in tables that grow, as they were."""
    if work.base is None:
        return work.source.untyped
    return work.source.untyped and bool(work.source.files) and work.base.has_integers(side, work.columns[side])


def _remarks(work: Work) -> tuple[list[str], list[str]]:
    """Notes and warnings about the rows as they were given."""
    notes = [*work.source.notes, *_left_out(work)]
    warned = list(_doubts(work))
    if work.plan.weight_column is not None:
        values, often = plain(work.source).counts([work.plan.weight_column])
        unlisted = work.plan.unlisted(pl.DataFrame({"value": values.to_series(), "rows": often}))
        notes, warned = [*notes, *unlisted[0]], [*warned, *unlisted[1]]
    if work.form is not None:
        column = str(work.header.timestamp)
        notes += form_in_words(work.source.read(work.source.files[0], 0, 1, [column])[column], work.form)
    return notes, warned


def _contexts(work: Work) -> Grown:
    if work.base is not None and not work.source.files:
        before = work.base.manifest.tables.read(work.folder, CONTEXTS)
        return Grown(before, work.base.counts("context"), len(before))
    contexts, frequency = context_table(work.source, work.header.context)
    if work.base is None:
        return Grown(contexts, frequency, 0)
    return work.base.united_contexts(contexts, frequency)


def _left_out(work: Work) -> list[str]:
    """How many rows are not interactions, as a note. DataError where none is left."""
    if not work.plan.leaves_out:
        return []
    total = sum(work.source.rows(file) for file in work.source.files)
    kept = 0
    for _, scan in work.source.scans([work.header.query]):
        kept += int(scan.select(pl.len()).collect(engine="streaming").item())
    if total and not kept:
        raise DataError(f"no rows are left: all {total:,} were left out {work.plan.label}.", hint="check the values")
    return [f"left out {total - kept:,} of {counted(total, 'row')} {work.plan.label}"] if kept < total else []


def _doubts(work: Work) -> Iterator[str]:
    """Doubts about the given rows, from the first rows of some files, evenly spread."""
    known = {*work.columns.values(), *work.plan.columns}
    time = work.columns.get("timestamp")
    read = {work.columns.get(role) for role in ("query", "candidate", "timestamp")}
    head, whole = first_rows(plain(work.source), known - read)
    yield from doubtful_rows(head, known, whole=whole)
    if time in head.columns:
        values, some = (
            unpatterned(head[time]),
            "" if whole else f" among {counted(head.height, 'row')} that were looked at",
        )
        times = values if work.form is None else work.form.read(values)
        yield from doubtful_times(unpatterned(times).drop_nulls(), time, some)
        yield from doubtful_order(head, (work.columns["query"], work.columns["candidate"], time), some)


def id_counts(source: Source, column: str, role: str, places: Places = NOWHERE) -> tuple[pl.Series, pl.Series]:
    """Each distinct id, and how often it occurs, in no order."""
    found, often = source.counts([column])
    ids = found[column]
    if ids.is_empty():
        raise DataError("the interactions table is empty; expected at least one row.", hint="check how it was made")
    if ids.null_count():
        nulls = int(often.filter(ids.is_null()).sum())
        raise DataError(
            f"the interactions table has {counted(nulls, 'null')} in {column!r} ({role}){places.first(column, pl.Series.is_null)}; "
            "every row must have an id.",
            hint=f"drop those rows: frame.drop_nulls({column!r}), Events(drop_null_ids=True), or --drop-null-ids",
        )
    return ids, often


def _empty(work: Work, types: dict[str, pl.DataType]) -> pl.DataFrame:
    """No interactions, with the columns and types that they will have."""
    head = work.plan.lazily(work.source.read(work.source.files[0], 0, 1, work.read).lazy()).collect()
    negatives = [] if work.header.negatives is None else [work.header.negatives]
    head = head[list(dict.fromkeys([*work.columns.values(), *work.header.context, *negatives]))]
    if "timestamp" in work.columns:
        head = head.with_columns(checked_timestamp(head[work.columns["timestamp"]], work.form, work.places))
    return head.with_columns(head[column].cast(kind) for column, kind in types.items()).clear()
