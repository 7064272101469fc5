"""Files encoded once and out of core: two passes over the source, each of bounded memory.

Text files are first copied to Parquet, one after another, next to the shards; the copies are deleted at the end.

1. The distinct ids of each side and how often each occurs, by Polars' streaming engine; both tables from them.
2. Piece by piece (a run of rows of one file): ids become row numbers, written as one array per column. The rows of a
   piece are shuffled on the way, so that each of its blocks is a sample of all of it: logs are sorted by user or by time.

Every array is renamed into place when it is whole, and each piece leaves a record of it, so that an interrupted
run resumes with the first piece that has none. The manifest, which makes the folder a set of shards, is written last.

With ``grow``, shards of a source that has changed since keep the pieces of its unchanged files (``growth.py``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from shortlist.data.events import Events
from shortlist.data.id_map import IdMap
from shortlist.data.ids import require_column
from shortlist.data.places import Places
from shortlist.data.readers import Table, read_table
from shortlist.data.reading import Reading
from shortlist.data.roles import PLURAL, TableLike
from shortlist.data.shards import files
from shortlist.data.shards.contexts import check_context, check_negatives
from shortlist.data.shards.files import Header, Manifest
from shortlist.data.shards.growth import Base, BusyError, base_of, finished, settle
from shortlist.data.shards.interactions import prepared
from shortlist.data.shards.pieces import check_sums, is_done, piece_of, remove_records
from shortlist.data.shards.tables import tables_of
from shortlist.data.shards.work import SIDES, OnPiece, Work, plan_of
from shortlist.data.source import Source, SourceFile, find
from shortlist.errors import ConfigError, DataError
from shortlist.language import counted, sized
from shortlist.store import free_disk, is_scratch, locked

__all__ = ["BLOCK_ROWS", "PIECE_ROWS", "encode"]

BLOCK_ROWS = 1 << 14
PIECE_ROWS = 1 << 22
BYTES = {"query": 4, "candidate": 4, "weight": 4, "timestamp": 8, "seen": 1}  # of a row
ROOM = "read"


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
    negatives: str | None = None,
    events: Events | None = None,
    reading: Reading | None = None,
    grow: bool = False,
) -> None:
    """Encode ``source`` into ``folder``, or the rest of it after an interrupted run. See ``Shards.encode``."""
    place = Path(os.path.expanduser(str(source).removeprefix("file://")))
    if "://" not in str(place) and folder.resolve().is_relative_to(place.resolve()):
        raise ConfigError(f"{str(folder)!r} is inside the source.", hint="encode into a folder outside the source")
    events, reading = events or Events(), reading or Reading()
    ids = [str(columns["query"]), str(columns["candidate"])]
    times = [columns["timestamp"]] if columns["timestamp"] is not None else []
    read = [column for column in (*columns.values(), *context, negatives, *events.mentioned()) if column is not None]
    found = find(source, reading=reading, ids=ids, times=times, columns=read)
    settings = _settings(columns, block_rows, piece_rows, context) | {"negatives": negatives}
    if events != Events():
        settings |= events.added(found.names(), columns["weight"]) | {"events": repr(events)}
    header = Header(**settings, source=found.stamps, tables=_stamps(given, reading), reading=reading.stamp())

    def work(found: Source, header: Header, base: Base | None = None) -> None:
        """Encode the files of ``found`` that have rows."""
        _check_columns(found, columns, context)
        check_negatives(negatives, [*columns.values(), *context], found.schema())
        plan = events.plan(found.schema(), ids[0], ids[1], columns["weight"], found.names())
        plan = plan.placed(Places(found))
        if base is not None:
            found = replace(
                found, files=tuple(one for one in found.files if one.name in base.fresh and found.rows(one))
            )
        _encode(Work(prepared(found, plan), folder, header, given, on_piece, plan, reading, base))

    room = folder / ROOM
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, wait=False):
            try:
                if grow and not overwrite and (folder / files.MANIFEST).is_file():
                    overwrite = _grown(found, header, folder, work)
                begun = _as_begun(folder, header, overwrite, lake=found.lake is not None)
                listed = found.as_listed(begun.source, room)
                if _has_work(folder, begun, overwrite):
                    room.mkdir(exist_ok=True)
                    work(listed, begun)
                if grow and begun != header:  # files that were added while an interrupted run was not resumed
                    _grown(found, header, folder, work)
            finally:
                shutil.rmtree(room, ignore_errors=True)
    except BlockingIOError as error:
        raise BusyError(
            f"another process is encoding into {str(folder)!r}.", hint="wait for it, or choose another folder"
        ) from error
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"the shards could not be written to {str(folder)!r}: {error}.",
            hint="free some space and run it again: it resumes with the first missing piece",
        ) from error


def _grown(found: Source, header: Header, folder: Path, work: Callable[[Source, Header, Base | None], None]) -> bool:
    """Let finished shards grow to ``header``; whether they are to be replaced, since no piece can be kept.

    Files that appear while an interrupted growth was not resumed are a growth of their own.
    """
    room = folder / ROOM
    while files.read_record(folder / files.MANIFEST, Manifest).header != header:
        base = base_of(folder, header)
        if base is None:
            return True
        room.mkdir(exist_ok=True)
        listed = found.as_listed(base.fresh, room)
        work(listed if listed.files else found, base.header, base)
    return False


def _encode(work: Work) -> None:
    plan = list(plan_of(work))
    if work.plan.idle:  # every row is an interaction
        _check_room(work, plan)
    tables = tables_of(work)
    for side in set(SIDES) - work.lookups.keys():
        ids = tables.read(work.folder, f"{PLURAL[side]}.parquet", [work.columns[side]])[work.columns[side]]
        work.lookups[side] = (ids.dtype, IdMap(ids))
    made = []
    for planned in plan:
        made.append(piece_of(work, *planned))
        if work.on_piece is not None:
            work.on_piece(len(made), len(plan))
    pieces = made if work.base is None else [*work.base.kept, *made]
    check_sums(work, pieces)
    now = work.source.changed()
    if {name: now.get(name) for name in work.source.stamps} != work.source.stamps:
        raise _changed(work.source.stamps, now)
    sealed = hashlib.sha256()
    for entry in [*tables.files.values(), *(entry for piece in pieces for entry in piece.files.values())]:
        sealed.update(entry.sha256.encode())
    rows = sum(piece.rows for piece in pieces)
    if work.base is not None:
        finished(work.base, tables, pieces, rows, sealed.hexdigest())
        return
    manifest = Manifest(header=work.header, tables=tables, pieces=pieces, rows=rows, fingerprint=sealed.hexdigest())
    files.write_record(work.folder / files.MANIFEST, manifest)
    remove_records(work.folder)


def _check_room(work: Work, plan: Sequence[tuple[int, SourceFile, int, int]]) -> None:
    """DataError where the disk has no room for the arrays of the pieces that are still to be written."""
    rows = sum(rows for number, _, _, rows in plan if not is_done(work.folder, number))
    need = rows * (sum(BYTES[role] for role in work.columns) + (4 if work.header.context else 0))
    free = free_disk(work.folder)
    if need > free:
        raise DataError(
            f"the shards of {rows:,} rows need {sized(need)}, and {sized(free)} are free in {str(work.folder)!r}.",
            hint="free some space there, or choose another folder (--shards)",
        )


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
    """DataError for columns that are missing or have more than one type."""
    source.require([column for column in (*columns.values(), *context) if column is not None])
    there = Table(pl.DataFrame(schema=source.schema()), "interactions", source.untyped)
    for role, column in columns.items():
        if column is not None:
            require_column(there, column, role)
    check_context(context, list(columns.values()), there.frame.schema)


def _stamps(given: Mapping[str, TableLike | None], reading: Reading) -> dict[str, str]:
    return {side: _stamp(side, table, reading) for side, table in given.items() if table is not None}


def _as_begun(folder: Path, header: Header, overwrite: bool, lake: bool) -> Header:
    """The header of an interrupted run, if only new files were added since: it reads the files listed at its start."""
    begun = folder / files.HEADER
    if overwrite or not begun.is_file() or (folder / files.MANIFEST).is_file():
        return header
    before = files.read_record(begun, Header)
    same = lake or {name: header.source.get(name) for name in before.source} == before.source
    return before if same and msgspec.structs.replace(header, source=before.source) == before else header


def _stamp(side: str, table: TableLike, reading: Reading) -> str:
    """A digest that tells one table of features from another, and of files from what they were before."""
    if isinstance(table, (str, Path)):
        stamps = find(table, table=side).stamps
        if len(stamps) == 1:
            return next(iter(stamps.values()))
        listed = hashlib.sha256(repr(sorted(stamps.items())).encode()).hexdigest()
        return f"{counted(len(stamps), 'file')}, {listed}"
    frame = read_table(table, "features", reading=reading.of_features()).frame
    return f"{frame.height} rows, {hashlib.sha256(frame.write_ipc(None).getvalue()).hexdigest()}"


def _has_work(folder: Path, header: Header, overwrite: bool) -> bool:
    """Whether anything is left to do; the header is written if the work is new.

    Raises:
        DataError: where the folder holds something else.
    """
    done, begun = folder / files.MANIFEST, folder / files.HEADER
    if begun.is_file() and not overwrite:
        if done.is_file():
            settle(folder, files.read_record(done, Manifest))
        before = files.read_record(begun, Header)
        if before == header:
            if done.is_file():  # a run that was killed after that may have left files
                remove_records(folder)
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
    for entry in sorted(
        folder.iterdir(), key=lambda entry: entry.suffix != ".json"
    ):  # records before the files that they name
        if entry != begun and entry.suffix in (".npy", ".json", ".parquet", ".writing"):
            entry.unlink()
    files.write_record(begun, header)
    return True


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> DataError:
    """An error that says how the source's files have changed."""
    ways = {
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
        "changed": [name for name in now if name in before and before[name] != now[name]],
    }
    changes = [
        f"{names[0]!r} is {way}" + (f" (and {len(names) - 1} more)" if names[1:] else "")
        for way, names in ways.items()
        if names
    ]
    return DataError(
        f"the source differs from the encoded one: {', '.join(changes)}.",
        hint="encode it again with overwrite=True, or into another folder",
    )
