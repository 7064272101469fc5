"""One encoding of a source into shards: its source, folder and options, and the pieces that it is read in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.events import EventPlan
from shortlist.data.id_map import IdMap
from shortlist.data.places import Places
from shortlist.data.reading import Reading
from shortlist.data.roles import PLURAL, TableLike
from shortlist.data.shards import files
from shortlist.data.shards.files import Header, Tables
from shortlist.data.shards.growth import Base
from shortlist.data.shards.interactions import plain
from shortlist.data.source import Source, SourceFile
from shortlist.data.times import TimeForm, refuse_format, settled_form

__all__ = ["CONTEXTS", "SIDES", "IdsRead", "OnPiece", "Work", "plan_of"]

CONTEXTS = "contexts.parquet"
SIDES = ("query", "candidate")

OnPiece = Callable[[int, int], None]


@dataclass(frozen=True)
class IdsRead:
    """Rows of the ids that occur in what is encoded, which are few next to those of all tables: looked up as in an ``IdMap``.

    Attributes:
        ids: those that occur.
        rows: of each in its table.
    """

    ids: IdMap
    rows: NDArray[np.int64]

    def require(self, values: pl.Series) -> NDArray[np.int32]:
        """As ``IdMap.require``."""
        found: NDArray[np.int32] = self.rows[self.ids.require(values)].astype(np.int32)
        return found


@dataclass(frozen=True)
class Work:
    """One encoding: source, folder and options; ``base`` is what grows by it."""

    source: Source
    folder: Path
    header: Header
    given: Mapping[str, TableLike | None]
    on_piece: OnPiece | None
    plan: EventPlan
    reading: Reading
    base: Base | None = None
    lookups: dict[str, tuple[pl.DataType, IdMap | IdsRead]] = field(default_factory=dict)

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
        negatives = [] if self.header.negatives is None else [self.header.negatives]
        return list(dict.fromkeys([*own, *self.header.context, *negatives, *self.plan.columns]))

    @cached_property
    def form(self) -> TimeForm | None:
        """How timestamps that are text are written; None for others."""
        column = self.header.timestamp
        if column is None:
            return None
        if self.source.schema()[column] != pl.String:
            refuse_format(column, self.source.schema()[column], self.reading)
            return None
        wanted = [column] if self.plan.idle else self.plan.sources([column])
        read = (self.source.read(file, start, rows, wanted) for _, file, start, rows in plan_of(self))
        parts = (
            frame[column] if self.plan.idle else self.plan.lazily(frame.lazy()).collect()[column] for frame in read
        )
        return settled_form(parts, column, self.reading, Places(plain(self.source)))

    @property
    def places(self) -> Places:
        """Where the values of interactions are."""
        return Places(plain(self.source), plan=None if self.plan.idle else self.plan)

    @cached_property
    def candidate_rows(self) -> IdMap:
        """Rows of all candidates, those included that no interaction has."""
        lookup = self.lookups["candidate"][1]
        if isinstance(lookup, IdMap):
            return lookup
        column = self.header.candidate
        return IdMap(self.tables.read(self.folder, f"{PLURAL['candidate']}.parquet", [column])[column])

    @property
    def generation(self) -> int:
        """The generation of the tables that are written."""
        return 0 if self.base is None else self.base.generation

    def name(self, name: str) -> str:
        """The file of a table or of counts that is written."""
        return files.named(name, self.generation)

    @cached_property
    def tables(self) -> Tables:
        """The tables, once they are written."""
        return files.read_record(self.folder / self.name(files.TABLES), Tables)

    @cached_property
    def contexts(self) -> pl.DataFrame:
        """The distinct rows of the context columns."""
        return self.tables.read(self.folder, CONTEXTS)


def plan_of(work: Work) -> Iterator[tuple[int, SourceFile, int, int]]:
    """Number, file, first row and rows of every piece."""
    number = 0 if work.base is None else work.base.first
    for file in work.source.files:
        total = work.source.rows(file)
        for start in range(0, total, work.header.piece_rows):
            yield number, file, start, min(work.header.piece_rows, total - start)
            number += 1
