"""A folder of shards as training data: tables in memory, interactions on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist._forks import refuse_after_fork
from shortlist.data.account import Account
from shortlist.data.argument_checks import check_columns, check_function, check_kind, check_seed, checked_path, kind_of
from shortlist.data.dataset import Dataset, warn
from shortlist.data.events import Events
from shortlist.data.id_map import IdMap
from shortlist.data.reading import Reading
from shortlist.data.roles import TableLike
from shortlist.data.shards import files
from shortlist.data.shards.blocks import Blocks, Rows
from shortlist.data.shards.encode import BLOCK_ROWS, PIECE_ROWS, encode
from shortlist.data.shards.files import Manifest, Piece
from shortlist.data.shards.in_memory import dataset_of
from shortlist.data.shards.list_column import ListColumn
from shortlist.data.shards.parts import Block, Later, Part, RandomShare
from shortlist.data.shards.quantile import time_of_rank
from shortlist.data.shards.work import CONTEXTS
from shortlist.errors import ConfigError, DataError, check_flags, checked_list
from shortlist.language import counted
from shortlist.store import using

__all__ = ["Shards"]

BUFFER_ROWS = 1 << 22


@dataclass(frozen=True, eq=False, repr=False)
class Shards:
    """Interactions encoded once into integers on disk, to be trained on without being read into memory.

    ``fit`` takes it where it takes a ``Dataset``. Each shard was shuffled when it was encoded. In an epoch, blocks of
    ``block_rows`` neighbouring rows are read in a random order; about ``buffer_rows`` of them at a time are shuffled and
    cut into batches. The order is a function of (seed, epoch). Memory holds the tables and twice the buffer, whatever
    the number of rows.

    Attributes:
        folder: where it is.
        manifest: the contents of ``manifest.json`` there.
        queries: the table of queries, as a ``Dataset`` has it.
        candidates: the table of candidates, as a ``Dataset`` has it.
        interactions: a table without rows, with the columns that were encoded.
        buffer_rows: rows that are shuffled together while training.
        held_out: the part that ``split`` made, and what is left out of it.
        contexts: the distinct rows of the context columns.
        fingerprint: sha256 over everything that was encoded.

    Example:
        shards = sl.Shards.encode("log/", "log.shards", query="user_id", candidate="item_id")
        train, test = shards.split(test=0.1)
        sl.fit(model, train, validation=test)
    """

    folder: Path
    manifest: Manifest
    queries: pl.DataFrame
    candidates: pl.DataFrame
    interactions: pl.DataFrame
    buffer_rows: int = BUFFER_ROWS
    held_out: Part | None = None
    contexts: pl.DataFrame | None = None
    _rows: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    _counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def encode(
        cls,
        source: str | Path,
        folder: str | Path,
        *,
        query: str,
        candidate: str,
        timestamp: str | None = None,
        weight: str | None = None,
        queries: TableLike | None = None,
        candidates: TableLike | None = None,
        block_rows: int = BLOCK_ROWS,
        piece_rows: int = PIECE_ROWS,
        overwrite: bool = False,
        grow: bool = False,
        on_piece: Callable[[int, int], None] | None = None,
        context: Sequence[str] = (),
        negatives: str | None = None,
        events: Events | None = None,
        reading: Reading | None = None,
    ) -> Shards:
        """Encode files into ``folder``, and load it; if that was done before, only load it.

        An interrupted run resumes where it stopped. Row numbers are those of a ``Dataset`` of the same data.

        Args:
            source: a file of a format that ``Dataset`` reads, a pattern, a folder (with those below it), a Delta or
                Iceberg table, or a URL such as ``s3://bucket/log/``; credentials come from the environment. A folder is
                read as it was listed at the start. Text files are copied to Parquet first, next to the shards.
            folder: where to write the shards.
            query: the column of query ids, as in ``Dataset``.
            candidate: the column of candidate ids, as in ``Dataset``.
            timestamp: a column of numbers, dates or datetimes, as in ``Dataset``.
            weight: a column of finite numbers, as in ``Dataset``.
            queries: a table of the queries' features, as in ``Dataset``.
            candidates: a table of the candidates' features, as in ``Dataset``.
            block_rows: neighbouring rows that are read together.
            piece_rows: rows per shard, and in memory at a time.
            overwrite: replace shards of other data in ``folder``.
            grow: let shards of an earlier state of ``source`` grow: files that are as they were are not read again, new and
                changed ones are encoded, those of files that are gone are left out. New ids get rows after those that are
                there. Where no file is as it was, everything is encoded again.
            on_piece: called after each shard with how many there are and how many there will be.
            context: other columns of the interactions that are kept, for a query tower that reads them; their distinct
                rows must fit in memory.
            negatives: the column of the interactions that ``Retrieval(negative_column=)`` reads: the id of a candidate, or a
                list of them. Ids that neither table has when a file is encoded are left out.
            events: which rows are interactions, what they weigh and which count as seen, as in ``Dataset``.
            reading: how text files are written, as in ``Dataset``.

        Raises:
            DataError: for data that ``Dataset`` would refuse, for a source that is not the one encoded before, and where
                the disk is full or cannot be written.
            ConfigError: for options that cannot work.
        """
        if not isinstance(source, (str, Path)):
            raise DataError(
                f"Shards.encode(source) got {kind_of(source)}; a path, pattern, folder or URL was expected.",
                hint="what is in memory needs no shards: shortlist.Dataset(frame, query=…, candidate=…)",
            )
        check_flags("Shards.encode()", overwrite=overwrite, grow=grow)
        check_columns("Shards.encode", query, candidate, timestamp, weight)
        check_kind(events, "Shards.encode(events=)", "Events", optional=True)
        check_kind(reading, "Shards.encode(reading=)", "Reading", optional=True)
        check_function(on_piece, "Shards.encode(on_piece=)", optional=True)
        context = [str(one) for one in checked_list(context, "Shards.encode(context=)", "column names", str)]
        refuse_after_fork("Shards.encode()")
        columns = {"query": query, "candidate": candidate, "timestamp": timestamp, "weight": weight}
        folder = checked_path(folder, "Shards.encode(folder)")
        before = _pieces(folder) if grow else {}
        encode(
            source,
            folder,
            columns,
            {"queries": queries, "candidates": candidates},
            block_rows=block_rows,
            piece_rows=piece_rows,
            overwrite=overwrite,
            grow=grow,
            on_piece=on_piece,
            context=context,
            negatives=negatives,
            events=events,
            reading=reading,
        )
        has_grown = _pieces(folder) != before  # pieces that were there were compared when they were made
        shards = cls._loaded(folder, lambda piece: not has_grown or before.get(piece.number) != piece)
        warn(shards.warnings, stacklevel=2)
        return shards

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> Shards:
        """The shards in a folder.

        Args:
            folder: where ``encode`` wrote them.
            verify: compare every file's sha256 too, not only its size.

        Raises:
            DataError: for a folder that was not finished, or a file that is missing, cut off or altered.
        """
        refuse_after_fork("Shards.load()")
        check_flags("Shards.load()", verify=verify)
        return cls._loaded(checked_path(folder, "Shards.load(folder)"), lambda piece: verify)

    @classmethod
    def _loaded(cls, folder: Path, thorough: Callable[[Piece], bool]) -> Shards:
        """``load``, where each piece says whether its files' sha256 are compared."""
        if not (folder / files.MANIFEST).is_file():
            begun = (folder / files.HEADER).is_file()
            raise DataError(
                f"{str(folder)!r} holds {'an encoding that was not finished' if begun else 'no shards'}.",
                hint="run Shards.encode again: it resumes where it stopped"
                if begun
                else "Shards.encode(source, folder, …)",
            )
        manifest = files.read_record(folder / files.MANIFEST, Manifest)
        tables = manifest.tables
        files.check_files(folder, tables.files, not manifest.pieces or any(map(thorough, manifest.pieces)))
        for piece in manifest.pieces:
            files.check_files(folder, piece.files, thorough(piece))
        queries, candidates, interactions = (
            tables.read(folder, f"{name}.parquet") for name in ("queries", "candidates", "interactions")
        )
        contexts = tables.read(folder, CONTEXTS) if manifest.header.context else None
        return cls(folder, manifest, queries, candidates, interactions, contexts=contexts)

    @property
    def query(self) -> str:
        """The column of query ids."""
        return self.manifest.header.query

    @property
    def candidate(self) -> str:
        """The column of candidate ids."""
        return self.manifest.header.candidate

    @property
    def timestamp(self) -> str | None:
        """The column of timestamps."""
        return self.manifest.header.timestamp

    @property
    def weight(self) -> str | None:
        """The column of weights."""
        return self.manifest.header.weight

    @property
    def negatives(self) -> str | None:
        """The column of negatives."""
        return self.manifest.header.negatives

    @property
    def seen_column(self) -> str | None:
        """The column that says which interactions count as seen; None where all do."""
        return self.manifest.header.seen

    @cached_property
    def account(self) -> Account:
        """An account of the data, made in one pass."""
        return Account.of_shards(self)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of the encoding."""
        unknown, total = (sum(piece.negatives[place] for piece in self.manifest.pieces) for place in (0, 1))
        left_out = [f"{unknown:,} of {total:,} negatives in column {self.negatives!r} have an id that is not in the tables; "
                    "they are left out."] if unknown else []  # fmt: skip
        return (*self.manifest.tables.warnings, *left_out)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on merged or added rows."""
        return tuple(self.manifest.tables.notes)

    @property
    def since(self) -> Any:
        """The first time of the rows that are read; None without timestamps."""
        return self._span[0]

    @property
    def until(self) -> Any:
        """The last time of the rows that are read; None without timestamps."""
        return self._span[1]

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that was encoded."""
        return self.manifest.fingerprint

    @property
    def source(self) -> dict[str, str]:
        """Size and time of change (or etag) of every source file, by name."""
        return dict(self.manifest.header.source)

    def __len__(self) -> int:
        return int(self.block_counts.sum())

    def __repr__(self) -> str:
        return (
            f"Shards({counted(len(self), 'interaction')} · {counted(self.queries.height, 'query')} · "
            f"{counted(self.candidates.height, 'candidate')} · {counted(len(self.manifest.pieces), 'shard')})"
        )

    def over(self, queries: pl.DataFrame, candidates: pl.DataFrame) -> Shards:
        """The same interactions as rows of other tables; nothing is written.

        Args:
            queries: a table with at least the ids of this one.
            candidates: a table with at least the ids of this one.

        Raises:
            DataError: for a table that lacks an id.
        """
        rows = {
            side: IdMap(table[key]).require(own[key])
            for side, key, own, table in (
                ("query", self.query, self.queries, queries),
                ("candidate", self.candidate, self.candidates, candidates),
            )
        }
        chained = {side: found[self._rows[side]] if side in self._rows else found for side, found in rows.items()}
        return replace(self, queries=queries, candidates=candidates, _rows=chained, _counts={})

    def kept(self) -> AbstractContextManager[None]:
        """A block in which no file of these shards is removed, by another process either (see ``store.using``)."""
        return using(self.folder / files.MARK)

    def with_buffer(self, rows: int) -> Shards:
        """The same, shuffled within ``rows`` at a time.

        Raises:
            ConfigError: for less than 1.
        """
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise ConfigError(f"buffer_rows is {rows!r}; a whole number of at least 1 was expected.")
        return replace(self, buffer_rows=rows)

    # --- what training reads -----------------------------------------------------------------------------------------

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block, in the order of the source."""
        return self._blocks.blocks

    @property
    def block_counts(self) -> NDArray[np.int64]:
        """How many rows of each block are read → int64 ``[blocks]``."""
        return self._blocks.counts

    @property
    def query_counts(self) -> NDArray[np.int64]:
        """How many interactions each query has → int64 ``[queries]``."""
        return self._counted("query", len(self.queries))

    @property
    def candidate_counts(self) -> NDArray[np.int64]:
        """How many interactions each candidate has → int64 ``[candidates]``."""
        return self._counted("candidate", len(self.candidates))

    @property
    def context_counts(self) -> NDArray[np.int64]:
        """How many interactions each row of ``contexts`` has → int64 ``[contexts]``."""
        return self._counted("context", 0 if self.contexts is None else len(self.contexts))

    def read(
        self, blocks: Sequence[int] | NDArray[np.integer], *, times: bool = False, negatives: bool = False
    ) -> Rows:
        """The rows of these blocks, one block after another, without those held out.

        Args:
            blocks: numbers of blocks.
            times: read the rows' times too.
            negatives: read the rows' negatives too, where there are any.
        """
        return self._blocks.read(blocks, times, "kept", negatives=negatives)

    def chunks(self, *, times: bool = False, numbers: bool = False) -> Iterator[Rows]:
        """All rows that are read, in the order of the shards, some million at a time.

        Args:
            times: read their times too.
            numbers: give their numbers among all rows too.
        """
        yield from (self._blocks.read(blocks, times, "kept", numbers=numbers) for blocks in self._blocks.spans())

    def negatives_of(self, numbers: NDArray[np.int64]) -> ListColumn:
        """The negatives of encoded rows, by their numbers among all of them."""
        return self._blocks.negatives_of(numbers)

    def of_queries(self, ids: pl.Series) -> Dataset:
        """The interactions of these queries (raw ids), in memory, in the order of the shards; both tables are shared."""
        own = self.queries[self.query]
        wanted = own.is_in(ids.unique().cast(own.dtype, strict=False).implode()).to_numpy()
        return self._in_memory("kept", lambda rows: wanted[rows.query])

    def split(
        self,
        test: float = 0.1,
        *,
        by: Literal["random", "time"] = "random",
        seed: int = 42,
        most: int = 1_000_000,
    ) -> tuple[Shards, Dataset]:
        """Hold interactions out: the shards without them, and about ``most`` of them in memory, drawn at random.

        Args:
            test: share of the interactions to hold out.
            seed: of the rows that are drawn.
            by: "random", where each row is held out with probability ``test``; or "time", where those from one moment
                on are, so that equal times stay together (as ``split_by_time``, but the held-out part is never smaller
                than asked for).
            most: about how many held-out interactions to return.

        Raises:
            ConfigError: for a share outside (0, 1), a seed other than a whole number, and an unknown ``by``.
            DataError: where a part is empty or there are no timestamps.
        """
        if isinstance(test, bool) or not isinstance(test, float) or not 0 < test < 1:
            raise ConfigError(
                f"test is {test!r}; a fraction between 0 and 1 was expected.", hint="for example test=0.1"
            )
        seed = check_seed(seed, "Shards.split()", least=-(1 << 63))
        if self.held_out is not None:
            raise ConfigError(
                "these shards already have a held-out part.", hint="split the shards that Shards.load returns"
            )
        train = replace(self, held_out=self._part(test, by, seed), _counts={})
        held = self.manifest.rows - len(train)
        if not held or not len(train):
            raise DataError(
                f"test={test} of {counted(self.manifest.rows, 'interaction')} leaves a part empty.",
                hint="choose another share, or by=",
            )
        if most >= held:
            return train, train._in_memory("held out")
        thin = RandomShare(most / held, seed + 1)
        starts = (numbers.start for numbers in train._blocks.spans())
        return train, train._in_memory(
            "held out", lambda rows: thin.of(Block(next(starts), 0, 0, len(rows.query)), None)
        )

    def to_dataset(self) -> Dataset:
        """All rows that are read, in memory, in the order of the shards; both tables are shared."""
        return self._in_memory("kept")

    # --- within ------------------------------------------------------------------------------------------------------

    def _in_memory(self, which: str, some: Callable[[Rows], NDArray[np.bool_]] | None = None) -> Dataset:
        tables = {"queries": self.queries, "candidates": self.candidates}
        return dataset_of(
            self._blocks, self.manifest.header, tables, self.interactions.schema, self.contexts, which, some
        )

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks(self.folder, self.manifest, self.held_out, self._rows)

    @cached_property
    def _span(self) -> tuple[Any, Any]:
        """The first and the last time, in one pass over the times alone."""
        if self.timestamp is None:
            return None, None
        ends: list[Any] = []
        for place in self._blocks.pieces:
            times = self._blocks.array(place, "timestamp")
            if self.held_out is not None and len(times):
                own = [block.number for block in self.blocks if block.piece == place]
                times = times[np.concatenate(list(self._blocks.masks(own)))]
            ends += [times.min(), times.max()] if len(times) else []
        span = pl.Series(ends).cast(self.interactions.schema[self.timestamp])
        return span.min(), span.max()

    def _part(self, test: float, by: str, seed: int) -> Part:
        if by == "random":
            return RandomShare(test, seed)
        if by != "time":
            raise ConfigError(f'by is {by!r}; "random" or "time" was expected.')
        if self.timestamp is None:
            raise DataError('by="time" needs a timestamp column.', hint="Shards.encode(…, timestamp=…)")
        held = max(1, round(test * self.manifest.rows))
        return Later(
            time_of_rank(lambda: (self._blocks.array(place, "timestamp") for place in self._blocks.pieces), held)
        )

    def _counted(self, side: Literal["query", "candidate", "context"], size: int) -> NDArray[np.int64]:
        if side not in self._counts:
            if self.held_out is None:
                counts = self.manifest.tables.array(self.folder, f"{side}_counts.npy")
                self._counts[side] = self._moved(side, counts, size)
            else:
                counts = np.zeros(size, np.int64)
                for numbers in self._blocks.spans():
                    counts += np.bincount(getattr(self.read(numbers), side), minlength=size)
                self._counts[side] = counts
        return self._counts[side]

    def _choices(self, side: Literal["query", "candidate"]) -> NDArray[np.int64]:
        """As ``query_counts`` or ``candidate_counts``, of the rows with a weight above 0 alone; in one pass over the shards."""
        if self.weight is None:
            return self.query_counts if side == "query" else self.candidate_counts
        if f"{side} choices" not in self._counts:
            sizes = {"query": len(self.queries), "candidate": len(self.candidates)}
            counts = {one: np.zeros(size, np.int64) for one, size in sizes.items()}
            for rows in self.chunks():
                assert rows.weight is not None
                for one, counted in counts.items():
                    counted += np.bincount(getattr(rows, one)[rows.weight > 0], minlength=len(counted))
            self._counts.update({f"{one} choices": counted for one, counted in counts.items()})
        return self._counts[f"{side} choices"]

    def _moved(self, side: str, counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """Counts of the encoded rows as those of the tables that are shown."""
        if side not in self._rows:
            return counts
        moved = np.zeros(size, np.int64)
        moved[self._rows[side]] = counts
        return moved


def _pieces(folder: Path) -> dict[int, Piece]:
    """The pieces of finished shards in a folder, by number."""
    path = folder / files.MANIFEST
    return {piece.number: piece for piece in files.read_record(path, Manifest).pieces} if path.is_file() else {}
