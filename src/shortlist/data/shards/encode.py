"""Files encoded once and out of core: two passes over the source, each of bounded memory.

Text files are first copied to Parquet, one after another, beside what is encoded; the copies are deleted at the end.

1. The distinct ids of each side and how often each occurs, by Polars' streaming engine; both tables from them.
2. Piece by piece (a run of rows of one file): ids become row numbers, written as one array per column. The rows of a
   piece are shuffled on the way, so that each of its blocks is a sample of all of it: logs are sorted by user or by time.

Every array is renamed into place when it is whole, and each piece leaves a record of it, so that a run that was cut off
goes on with the first piece that has none. The manifest, which makes the folder a set of shards, comes last.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from shortlist.data.dataset import PLURAL, TableLike, check_weight, checked_timestamp, id_doubts, side_table
from shortlist.data.doubts import doubtful_rows, glance
from shortlist.data.events import EventPlan, Events
from shortlist.data.id_map import IdMap
from shortlist.data.ids import counted, require_column, unpatterned
from shortlist.data.places import NOWHERE, Places
from shortlist.data.readers import Table, read_table
from shortlist.data.reading import Reading
from shortlist.data.shards import files
from shortlist.data.shards.contexts import check_context, context_rows, context_table
from shortlist.data.shards.files import Header, Manifest, Piece, Tables
from shortlist.data.source import AT_ONCE, Source, SourceFile, find
from shortlist.data.times import TimeForm, doubtful_times, settled_form, told_form
from shortlist.errors import ConfigError, DataError
from shortlist.store import Entry, is_scratch, locked

__all__ = ["BLOCK_ROWS", "PIECE_ROWS", "encode", "id_counts", "interactions_of", "places_of"]

BLOCK_ROWS = 1 << 14
PIECE_ROWS = 1 << 22
CONTEXTS = "contexts.parquet"
ROOM = "read"
SIDES = ("query", "candidate")

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
    reading: Reading
    lookups: dict[str, tuple[pl.DataType, IdMap]] = field(default_factory=dict)

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
    def form(self) -> TimeForm | None:
        """How timestamps that are text are written; None for others."""
        column = self.header.timestamp
        if column is None or self.source.schema()[column] != pl.String:
            return None
        wanted = [column] if self.plan.idle else self.plan.sources([column])
        read = (self.source.read(file, start, rows, wanted) for _, file, start, rows in _plan(self))
        parts = (
            frame[column] if self.plan.idle else self.plan.lazily(frame.lazy()).collect()[column] for frame in read
        )
        return settled_form(parts, column, self.reading, Places(_as(Source, self.source)))

    @property
    def places(self) -> Places:
        """Where the values of interactions are."""
        return Places(_as(Source, self.source), plan=None if self.plan.idle else self.plan)

    @cached_property
    def contexts(self) -> pl.DataFrame:
        """The distinct rows of the context columns."""
        return pl.read_parquet(self.folder / CONTEXTS, glob=False, hive_partitioning=False)


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
    reading: Reading | None = None,
) -> None:
    """Encode ``source`` into ``folder``, or what is left of it to do; nothing where all is done. See ``Shards.encode``."""
    place = Path(str(source).removeprefix("file://")).expanduser()
    if "://" not in str(place) and folder.resolve().is_relative_to(place.resolve()):
        raise ConfigError(f"{str(folder)!r} is inside the source.", hint="encode into a folder outside the source")
    events, reading = events or Events(), reading or Reading()
    ids = [str(columns["query"]), str(columns["candidate"])]
    times = [columns["timestamp"]] if columns["timestamp"] is not None else []
    read = [column for column in (*columns.values(), *context, *events.mentioned()) if column is not None]
    found = find(source, reading=reading, ids=ids, times=times, columns=read)
    settings = _settings(columns, block_rows, piece_rows, context)
    if events != Events():
        settings |= events.added(found.names(), columns["weight"]) | {"events": repr(events)}
    header = Header(**settings, source=found.stamps, tables=_stamps(given, reading), reading=reading.stamp())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, wait=False):
            header = _as_begun(folder, header, overwrite, lake=found.lake is not None)
            room = folder / ROOM
            found = found.as_listed(header.source, room)
            if not _goes_on(folder, header, overwrite):
                return
            try:
                room.mkdir(exist_ok=True)
                _check_columns(found, columns, context)
                plan = events.plan(found.schema(), ids[0], ids[1], columns["weight"], found.names())
                plan = plan.placed(Places(found))
                _encode(_Work(_as(_Prepared, found, plan), folder, header, given, on_piece, plan, reading))
            finally:
                shutil.rmtree(room, ignore_errors=True)
    except BlockingIOError as error:
        raise DataError(
            f"another process is encoding into {str(folder)!r}.", hint="wait for it, or choose another folder"
        ) from error
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"the shards could not be written to {str(folder)!r}: {error}.",
            hint="free some space and run it again: it resumes with the first missing piece",
        ) from error


@dataclass(frozen=True)
class _Prepared(Source):
    """A source of which only interactions are counted: what is found over all of it follows the plan, pieces keep their order."""

    plan: EventPlan | None = None

    def scans(self, columns: Sequence[str], at_once: int = AT_ONCE) -> Iterator[tuple[str, pl.LazyFrame]]:
        """Everything that is an interaction, in parts."""
        plan = self.plan
        if plan is None or plan.idle:
            yield from super().scans(columns, at_once)
            return
        for name, scan in super().scans(plan.sources(columns), at_once):
            yield name, plan.lazily(scan).select(cs.by_name(*columns))


@dataclass(frozen=True)
class _Interactions(Source):
    """A source as if it held interactions alone, piece by piece too: slower, for looking at some of it."""

    plan: EventPlan | None = None

    def schema(self) -> pl.Schema:
        """Names and types of the columns, with those that are added."""
        assert self.plan is not None
        return self.plan.lazily(pl.LazyFrame(schema=super().schema())).collect_schema()

    def scan(self, file: SourceFile, columns: Sequence[str]) -> pl.LazyFrame:
        """The interactions of a file."""
        assert self.plan is not None
        plain = _as(Source, self)
        return self.plan.lazily(plain.scan(file, self.plan.sources(columns))).select(cs.by_name(*columns))

    def scans(self, columns: Sequence[str], at_once: int = AT_ONCE) -> Iterator[tuple[str, pl.LazyFrame]]:
        """Everything, file by file."""
        yield from ((file.name, self.scan(file, columns)) for file in self.files)

    def rows(self, file: SourceFile) -> int:
        """How many interactions a file has."""
        assert self.plan is not None
        with self._naming(file):
            return int(self.scan(file, self.plan.sources([])).select(pl.len()).collect().item())


def interactions_of(source: Source, columns: Mapping[str, str | None], events: Events) -> tuple[Source, str | None]:
    """A source as ``events`` make interactions of it, and the column of weights. Raises what ``Events.plan`` raises."""
    if events == Events():
        return source, columns["weight"]
    there = Table(pl.DataFrame(schema=source.schema()), "interactions", source.untyped)
    for role in SIDES:
        require_column(there, columns[role] or "", role)
    plan = events.plan(there.frame.schema, columns["query"] or "", columns["candidate"] or "", columns["weight"])
    return _as(_Interactions, source, plan), plan.weight or columns["weight"]


def places_of(source: Source) -> Places:
    """Where the values of a source are, as ``interactions_of`` gives it too."""
    plan = source.plan if isinstance(source, _Interactions) else None
    return Places(_as(Source, source), plan=plan)


S = TypeVar("S", bound=Source)


def _as(kind: type[S], source: Source, plan: EventPlan | None = None) -> S:
    """The same source of another class."""
    values: dict[str, Any] = {one.name: getattr(source, one.name) for one in fields(Source)}
    return kind(**values, **({} if plan is None else {"plan": plan}))  # type: ignore[arg-type]


def _encode(work: _Work) -> None:
    tables = _tables(work)
    for side in SIDES:
        table = pl.scan_parquet(work.folder / f"{PLURAL[side]}.parquet", glob=False, hive_partitioning=False)
        ids = table.select(cs.by_name(work.columns[side])).collect().to_series()
        work.lookups[side] = (ids.dtype, IdMap(ids))
    plan = list(_plan(work))
    pieces = []
    for planned in plan:
        pieces.append(_piece(work, *planned))
        if work.on_piece is not None:
            work.on_piece(len(pieces), len(plan))
    _check_sums(work, pieces)
    now = work.source.changed()
    if {name: now.get(name) for name in work.source.stamps} != work.source.stamps:
        raise _changed(work.source.stamps, now)
    sealed = hashlib.sha256()
    for entry in [*tables.files.values(), *(entry for piece in pieces for entry in piece.files.values())]:
        sealed.update(entry.sha256.encode())
    rows = sum(piece.rows for piece in pieces)
    manifest = Manifest(header=work.header, tables=tables, pieces=pieces, rows=rows, fingerprint=sealed.hexdigest())
    files.write_record(work.folder / files.MANIFEST, manifest)
    _remove_records(work.folder)


def _settings(
    columns: Mapping[str, str | None], block_rows: int, piece_rows: int, context: Sequence[str]
) -> dict[str, Any]:
    if columns["query"] == columns["candidate"]:
        raise ConfigError(f"query and candidate are both {columns['query']!r}; expected two different columns.")
    for name, value in {"block_rows": block_rows, "piece_rows": piece_rows}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} is {value!r}; a whole number of at least 1 was expected.")
    if piece_rows % block_rows:
        raise ConfigError(
            f"piece_rows={piece_rows} is not a multiple of block_rows={block_rows}.",
            hint="piece_rows must be a whole number of blocks",
        )
    return {**columns, "block_rows": block_rows, "piece_rows": piece_rows, "context": list(context)}


def _check_columns(source: Source, columns: Mapping[str, str | None], context: Sequence[str]) -> None:
    """DataError for columns that are missing or of no one type."""
    source.require([column for column in (*columns.values(), *context) if column is not None])
    there = Table(pl.DataFrame(schema=source.schema()), "interactions", source.untyped)
    for role, column in columns.items():
        if column is not None:
            require_column(there, column, role)
    check_context(context, list(columns.values()), there.frame.schema)


def _stamps(given: Mapping[str, TableLike | None], reading: Reading) -> dict[str, str]:
    return {side: _stamp(table, reading) for side, table in given.items() if table is not None}


def _as_begun(folder: Path, header: Header, overwrite: bool, lake: bool) -> Header:
    """The header of a run that was cut off, where only new files were added since: it reads what was listed at its start."""
    begun = folder / files.HEADER
    if overwrite or not begun.is_file() or (folder / files.MANIFEST).is_file():
        return header
    before = files.read_record(begun, Header)
    same = lake or {name: header.source.get(name) for name in before.source} == before.source
    return before if same and msgspec.structs.replace(header, source=before.source) == before else header


def _stamp(table: TableLike, reading: Reading) -> str:
    """What tells one table of features from another."""
    if isinstance(table, (str, Path)):
        path = Path(table)
        if path.is_file():
            return f"{path.stat().st_size} bytes, changed {path.stat().st_mtime_ns}"
        return str(table)
    frame = read_table(table, "features", reading=reading.of_features()).frame
    return f"{frame.height} rows, {hashlib.sha256(frame.write_ipc(None).getvalue()).hexdigest()}"


def _goes_on(folder: Path, header: Header, overwrite: bool) -> bool:
    """Whether there is anything to do; the header is written where the work is new.

    Raises DataError where the folder holds something else.
    """
    done, begun = folder / files.MANIFEST, folder / files.HEADER
    if begun.is_file() and not overwrite:
        before = files.read_record(begun, Header)
        if before == header:
            if done.is_file():  # a run that was killed after that may have left something
                _remove_records(folder)
                shutil.rmtree(folder / ROOM, ignore_errors=True)
            return not done.is_file()
        if before.source != header.source:
            raise _changed(before.source, header.source)
        raise DataError(
            f"{str(folder)!r} has shards of the same source, encoded with other options.",
            hint="choose another folder, or overwrite=True",
        )
    others = [entry.name for entry in folder.iterdir() if entry.name != ROOM and not is_scratch(entry)]
    if others and not begun.is_file():
        raise DataError(
            f"{str(folder)!r} holds {others[0]!r} and is not a folder of shards; refusing to write to it.",
            hint="choose a new folder",
        )
    done.unlink(missing_ok=True)
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.suffix != ".json"):  # records before what they name
        if entry != begun and entry.suffix in (".npy", ".json", ".parquet", ".writing"):
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
        f"the source differs from the encoded one: {', '.join(told)}.",
        hint="encode it again with overwrite=True, or into another folder",
    )


# --- the first pass: tables ------------------------------------------------------------------------------------------


def _tables(work: _Work) -> Tables:
    """Both tables, their counts, and an empty table of interactions, as files; from an earlier run where they are there."""
    path = work.folder / files.TABLES
    if path.is_file():
        tables = files.read_record(path, Tables)
        files.check_files(work.folder, tables.files)
        return tables
    entries: dict[str, Entry] = {}
    plain = _as(Source, work.source)
    notes = [*work.source.notes, *_left_out(work)]
    warned = list(_doubts(work))
    if work.plan.weight_column is not None:
        values, often = plain.counts([work.plan.weight_column])
        unlisted = work.plan.unlisted(pl.DataFrame({"value": values.to_series(), "rows": often}))
        notes, warned = [*notes, *unlisted[0]], [*warned, *unlisted[1]]
    if work.form is not None:
        column = str(work.header.timestamp)
        notes += told_form(work.source.read(work.source.files[0], 0, 1, [column])[column], work.form)
    types: dict[str, pl.DataType] = {}
    for side in SIDES:
        column = work.columns[side]
        ids, often = id_counts(work.source, column, side, work.places)
        main, table, said, doubts = side_table(
            Table(ids.to_frame(), "interactions", work.source.untyped, places=work.places),
            work.given[PLURAL[side]],
            column,
            side,
            PLURAL[side],
            work.reading.of_features(),
            work.plan.clean,
        )
        types[column] = main.frame.schema[column]
        asked = pl.DataFrame({"id": table[column]})
        counts = pl.DataFrame({"id": main.frame[column], "count": often})
        each = asked.join(counts, on="id", how="left", maintain_order="left")["count"].fill_null(0)
        entries[f"{PLURAL[side]}.parquet"] = files.write(work.folder / f"{PLURAL[side]}.parquet", table.write_parquet)
        entries[f"{side}_counts.npy"] = files.write_array(
            work.folder / f"{side}_counts.npy", each.cast(pl.Int64).to_numpy()
        )
        notes += said
        named = pl.DataFrame({"id": main.frame[column], "rows": often})
        warned += [*doubts, *id_doubts(named, table[column], column, crawlers=side == "query")]
    if work.header.context:
        contexts, frequency = context_table(work.source, work.header.context)
        entries[CONTEXTS] = files.write(work.folder / CONTEXTS, contexts.write_parquet)
        entries["context_counts.npy"] = files.write_array(work.folder / "context_counts.npy", frequency)
    empty = _empty(work, types)
    entries["interactions.parquet"] = files.write(work.folder / "interactions.parquet", empty.write_parquet)
    tables = Tables(files=entries, notes=notes, warnings=warned)
    files.write_record(path, tables)
    return tables


def _left_out(work: _Work) -> list[str]:
    """How many rows are not interactions, as a note. DataError where none is left."""
    if not work.plan.leaves_out:
        return []
    total = sum(work.source.rows(file) for file in work.source.files)
    kept = 0
    for _, scan in work.source.scans([work.header.query]):
        kept += int(scan.select(pl.len()).collect(engine="streaming").item())
    if total and not kept:
        raise DataError(f"no rows are left: all {total:,} were left out {work.plan.label}.", hint="check the values")
    return [f"left out {total - kept:,} of {total:,} rows {work.plan.label}"] if kept < total else []


def _doubts(work: _Work) -> Iterator[str]:
    """What looks wrong with the given rows: told from the first rows of some files, evenly spread."""
    known = {*work.columns.values(), *work.plan.columns}
    when = work.header.timestamp
    head, whole = glance(_as(Source, work.source), known - {when})
    yield from doubtful_rows(head, known, whole=whole)
    if when is not None and when in head.columns:
        times = head[when] if work.form is None else work.form.read(head[when]).alias(when)
        yield from doubtful_times(head.schema[when], times.drop_nulls(), work.reading)


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


def _empty(work: _Work, types: dict[str, pl.DataType]) -> pl.DataFrame:
    """No interactions, with the columns and types that they will have."""
    head = work.plan.lazily(work.source.read(work.source.files[0], 0, 1, work.read).lazy()).collect()
    head = head[list(dict.fromkeys([*work.columns.values(), *work.header.context]))]
    if "timestamp" in work.columns:
        head = head.with_columns(checked_timestamp(head[work.columns["timestamp"]], work.form, work.places))
    return head.with_columns(head[column].cast(kind) for column, kind in types.items()).clear()


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


def _remove_records(folder: Path) -> None:
    """The manifest has what they say."""
    for record in folder.glob("[0-9]*.json"):
        record.unlink()


def _piece(work: _Work, number: int, file: SourceFile, start: int, rows: int) -> Piece:
    """A piece as files; one that an earlier run finished is only checked."""
    record = _record(work.folder, number)
    if record.is_file():
        done = files.read_record(record, Piece)
        files.check_files(work.folder, done.files)
        return done
    frame = work.source.read(file, start, rows, work.read)
    if frame.height != rows:
        raise DataError(
            f"{file.name!r} has changed while it was read.", hint="run it again when the files no longer change"
        )
    frame = work.plan.lazily(frame.lazy()).collect()
    rows = frame.height
    entries = {}
    order = np.random.Generator(np.random.Philox(key=[0, number])).permutation(rows)
    for role, column in work.columns.items():
        name = f"{number:05}.{role}.npy"
        entries[name] = files.write_array(
            work.folder / name, _array(work, role, unpatterned(frame[column]), file)[order]
        )
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
            return lookup.require(values.cast(kind))
        except (DataError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{file.name!r} has changed while it was encoded: {error}", hint="run it again with overwrite=True"
            ) from error
    if role == "seen":
        return np.asarray(values, dtype=np.bool_)
    if role == "weight":
        check_weight(values, whole=False, places=work.places)
        return np.asarray(values.cast(pl.Float32))
    times = checked_timestamp(values, work.form, work.places)
    return np.asarray(times.cast(pl.Float64) if times.dtype.is_float() else times.to_physical().cast(pl.Int64))


def _check_sums(work: _Work, pieces: list[Piece]) -> None:
    """DataError where every weight is zero."""
    if "weight" in work.columns:
        names = (f"{piece.number:05}.weight.npy" for piece in pieces if piece.rows)
        arrays = (np.load(work.folder / name, mmap_mode="r") for name in names)
        if not any(array.any() for array in arrays):
            check_weight(pl.Series(work.columns["weight"], [0.0]))
