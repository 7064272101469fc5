"""Who chose what in compressed rows, and the two products that alternating least squares needs of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

__all__ = ["Block", "Chosen", "Pairs"]

ROWS = 4096  # of a block, so that its vectors stay in the processor's cache
PAIRS = 1 << 20  # of a block, unless one row has more
ELEMENTS = 1 << 22  # gathered at a time on other devices than processors
FEW = 1 << 20  # pairs that are sorted by numpy
NARROW = 1 << 16  # rows and columns of these: numpy counts numbers of 16 bits, and sorts others by comparing


class Pairs(NamedTuple):
    """Pairs of a row and a column, each with its weight."""

    rows: NDArray[np.integer[Any]]
    columns: NDArray[np.integer[Any]]
    weights: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Chosen:
    """The choices, row by row.

    Attributes:
        offsets: of each row into ``columns`` and ``weights``, int64 ``[rows + 1]``.
        columns: int32 ``[distinct pairs]``.
        weights: float32 ``[distinct pairs]``.
        width: number of columns.
    """

    offsets: Tensor
    columns: Tensor
    weights: Tensor
    width: int

    @classmethod
    def of(
        cls,
        rows: NDArray[np.integer[Any]],
        columns: NDArray[np.integer[Any]],
        weights: NDArray[np.float32],
        shape: tuple[int, int],
    ) -> Chosen:
        """Distinct pairs with the sums of their weights."""
        if len(rows) <= FEW and max(shape) <= NARROW:
            return cls._by_sorting(rows, columns, weights.astype(np.float64), shape)
        from scipy.sparse import coo_matrix

        return cls._of_matrix(coo_matrix((weights.astype(np.float64), (rows, columns)), shape).tocsr())

    @classmethod
    def of_pieces(cls, pieces: Callable[[], Iterable[Pairs]], shape: tuple[int, int]) -> Chosen:
        """The same, of pairs that are read in pieces: memory holds all pairs once, and one piece.

        1. Rows are counted.
        2. The pairs of each piece go to the next free places of their rows.
        3. Repeated pairs become one.

        Args:
            pieces: a function that reads all pieces from the start; called twice.
        """
        from scipy.sparse import csr_matrix

        counts = np.zeros(shape[0], np.int64)
        for piece in pieces():
            counts += np.bincount(piece.rows, minlength=shape[0])
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        columns, weights = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.float64)
        free = offsets[:-1].copy()
        for piece in pieces():
            order = np.argsort(piece.rows, kind="stable")
            counts = np.bincount(piece.rows, minlength=shape[0])
            places = np.repeat(free + counts - np.cumsum(counts), counts) + np.arange(len(order))
            columns[places], weights[places] = piece.columns[order], piece.weights[order]
            free += counts
        return cls._of_matrix(csr_matrix((weights, columns, offsets), shape))

    @classmethod
    def _by_sorting(
        cls,
        rows: NDArray[np.integer[Any]],
        columns: NDArray[np.integer[Any]],
        weights: NDArray[np.float64],
        shape: tuple[int, int],
    ) -> Chosen:
        """As ``of``, for at most ``NARROW`` rows and columns, by numpy alone: loading scipy takes longer than few pairs do."""
        order = np.lexsort((columns.astype(np.uint16), rows.astype(np.uint16)))
        rows, columns = rows[order], columns[order]
        first = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1]))[: len(rows)])
        sums = np.add.reduceat(weights[order], first) if len(first) else weights
        counts = np.bincount(rows[first], minlength=shape[0])
        return cls._of_parts(np.append(0, np.cumsum(counts)), columns[first], sums, shape[1])

    @classmethod
    def _of_matrix(cls, matrix: Any) -> Chosen:
        """Of a ``csr_matrix``, in which a pair may be repeated; it is changed."""
        matrix.sum_duplicates()
        return cls._of_parts(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1])

    @classmethod
    def _of_parts(
        cls, offsets: NDArray[Any], columns: NDArray[Any], weights: NDArray[np.floating[Any]], width: int
    ) -> Chosen:
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, which a sweep refuses
            narrow = weights.astype(np.float32)
        return cls(
            torch.from_numpy(offsets.astype(np.int64)),
            torch.from_numpy(columns.astype(np.int32)),
            torch.from_numpy(narrow),
            width,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def turned(self) -> Chosen:
        """Columns as rows."""
        parts = (self.weights.cpu().numpy(), self.columns.cpu().numpy(), self.offsets.cpu().numpy())
        if len(self.columns) <= FEW and max(len(self), self.width) <= NARROW:
            weights, columns, offsets = parts
            rows = np.arange(len(self), dtype=np.int32).repeat(np.diff(offsets))
            turned = self._by_sorting(columns, rows, weights.astype(np.float64), (self.width, len(self)))
            return turned.to(self.weights.device)
        from scipy.sparse import csr_matrix

        return Chosen._of_matrix(csr_matrix(parts, (len(self), self.width)).T.tocsr()).to(self.weights.device)

    def to(self, device: torch.device) -> Chosen:
        """The same on another device."""
        offsets, columns, weights = (one.to(device) for one in (self.offsets, self.columns, self.weights))
        return replace(self, offsets=offsets, columns=columns, weights=weights)

    @cached_property
    def totals(self) -> Tensor:
        """The sum of each row's weights, float32 ``[rows]``."""
        found: Tensor = torch.segment_reduce(self.weights, "sum", offsets=self.offsets, axis=0, initial=0)
        return found

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Neighbouring rows whose pairs are read together."""
        return tuple(self._block(first, last) for first, last in self._bounds())

    def _bounds(self) -> Iterator[tuple[int, int]]:
        offsets, first = self.offsets.cpu().numpy(), 0
        while first < len(self):
            full = int(np.searchsorted(offsets, offsets[first] + PAIRS, side="right")) - 1
            last = min(max(full, first + 1), first + ROWS, len(self))
            yield first, last
            first = last

    def _block(self, first: int, last: int) -> Block:
        pairs = slice(int(self.offsets[first]), int(self.offsets[last]))
        offsets = (self.offsets[first : last + 1] - self.offsets[first]).int()
        return Block(slice(first, last), offsets, self.columns[pairs], self.weights[pairs], self.width)


@dataclass(frozen=True, eq=False)
class Block:
    """Some neighbouring rows.

    Attributes:
        rows: which of all.
        offsets: of each of them into what follows, int32 ``[rows + 1]``.
        columns: int32 ``[pairs]``.
        weights: float32 ``[pairs]``.
        width: number of columns.
    """

    rows: slice
    offsets: Tensor
    columns: Tensor
    weights: Tensor
    width: int

    def dots(self, vectors: Tensor, other: Tensor) -> Tensor:
        """The dot product of each pair's two vectors, ``[pairs]``.

        Args:
            vectors: of the rows, ``[rows, dim]``.
            other: of the columns, ``[columns, dim]``.
        """
        if self.columns.device.type != "cpu":
            return self._gathered(vectors, other)
        found: Tensor = torch.sparse.sampled_addmm(self._matrix, vectors, other.t(), beta=0.0).values()
        return found

    def _gathered(self, vectors: Tensor, other: Tensor) -> Tensor:
        """The same by copying both vectors of each pair."""
        lengths = self.offsets.diff()
        rows = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
        step = max(1, ELEMENTS // other.shape[1])
        parts = zip(rows.split(step), self.columns.split(step), strict=True)
        return torch.cat([torch.linalg.vecdot(vectors[of], other[column]) for of, column in parts])

    def sums(self, values: Tensor, other: Tensor) -> Tensor:
        """The sum of each row's columns, each times its value, ``[rows, dim]``.

        Args:
            values: of the pairs, ``[pairs]``.
            other: of the columns, ``[columns, dim]``.
        """
        return embedding_bag(
            self.columns, other, self.offsets, mode="sum", per_sample_weights=values, include_last_offset=True
        )

    @cached_property
    def _matrix(self) -> Tensor:
        """The weights as a sparse matrix, whose places are what is read of it."""
        shape = (len(self.offsets) - 1, self.width)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
            return torch.sparse_csr_tensor(self.offsets, self.columns, self.weights, shape, check_invariants=False)
