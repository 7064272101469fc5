"""Shards that grow with their source: pieces of files that are as they were stay, others are encoded, tables get new rows.

1. Pieces of files that are gone or were changed are left out, and their rows are taken off the counts.
2. Ids that are new follow those that are there: a row number means the same id for ever. An id of which no interaction is
   left keeps its row, with a count of 0.
3. New and changed files become further pieces. New rows of a table become a further part of it, counts are written again, both
   under the number of the generation, and the manifest last: until then, and for a process that read it before, the shards
   are what they were.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.merged_tables import united_rows
from shortlist.data.roles import PLURAL
from shortlist.data.shards import files
from shortlist.data.shards.files import Header, Manifest, Piece
from shortlist.errors import DataError
from shortlist.store import Entry, in_use

__all__ = ["Base", "BusyError", "InUseError", "base_of", "finished", "settle"]

GROWTH = "growth.json"
OWN = re.compile(r"\d{5,}\.\w+\.npy|\d{5,}\.json|tables(-\d+)?\.json|growth\.json|\w+(-\d+)?\.(npy|parquet)")
OVER = "encode it again with overwrite=True, or into another folder"


class BusyError(DataError):
    """Shards that another process is encoding."""


class InUseError(DataError):
    """Shards that cannot be replaced while a training reads them."""


class Grown(NamedTuple):
    """A table that has grown, and how often each of its rows occurs.

    Attributes:
        table: with further rows.
        counts: of each row in the pieces that are kept and in new files.
        same: its first rows that are as they are on the disk: all of those before, or none.
    """

    table: pl.DataFrame
    counts: NDArray[np.int64]
    same: int


@dataclass(frozen=True)
class Base:
    """The shards that are there, and what becomes of them.

    Attributes:
        folder: where they are.
        manifest: as it is.
        header: what they are to be: the source as it was listed when the growth began.
    """

    folder: Path
    manifest: Manifest
    header: Header

    @property
    def generation(self) -> int:
        """The number of the tables that are to be written."""
        return self.manifest.tables.generation + 1

    @property
    def kept(self) -> list[Piece]:
        """The pieces of files that are as they were."""
        return [piece for piece in self.manifest.pieces if self._is_same(piece.file)]

    @property
    def dropped(self) -> list[Piece]:
        """The others."""
        return [piece for piece in self.manifest.pieces if not self._is_same(piece.file)]

    @property
    def fresh(self) -> dict[str, str]:
        """The stamps of files that are new or were changed."""
        return {name: stamp for name, stamp in self.header.source.items() if not self._is_same(name)}

    @property
    def first(self) -> int:
        """The number of the first new piece."""
        return self.manifest.next_number

    def table(self, side: str) -> pl.DataFrame:
        """A table as it is."""
        return self.manifest.tables.read(self.folder, f"{PLURAL[side]}.parquet")

    def has_integers(self, side: str, column: str) -> bool:
        """Whether a table's ids are integers."""
        return self.manifest.tables.schema(self.folder, f"{PLURAL[side]}.parquet")[column].is_integer()

    def counts(self, side: str) -> NDArray[np.int64]:
        """How often each row of a table or of the contexts occurs in the pieces that are kept."""
        counts: NDArray[np.int64] = self.manifest.tables.array(self.folder, f"{side}_counts.npy")
        for piece in self.dropped:
            if piece.rows:
                rows = np.load(self.folder / f"{piece.number:05}.{side}.npy", mmap_mode="r", allow_pickle=False)
                counts -= np.bincount(rows, minlength=len(counts))
        return counts

    def united(
        self, side: str, key: str, table: pl.DataFrame, counts: NDArray[np.int64]
    ) -> tuple[Grown, NDArray[np.int64]]:
        """The table with further rows, and the row of each one that was given.

        Args:
            side: "query" or "candidate".
            key: its column of ids.
            table: what new files, or a newer table of features, hold.
            counts: how often each of its rows occurs in new files.
        """
        before = self.table(side)
        ids = before[key]
        if ids.dtype.is_integer() and table[key].dtype.is_integer():
            table = table.with_columns(table[key].cast(ids.dtype))
        both, rows = united_rows(before, table, key)
        total = np.zeros(len(both), np.int64)
        total[: len(before)] = self.counts(side)
        total[rows] += counts
        same = both.schema == before.schema and (both.width == 1 or both.head(len(before)).equals(before))
        return Grown(both, total, len(before) if same else 0), rows

    def united_contexts(self, table: pl.DataFrame, counts: NDArray[np.int64]) -> Grown:
        """The table of contexts with further rows, and how often each occurs."""
        before = self.manifest.tables.read(self.folder, "contexts.parquet")
        self._require_types(before.schema, table.schema)
        keys = [str(place) for place in range(before.width)]
        old, new = (part.rename(dict(zip(part.columns, keys, strict=True))) for part in (before, table))
        found = new.join(old.with_row_index("row"), on=keys, how="left", nulls_equal=True, maintain_order="left")["row"]
        is_new = found.is_null().to_numpy()
        both = pl.concat([before, table.filter(pl.Series(is_new))])
        total = np.zeros(len(both), np.int64)
        total[: len(before)] = self.counts("context")
        total[found.drop_nulls().to_numpy()] += counts[~is_new]
        total[len(before) :] = counts[is_new]
        return Grown(both, total, len(before))

    def require_alike(self, interactions: pl.DataFrame, form: str) -> None:
        """DataError where new files have columns of other types, or times in another form.

        Args:
            interactions: the table without rows that an encoding of the new files alone would have.
            form: how their times are written where they are text.
        """
        before = self.manifest.tables.read(self.folder, files.MARK)
        self._require_types(before.schema, interactions.schema)
        if form != self.manifest.tables.form:
            raise DataError(
                f"the times of the new files are written as {form}; before they were {self.manifest.tables.form}.",
                hint=f"name one form, time_format=; or {OVER}",
            )

    def _require_types(self, before: pl.Schema, now: pl.Schema) -> None:
        for name, kind in before.items():
            new = now.get(name)
            if new != kind and not (new is not None and new.is_integer() and kind.is_integer()):
                raise DataError(
                    f"the column {name!r} is of type {new} in the new files; before it was {kind}.", hint=OVER
                )

    def _is_same(self, file: str) -> bool:
        before = self.manifest.header.source
        return file in before and before[file] == self.header.source.get(file)


def base_of(folder: Path, header: Header) -> Base | None:
    """The growth of the shards in ``folder`` towards ``header``; None where no piece can be kept: they are replaced then.

    An interrupted growth continues if what it reads is still there; the record of another one is put in its place.

    Raises:
        DataError: for shards that were encoded with other options, and for damaged tables.
        InUseError: for shards that would be replaced while they are trained on.
    """
    manifest = files.read_record(folder / files.MANIFEST, Manifest)
    before = manifest.header
    if msgspec.structs.replace(before, source=header.source, tables=header.tables) != header or set(
        before.tables
    ) != set(header.tables):
        raise DataError(
            f"{str(folder)!r} has shards that were encoded with other options.",
            hint="choose another folder, or overwrite=True",
        )
    settle(folder, manifest)
    base = _begun(folder, manifest, header) or Base(folder, manifest, header)
    if not base.kept:
        if in_use(folder / files.MARK):
            raise InUseError(
                f"every file of the source was changed, and the shards in {str(folder)!r} are being trained on.",
                hint="wait until that training has ended, or choose another folder",
            )
        return None
    for entries in (manifest.tables.files, *(piece.files for piece in base.dropped)):
        files.check_files(folder, entries)  # which are read to make new ones
    files.write_record(folder / GROWTH, base.header)
    return base


def settle(folder: Path, manifest: Manifest) -> None:
    """Finish what a killed process left undone after its manifest was written, or take back what it had begun before."""
    if not (folder / files.HEADER).is_file() or files.read_record(folder / files.HEADER, Header) != manifest.header:
        files.write_record(folder / files.HEADER, manifest.header)
    begun = folder / GROWTH
    if begun.is_file() and files.read_record(begun, Header) == manifest.header:
        sweep(folder, manifest)
        begun.unlink()  # last, so that a process that is killed on the way leaves the rest to the next one


def sweep(folder: Path, manifest: Manifest) -> None:
    """Remove files of earlier generations, unless a training may still read them."""
    if in_use(folder / files.MARK):
        return
    names = {name for entries in _entries(manifest) for name in entries} | {files.MANIFEST, files.HEADER, GROWTH}
    for path in list(folder.iterdir()):
        if path.name not in names and OWN.fullmatch(path.name):
            path.unlink(missing_ok=True)


def finished(base: Base, tables: files.Tables, pieces: list[Piece], rows: int, fingerprint: str) -> None:
    """Write the manifest of what has grown, then remove what it no longer names."""
    last = max([base.first, *(piece.number + 1 for piece in pieces)])
    manifest = Manifest(
        header=base.header, tables=tables, pieces=pieces, rows=rows, fingerprint=fingerprint, numbers=last
    )
    files.write_record(base.folder / files.MANIFEST, manifest)
    settle(base.folder, manifest)


def _begun(folder: Path, manifest: Manifest, header: Header) -> Base | None:
    """The growth that was interrupted, if its files are still what they were; what it left is removed otherwise."""
    path = folder / GROWTH
    if not path.is_file():
        return None
    listed = files.read_record(path, Header)
    same = {name: header.source.get(name) for name in listed.source} == listed.source
    if same and msgspec.structs.replace(header, source=listed.source) == listed:
        return Base(folder, manifest, listed)
    sweep(folder, manifest)
    for left in folder.iterdir():  # of the abandoned growth; nobody reads these
        number = re.match(r"(\d{5,})\.", left.name)
        if number and int(number.group(1)) >= manifest.next_number:
            left.unlink()
    (folder / f"tables-{manifest.tables.generation + 1}.json").unlink(missing_ok=True)
    path.unlink()
    return None


def _entries(manifest: Manifest) -> list[dict[str, Entry]]:
    return [manifest.tables.files, *(piece.files for piece in manifest.pieces)]
