"""The blocks of shards, read from their pieces' files: which rows are kept or held out, and as rows of which tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.data.shards.files import Manifest
from shortlist.data.shards.list_column import ListColumn
from shortlist.data.shards.parts import Block, Part

__all__ = ["READ_AT_ONCE", "Blocks", "Rows"]

READ_AT_ONCE = 256  # blocks that are read at a time where all are read


class Rows(NamedTuple):
    """Interactions as numbers, each ``[rows]``: rows of both tables, weights, times, rows of ``Shards.contexts``, whether each
    counts as seen, its negatives as rows of the candidates, its number among all encoded rows."""

    query: NDArray[np.int32]
    candidate: NDArray[np.int32]
    weight: NDArray[np.float32] | None
    time: NDArray[Any] | None
    context: NDArray[np.int32] | None = None
    seen: NDArray[np.bool_] | None = None
    negatives: ListColumn | None = None
    number: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks of all pieces, numbered in the order of the source.

    Attributes:
        folder: where the pieces' files are.
        manifest: of the shards.
        held_out: the part of the rows that is left out; None for no such part.
        moved: rows of the tables that are shown, by row of those that were encoded, of the sides where the two differ.
    """

    folder: Path
    manifest: Manifest
    held_out: Part | None
    moved: Mapping[str, NDArray[np.int32]]

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Every block, in the order of the source."""
        found: list[Block] = []
        for place, piece in enumerate(self.manifest.pieces):
            for start in range(0, piece.rows, self.manifest.header.block_rows):
                stop = min(start + self.manifest.header.block_rows, piece.rows)
                found.append(Block(len(found), place, start, stop))
        return tuple(found)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many rows of each block are read → int64 ``[blocks]``."""
        sizes = np.array([block.stop - block.start for block in self.blocks], np.int64)
        if self.held_out is None:
            return sizes
        kept = [int(mask.sum()) for numbers in self.spans() for mask in self.masks(numbers)]
        return np.array(kept, np.int64)

    @property
    def pieces(self) -> range:
        """The number of each piece."""
        return range(len(self.manifest.pieces))

    def array(self, place: int, role: str) -> NDArray[Any]:
        """A piece's array, memory-mapped."""
        piece = self.manifest.pieces[place]
        path = self.folder / f"{piece.number:05}.{role}.npy"
        mapped: NDArray[Any] = np.load(path, mmap_mode="r" if piece.rows else None, allow_pickle=False)
        return mapped

    def spans(self) -> Iterator[range]:
        """Every block's number, so many at a time."""
        for start in range(0, len(self.blocks), READ_AT_ONCE):
            yield range(start, min(start + READ_AT_ONCE, len(self.blocks)))

    def masks(self, numbers: Sequence[int] | NDArray[np.integer]) -> Iterator[NDArray[np.bool_]]:
        """Which rows of each block are read, where some are held out."""
        part = self.held_out
        assert part is not None
        opened, times = -1, None
        for number in numbers:
            block = self.blocks[number]
            if part.needs_times and block.piece != opened:
                opened, times = block.piece, self.array(block.piece, "timestamp")
            yield ~part.of(block, None if times is None else times[block.start : block.stop])

    def read(
        self,
        blocks: Sequence[int] | NDArray[np.integer],
        times: bool,
        which: str,
        negatives: bool = False,
        numbers: bool = False,
    ) -> Rows:
        """Rows of the blocks that are kept or held out. A piece's files are opened once for neighbouring blocks."""
        header = self.manifest.header
        names = ["query", "candidate", *(["weight"] if header.weight is not None else [])]
        names += ["timestamp"] if times and header.timestamp is not None else []
        names += ["context"] if header.context else []
        names += ["seen"] if header.seen is not None else []
        masks = None if self.held_out is None else list(self.masks(blocks))
        if masks is not None and which == "held out":
            masks = [~mask for mask in masks]
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        lists: list[ListColumn] = []
        opened, arrays, first = -1, {}, self.first_numbers
        for place, number in enumerate(blocks):
            block = self.blocks[number]
            if block.piece != opened:
                opened, arrays = block.piece, {name: self.array(block.piece, name) for name in names}
            for name, array in arrays.items():
                values = array[block.start : block.stop]
                parts[name].append(values if masks is None else values[masks[place]])
            if negatives and header.negatives is not None:
                own = self.negatives(block.piece).part(block.start, block.stop)
                lists.append(own if masks is None else own.at(masks[place]))
            if numbers:
                counted = first[block.piece] + np.arange(block.start, block.stop)
                parts.setdefault("number", []).append(counted if masks is None else counted[masks[place]])
        whole = {name: np.concatenate(values) for name, values in parts.items()}
        whole |= {side: rows[whole[side]] for side, rows in self.moved.items()}
        weight, time, context, seen = (whole.get(name) for name in ("weight", "timestamp", "context", "seen"))
        given = self.renumbered(ListColumn.joined(lists)) if lists else None
        return Rows(whole["query"], whole["candidate"], weight, time, context, seen, given, whole.get("number"))

    @cached_property
    def first_numbers(self) -> NDArray[np.int64]:
        """The number of each piece's first row among all encoded ones, and how many there are."""
        return np.cumsum([0, *(piece.rows for piece in self.manifest.pieces)])

    def negatives(self, place: int) -> ListColumn:
        """The negatives of a piece's rows, memory-mapped, as rows of the table that was encoded."""
        return ListColumn(self.array(place, "negative_offsets"), self.array(place, "negatives"))

    def negatives_of(self, numbers: NDArray[np.int64]) -> ListColumn:
        """The negatives of encoded rows, by their numbers among all of them."""
        first = self.first_numbers
        place = np.searchsorted(first, numbers, side="right") - 1
        order = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[order], np.arange(len(first)))
        parts = [
            self.negatives(one).at(numbers[order[ends[one] : ends[one + 1]]] - first[one])
            for one in np.unique(place).tolist()
        ]
        return self.renumbered(ListColumn.joined(parts).at(np.argsort(order, kind="stable")))

    def renumbered(self, negatives: ListColumn) -> ListColumn:
        """Negatives as rows of the candidates that are shown."""
        rows = self.moved.get("candidate")
        return negatives if rows is None else negatives._replace(values=rows[negatives.values])
