"""Parquet files, encoded once and out of core: two passes over the source, each of bounded memory.

1. The distinct ids of each side and how often each occurs, by Polars' streaming engine; both tables from them.
2. Piece by piece (a run of rows of one file): ids become row numbers, written as one array per column. The rows of a
   piece are shuffled on the way, so that each of its blocks is a sample of all of it: logs lie by user or by time.

Every array is renamed into place when it is whole, and each piece leaves a record of it, so that a run that was cut off
goes on with the first piece that has none. The manifest, which makes the folder a set of shards, comes last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.dataset import PLURAL, TableLike, check_weight, checked_timestamp, id_doubts, side_table
from shortlist.data.doubts import doubtful_rows
from shortlist.data.events import EventPlan, Events
from shortlist.data.ids import RowLookup, counted, require_column
from shortlist.data.readers import Table, read_table
from shortlist.data.shards import files
from shortlist.data.shards.contexts import check_context, context_rows, context_table
from shortlist.data.shards.files import FileEntry, Header, Manifest, Piece, Tables
from shortlist.data.shards.source import AT_ONCE, COUNT, Source, SourceFile, find
from shortlist.disk import sync
from shortlist.errors import ConfigError, DataError

__all__ = ["BLOCK_ROWS", "PIECE_ROWS", "encode", "id_counts", "interactions_of"]

BLOCK_ROWS = 1 << 14
PIECE_ROWS = 1 << 22
CONTEXTS = "contexts.parquet"
SIDES = ("query", "candidate")
DOUBTED, DOUBTED_FILES = 200_000, 8  # rows, and files, looked at for events that are no choices

OnPiece = Callable[[int, int], None]


@dataclass(frozen=True)
class _Work:
    """One encoding: where from, where to, what is asked for."""

    source: Source
    folder: Path
    header: Header
    given: Mapping[str, TableLike | None]
    on_piece: OnPiece | None
    plan: EventPlan
    lookups: dict[str, tuple[pl.DataType, RowLookup]] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, str]:
        """The source's column of each array."""
        roles = {role: getattr(self.header, role) for role in (*SIDES, "weight", "timestamp", "seen")}
        return {role: column for role, column in roles.items() if column is not None}

    @property
    def read(self) -> list[str]:
        """The source's columns that are read."""
        made = (self.plan.weight, self.plan.seen)
        own = [column for column in self.columns.values() if column not in made]
        return list(dict.fromkeys([*own, *self.header.context, *self.plan.columns]))

    @cached_property
    def contexts(self) -> pl.DataFrame:
        """The distinct rows of the context columns."""
        return pl.read_parquet(self.folder / CONTEXTS)


def encode(
    source: str | Path,
    folder: Path,
    columns: Mapping[str, str | None],
    given: Mapping[str, TableLike | None],
    *,
    block_rows: int,
    piece_rows: int,
    overwrite: bool,
    on_piece: OnPiece | None,
    context: Sequence[str] = (),
    events: Events | None = None,
) -> None:
    """Encode ``source`` into ``folder``, or what is left of it to do; nothing where all is done. See ``Shards.encode``."""
    if "://" not in str(source) and folder.resolve().is_relative_to(Path(source).expanduser().resolve()):
        raise ConfigError(f"{str(folder)!r} lies within the source itself.", hint="encode into a folder beside it")
    settings = Events() if events is None else events
    found = find(source)
    header = _header(found, columns, given, block_rows, piece_rows, context)
    plan = settings.plan(found.schema(), header.query, header.candidate, header.weight)
    told = "" if settings == Events() else repr(settings)
    header = msgspec.structs.replace(header, weight=plan.weight or header.weight, seen=plan.seen, events=told)
    found = _Prepared(found.files, found.store, plan=plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.alone(folder):
            if not _goes_on(folder, header, overwrite):
                return
            _encode(_Work(found, folder, header, given, on_piece, plan), source)
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"the shards could not be written to {str(folder)!r}: {error}.",
            hint="make room and run the same again: it goes on with the first piece that is missing",
        ) from error


@dataclass(frozen=True)
class _Prepared(Source):
    """A source of which only interactions are counted: what is found over all of it follows the plan, pieces are as they lie."""

    plan: EventPlan | None = None

    def scans(self, at_once: int = AT_ONCE) -> Iterator[pl.LazyFrame]:
        """Everything that is an interaction, in parts."""
        assert self.plan is not None
        yield from (self.plan.lazily(scan) for scan in super().scans(at_once))


@dataclass(frozen=True)
class _Interactions(_Prepared):
    """A source as if it held interactions alone, piece by piece too: slower, for looking at some of it."""

    def scan(self, file: SourceFile) -> pl.LazyFrame:
        """The interactions of a file."""
        assert self.plan is not None
        return self.plan.lazily(super().scan(file))


def interactions_of(source: Source, columns: Mapping[str, str | None], events: Events) -> tuple[Source, str | None]:
    """A source as ``events`` make interactions of it, and the column of weights. Raises what ``Events.plan`` raises."""
    there = Table(pl.DataFrame(schema=source.schema()), "interactions")
    for role in SIDES:
        require_column(there, columns[role] or "", role)
    if events == Events():
        return source, columns["weight"]
    plan = events.plan(there.frame.schema, columns["query"] or "", columns["candidate"] or "", columns["weight"])
    return _Interactions(source.files, source.store, plan=plan), plan.weight or columns["weight"]


def _encode(work: _Work, source: str | Path) -> None:
    tables = _tables(work)
    for side in SIDES:
        ids = pl.read_parquet(work.folder / f"{PLURAL[side]}.parquet", columns=[work.columns[side]]).to_series()
        work.lookups[side] = (ids.dtype, RowLookup(ids))
    plan = list(_plan(work))
    pieces = []
    for planned in plan:
        pieces.append(_piece(work, *planned))
        if work.on_piece is not None:
            work.on_piece(len(pieces), len(plan))
    _check_sums(work, pieces)
    if (now := find(source).stamps) != work.source.stamps:
        raise _changed(work.source.stamps, now)
    sealed = hashlib.sha256()
    for entry in [*tables.files.values(), *(entry for piece in pieces for entry in piece.files.values())]:
        sealed.update(entry.sha256.encode())
    rows = sum(piece.rows for piece in pieces)
    manifest = Manifest(header=work.header, tables=tables, pieces=pieces, rows=rows, fingerprint=sealed.hexdigest())
    sync(work.folder)
    files.write_record(work.folder / files.MANIFEST, manifest)
    sync(work.folder)
    for piece in pieces:
        _record(work.folder, piece.number).unlink(missing_ok=True)


def _header(
    source: Source,
    columns: Mapping[str, str | None],
    given: Mapping[str, TableLike | None],
    block_rows: int,
    piece_rows: int,
    context: Sequence[str],
) -> Header:
    if columns["query"] == columns["candidate"]:
        raise ConfigError(f"query and candidate are both {columns['query']!r}; expected two different columns.")
    for name, value in {"block_rows": block_rows, "piece_rows": piece_rows}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} is {value!r}; a whole number of at least 1 was expected.")
    if piece_rows % block_rows:
        raise ConfigError(
            f"piece_rows={piece_rows} is no multiple of block_rows={block_rows}.",
            hint="give a piece a whole number of blocks",
        )
    there = Table(pl.DataFrame(schema=source.schema()), "interactions")
    for role, column in columns.items():
        if column is not None:
            require_column(there, column, role)
    check_context(context, list(columns.values()), there.frame.schema)
    tables = {side: _stamp(table) for side, table in given.items() if table is not None}
    settled: dict[str, Any] = dict(columns)
    settled |= {"block_rows": block_rows, "piece_rows": piece_rows, "context": list(context)}
    return Header(**settled, source=source.stamps, tables=tables)


def _stamp(table: TableLike) -> str:
    """What tells one table of features from another."""
    if isinstance(table, (str, Path)):
        path = Path(table)
        if path.is_file():
            return f"{path.stat().st_size} bytes, changed {path.stat().st_mtime_ns}"
        return str(table)
    frame = read_table(table, "features").frame
    return f"{frame.height} rows, {hashlib.sha256(frame.write_ipc(None).getvalue()).hexdigest()}"


def _goes_on(folder: Path, header: Header, overwrite: bool) -> bool:
    """Whether there is anything to do; the header is written where the work is new.

    Raises DataError where the folder holds something else.
    """
    done, begun = folder / files.MANIFEST, folder / files.HEADER
    if begun.is_file() and not overwrite:
        before = files.read_record(begun, Header)
        if before == header:
            return not done.is_file()
        if before.source != header.source:
            raise _changed(before.source, header.source)
        raise DataError(
            f"{str(folder)!r} holds shards of the same source encoded otherwise.",
            hint="choose another folder, or overwrite=True",
        )
    others = [entry.name for entry in folder.iterdir()]
    if others and not begun.is_file():
        raise DataError(
            f"{str(folder)!r} holds {others[0]!r} and no shards; it will not be written to.", hint="choose a new folder"
        )
    done.unlink(missing_ok=True)
    for entry in folder.iterdir():
        if entry.suffix in (".npy", ".json", ".parquet", ".writing"):
            entry.unlink()
    files.write_record(begun, header)
    return True


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> DataError:
    """What became of the source's files, as an error."""
    ways = {
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
        "changed": [name for name in now if name in before and before[name] != now[name]],
    }
    told = [
        f"{names[0]!r} is {way}" + (f" (and {len(names) - 1} more)" if names[1:] else "")
        for way, names in ways.items()
        if names
    ]
    return DataError(
        f"the source is not what was encoded: {', '.join(told)}.",
        hint="encode it anew with overwrite=True, or into another folder",
    )


# --- the first pass: tables ------------------------------------------------------------------------------------------


def _tables(work: _Work) -> Tables:
    """Both tables, their counts, and an empty table of interactions, as files; from an earlier run where they are there."""
    path = work.folder / files.TABLES
    if path.is_file():
        tables = files.read_record(path, Tables)
        for name, entry in tables.files.items():
            files.check_entry(work.folder / name, entry)
        return tables
    entries: dict[str, FileEntry] = {}
    notes = _left_out(work)
    warned = list(_doubts(work))
    if work.plan.weight_column is not None:
        counts = Source(work.source.files, work.source.store).counts([work.plan.weight_column])
        unlisted = work.plan.unlisted(counts.rename({work.plan.weight_column: "value", COUNT: "rows"}))
        notes, warned = [*notes, *unlisted[0]], [*warned, *unlisted[1]]
    types: dict[str, pl.DataType] = {}
    for side in SIDES:
        column = work.columns[side]
        counts = id_counts(work.source, column, side)
        main, table, said, doubts = side_table(
            Table(counts.select(column), "interactions"),
            work.given[PLURAL[side]],
            column,
            side,
            PLURAL[side],
            work.plan.clean,
        )
        types[column] = main.frame.schema[column]
        counts = counts.with_columns(main.frame[column])
        each = table.select(column).join(counts, on=column, how="left", maintain_order="left")[COUNT].fill_null(0)
        entries[f"{PLURAL[side]}.parquet"] = files.write_file(
            work.folder / f"{PLURAL[side]}.parquet", table.write_parquet
        )
        entries[f"{side}_counts.npy"] = files.write_array(
            work.folder / f"{side}_counts.npy", each.cast(pl.Int64).to_numpy()
        )
        notes += said
        named = pl.DataFrame([counts[column].alias("id"), counts[COUNT].alias("rows")])
        warned += [*doubts, *id_doubts(named, table[column], column, crawlers=side == "query")]
    if work.header.context:
        contexts, often = context_table(work.source, work.header.context)
        entries[CONTEXTS] = files.write_file(work.folder / CONTEXTS, contexts.write_parquet)
        entries["context_counts.npy"] = files.write_array(work.folder / "context_counts.npy", often)
    empty = _empty(work, types)
    entries["interactions.parquet"] = files.write_file(work.folder / "interactions.parquet", empty.write_parquet)
    tables = Tables(files=entries, notes=notes, warnings=warned)
    files.write_record(path, tables)
    return tables


def _left_out(work: _Work) -> list[str]:
    """How many rows are no interactions, as a note. DataError where none is left."""
    if not work.plan.leaves_out:
        return []
    total = sum(work.source.rows(file) for file in work.source.files)
    kept = sum(int(scan.select(pl.len()).collect(engine="streaming").item()) for scan in work.source.scans())
    if total and not kept:
        raise DataError(f"no row is left: all {total:,} were left out {work.plan.label}.", hint="check the values")
    return [f"left out {total - kept:,} of {total:,} rows {work.plan.label}"] if kept < total else []


def _doubts(work: _Work) -> Iterator[str]:
    """What looks wrong with the rows as they came: told from the first rows of some files, evenly spread."""
    source, plan = Source(work.source.files, work.source.store), work.plan
    known = {*work.columns.values(), *plan.columns}
    names = [name for name in source.schema().names() if name not in known]
    places = np.unique(np.linspace(0, len(source.files) - 1, min(len(source.files), DOUBTED_FILES)).astype(int))
    heads = [source.read(source.files[place], 0, DOUBTED // len(places), names) for place in places.tolist()]
    whole = len(heads) == len(source.files) and all(head.height < DOUBTED // len(places) for head in heads)
    same = [head for head in heads if head.schema == heads[0].schema]
    yield from doubtful_rows(pl.concat(same), known, whole=whole)


def id_counts(source: Source, column: str, role: str) -> pl.DataFrame:
    """Each distinct id and how often it occurs (``COUNT``), in no order."""
    found = source.counts([column])
    if found.is_empty():
        raise DataError("the interactions table is empty; expected at least one row.", hint="check how it was made")
    if found[column].null_count():
        nulls = int(found.filter(pl.col(column).is_null())[COUNT].sum())
        raise DataError(
            f"the interactions table has {counted(nulls, 'null')} in {column!r} ({role}); every row must have an id.",
            hint=f"drop those rows: frame.drop_nulls({column!r}), Events(drop_null_ids=True), or --drop-null-ids",
        )
    return found


def _empty(work: _Work, types: dict[str, pl.DataType]) -> pl.DataFrame:
    """No interactions, with the columns and types that they will have."""
    head = work.plan.lazily(work.source.read(work.source.files[0], 0, 1, work.read).lazy()).collect()
    head = head[list(dict.fromkeys([*work.columns.values(), *work.header.context]))]
    if "timestamp" in work.columns:
        head = head.with_columns(checked_timestamp(head[work.columns["timestamp"]]))
    return head.with_columns(pl.col(column).cast(kind) for column, kind in types.items()).clear()


# --- the second pass: pieces -----------------------------------------------------------------------------------------


def _plan(work: _Work) -> Iterator[tuple[int, SourceFile, int, int]]:
    """Number, file, first row and rows of every piece."""
    number = 0
    for file in work.source.files:
        total = work.source.rows(file)
        for start in range(0, total, work.header.piece_rows):
            yield number, file, start, min(work.header.piece_rows, total - start)
            number += 1


def _record(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.json"


def _piece(work: _Work, number: int, file: SourceFile, start: int, rows: int) -> Piece:
    """A piece as files; one that an earlier run finished is only checked."""
    record = _record(work.folder, number)
    if record.is_file():
        done = files.read_record(record, Piece)
        for name, entry in done.files.items():
            files.check_entry(work.folder / name, entry)
        return done
    frame = work.source.read(file, start, rows, work.read)
    if frame.height != rows:
        raise DataError(f"{file.name!r} has changed while it was read.", hint="run the same again when it is at rest")
    frame = work.plan.lazily(frame.lazy()).collect()
    rows = frame.height
    entries = {}
    order = np.random.Generator(np.random.Philox(key=[0, number])).permutation(rows)
    for role, column in work.columns.items():
        name = f"{number:05}.{role}.npy"
        entries[name] = files.write_array(work.folder / name, _array(work, role, frame[column], file)[order])
    if work.header.context:
        name = f"{number:05}.context.npy"
        entries[name] = files.write_array(work.folder / name, context_rows(work.contexts, frame, file.name)[order])
    piece = Piece(number=number, file=file.name, start=start, rows=rows, files=entries)
    files.write_record(record, piece)
    return piece


def _array(work: _Work, role: str, values: pl.Series, file: SourceFile) -> NDArray[Any]:
    """Row numbers as int32, weights as float32, times as int64 or float64."""
    if role in SIDES:
        kind, lookup = work.lookups[role]
        try:
            return lookup(values.cast(kind))
        except (DataError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{file.name!r} has changed while it was encoded: {error}", hint="run it again with overwrite=True"
            ) from error
    if role == "seen":
        return np.asarray(values, dtype=np.bool_)
    if role == "weight":
        check_weight(values, whole=False)
        return np.asarray(values.cast(pl.Float32))
    times = checked_timestamp(values)
    return np.asarray(times.cast(pl.Float64) if times.dtype.is_float() else times.to_physical().cast(pl.Int64))


def _check_sums(work: _Work, pieces: list[Piece]) -> None:
    """DataError where every weight is zero."""
    if "weight" in work.columns:
        names = (f"{piece.number:05}.weight.npy" for piece in pieces if piece.rows)
        arrays = (np.load(work.folder / name, mmap_mode="r") for name in names)
        if not any(array.any() for array in arrays):
            check_weight(pl.Series(work.columns["weight"], [0.0]))
