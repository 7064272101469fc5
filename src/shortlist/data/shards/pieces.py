"""The second pass of an encoding: interactions as arrays of row numbers, weights and times, piece by piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.ids import unpatterned
from shortlist.data.roles import check_weight, checked_timestamp
from shortlist.data.shards import files
from shortlist.data.shards.contexts import context_rows
from shortlist.data.shards.files import Piece
from shortlist.data.shards.list_column import ListColumn, as_lists
from shortlist.data.shards.work import SIDES, Work
from shortlist.data.source import SourceFile
from shortlist.errors import DataError

__all__ = ["check_sums", "is_done", "piece_of", "remove_records"]


def piece_of(work: Work, number: int, file: SourceFile, start: int, rows: int) -> Piece:
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
    unknown = (0, 0)
    if work.header.negatives is not None:
        lists, unknown = _negatives(work, unpatterned(frame[work.header.negatives]))
        for role, values in (("negative_offsets", lists.at(order).offsets), ("negatives", lists.at(order).values)):
            name = f"{number:05}.{role}.npy"
            entries[name] = files.write_array(work.folder / name, values)
    piece = Piece(number=number, file=file.name, start=start, rows=rows, files=entries, negatives=unknown)
    files.write_record(record, piece)
    return piece


def _array(work: Work, role: str, values: pl.Series, file: SourceFile) -> NDArray[Any]:
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


def _negatives(work: Work, values: pl.Series) -> tuple[ListColumn, tuple[int, int]]:
    """The known negatives of each row as rows of the candidates; how many are unknown, and how many there are."""
    column, rows = values.name, len(values)
    exploded = pl.DataFrame({"row": np.arange(rows), "id": as_lists(values)}).explode("id").drop_nulls("id")
    found = work.candidate_rows.find(exploded["id"].alias(column))
    known = found >= 0
    counts = np.bincount(exploded["row"].to_numpy()[known], minlength=rows)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return ListColumn(offsets, found[known].astype(np.int32)), (int((~known).sum()), len(found))


def check_sums(work: Work, pieces: list[Piece]) -> None:
    """DataError where every weight is zero."""
    if "weight" in work.columns:
        names = (f"{piece.number:05}.weight.npy" for piece in pieces if piece.rows)
        arrays = (np.load(work.folder / name, mmap_mode="r") for name in names)
        if not any(array.any() for array in arrays):
            check_weight(pl.Series(work.columns["weight"], [0.0]))


def is_done(folder: Path, number: int) -> bool:
    """Whether an earlier run finished a piece."""
    return _record(folder, number).is_file()


def _record(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.json"


def remove_records(folder: Path) -> None:
    """Remove the pieces' records, which the manifest repeats."""
    for record in folder.glob("[0-9]*.json"):
        record.unlink()
