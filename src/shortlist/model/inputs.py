"""A tower's encoded columns as tensors, read by row numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.features import Bags, Codes, Encoded, Repeated, Sequences
from shortlist.model.history_encoder import PaddedTensor, SequenceTensor
from shortlist.model.stored_inputs import StoredNumbers, StoredSequences

__all__ = ["BagTensor", "CodeTensor", "CrossedTensor", "FloatTensor", "RepeatedTensor", "TensorColumn", "TowerInputs"]


@dataclass(frozen=True)
class CodeTensor:
    """Codes ``[rows]``; ``distinct``: no two rows share one; ``but_unknown``: except for the unknown code, 0."""

    codes: Tensor
    distinct: bool
    but_unknown: bool = False

    def take(self, rows: Tensor) -> CodeTensor:
        """The codes of ``rows``, themselves distinct: with ids that training lacks, most batches still are."""
        codes = self.codes.index_select(0, rows)
        distinct = self.distinct or (self.but_unknown and int(torch.count_nonzero(codes)) >= len(codes) - 1)
        return CodeTensor(codes, distinct, self.but_unknown)


@dataclass(frozen=True)
class BagTensor:
    """Bags in CSR form: ``offsets [rows + 1]`` into ``codes``."""

    offsets: Tensor
    codes: Tensor

    def take(self, rows: Tensor) -> BagTensor:
        """The bags of ``rows``, on the processor by numpy, whose calls are the shorter ones."""
        if rows.is_cpu:
            return BagTensor(*map(torch.from_numpy, _bags(self.offsets.numpy(), self.codes.numpy(), rows.numpy())))
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        offsets = torch.zeros(len(rows) + 1, dtype=torch.long, device=rows.device)
        torch.cumsum(lengths, 0, out=offsets[1:])
        total = int(offsets[-1])  # the one number that a GPU is waited for
        first, begin = (one.repeat_interleave(lengths, output_size=total) for one in (offsets[:-1], starts))
        within = torch.arange(total, device=rows.device) - first
        return BagTensor(offsets, self.codes[begin + within])


def _bags(
    offsets: NDArray[np.int64], codes: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets and codes of the bags of some rows."""
    starts = offsets.take(rows)
    taken = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(offsets.take(rows + 1) - starts, out=taken[1:])
    places = np.arange(taken[-1])
    places += (starts - taken[:-1]).repeat(np.diff(taken))
    return taken, codes.take(places)


@dataclass(frozen=True)
class FloatTensor:
    """Numbers ``[rows, width]``."""

    values: Tensor

    def take(self, rows: Tensor) -> FloatTensor:
        return FloatTensor(self.values.index_select(0, rows))


@dataclass(frozen=True)
class RepeatedTensor:
    """Entries of another column, one for each of ``rows``."""

    column: CodeTensor | BagTensor | FloatTensor
    rows: Tensor | StoredNumbers

    def take(self, rows: Tensor) -> CodeTensor | BagTensor | FloatTensor:
        return self.column.take(self.rows.index_select(0, rows))


@dataclass(frozen=True)
class CrossedTensor:
    """Entries of one of two tables, where a row stands for a row of each: ``first · size + second``.

    Attributes:
        size: rows of the second table.
        second: whether the column belongs to that one.
    """

    column: CodeTensor | BagTensor | FloatTensor
    size: int
    second: bool

    def take(self, rows: Tensor) -> CodeTensor | BagTensor | FloatTensor:
        return self.column.take(rows % self.size if self.second else rows // self.size)


TensorColumn = (
    CodeTensor
    | BagTensor
    | FloatTensor
    | SequenceTensor
    | StoredSequences
    | PaddedTensor
    | RepeatedTensor
    | CrossedTensor
)


def _tensor_column(encoded: Encoded, device: torch.device) -> TensorColumn:
    if isinstance(encoded, Codes):
        codes = torch.from_numpy(encoded.values.astype(np.int64))
        counts = np.bincount(encoded.values, minlength=1)
        but_unknown = bool(counts[1:].max(initial=0) <= 1)
        return CodeTensor(codes.to(device), but_unknown and bool(counts[0] <= 1), but_unknown)
    if isinstance(encoded, Bags):
        codes = torch.from_numpy(encoded.values.astype(np.int64))
        return BagTensor(torch.from_numpy(encoded.offsets).to(device), codes.to(device))
    if isinstance(encoded, Sequences) and encoded.stored:
        left_out = None if encoded.left_out is None else torch.from_numpy(encoded.left_out)
        start, stop = torch.from_numpy(encoded.start), torch.from_numpy(encoded.stop)
        return StoredSequences(torch.from_numpy(encoded.values), start, stop, left_out, device)
    if isinstance(encoded, Sequences):
        codes = torch.from_numpy(encoded.values.astype(np.int64)).to(device)
        start, stop = (torch.from_numpy(edge.astype(np.int64)).to(device) for edge in (encoded.start, encoded.stop))
        left_out = None if encoded.left_out is None else torch.from_numpy(encoded.left_out).to(device)
        return SequenceTensor(codes, start, stop, left_out)
    if isinstance(encoded, Repeated):
        column = _shared(_tensor_column(encoded.column, device))
        if encoded.stored:
            return RepeatedTensor(column, StoredNumbers(torch.from_numpy(encoded.rows), device))  # type: ignore[arg-type]
        rows = torch.from_numpy(encoded.rows.astype(np.int64)).to(device)
        return RepeatedTensor(column, rows)  # type: ignore[arg-type]
    return FloatTensor(torch.from_numpy(encoded.values).to(device))


def _shared(column: TensorColumn) -> TensorColumn:
    """A column whose entries several rows share."""
    return replace(column, distinct=False, but_unknown=False) if isinstance(column, CodeTensor) else column


class TowerInputs:
    """Every column that a tower reads, one entry per row of its table; ``take`` picks rows by number."""

    def __init__(self, columns: Mapping[str, TensorColumn], rows: int) -> None:
        self.columns = columns
        self.rows = rows

    @classmethod
    def of(cls, encoded: Mapping[str, Encoded], device: torch.device | str = "cpu") -> TowerInputs:
        device = torch.device(device)
        rows = {len(column) for column in encoded.values()}
        assert len(rows) == 1, rows
        return cls({name: _tensor_column(column, device) for name, column in encoded.items()}, rows.pop())

    @classmethod
    def crossed(
        cls, first: Mapping[str, Encoded], second: Mapping[str, Encoded], order: Sequence[str], device: torch.device
    ) -> TowerInputs:
        """All pairs (i, j) of a row of each table: row ``i · len(second) + j``. Pairs are computed when they are read.

        Args:
            order: the columns' names, in the tower's order.
        """
        size = len(next(iter(second.values())))
        columns: dict[str, TensorColumn] = {
            name: CrossedTensor(
                _shared(_tensor_column((second if name in second else first)[name], device)),  # type: ignore[arg-type]
                size,
                name in second,
            )
            for name in order
        }
        return cls(columns, size * len(next(iter(first.values()), range(1))))

    def __len__(self) -> int:
        return self.rows

    def take(self, rows: Tensor) -> TowerInputs:
        """The inputs of these rows, in this order; ``rows`` int64 ``[taken]``, distinct where the caller needs it."""
        return TowerInputs({name: column.take(rows) for name, column in self.columns.items()}, len(rows))
