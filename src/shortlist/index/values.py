"""The value objects that pass in and out of an index: ``Lists`` of ids in, ``Hits`` out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from shortlist.errors import SearchError
from shortlist.language import counted as number_of

__all__ = ["Floats", "Hits", "Ints", "Lists", "as_ids", "counted", "offsets_of", "parts", "taken"]

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]


_TOGETHER = 1 << 17  # numbers that are read together, whatever the length of a row


def parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows of a matrix of that shape in parts of half a megabyte of float32, so that reading all of it takes little memory."""
    rows, dim = shape
    each = max(1, _TOGETHER // max(1, dim))
    return (slice(low, min(low + each, rows)) for low in range(0, rows, each))


@lru_cache(maxsize=2)
def counted(rows: int) -> Ints:
    """0 to ``rows`` - 1, read-only; cached, so that processes which are forked afterwards share one."""
    numbers = np.arange(rows, dtype=np.int64)
    numbers.flags.writeable = False
    return numbers


def as_ids(values: object, name: str) -> Ints:
    """``values`` as a contiguous one-dimensional int64 array; ``SearchError`` for anything but integers."""
    array = np.asarray(values)
    if array.dtype == np.int64 and array.ndim == 1:
        return np.ascontiguousarray(array)
    if array.ndim != 1:
        raise SearchError(f"{name} has shape {array.shape}; one dimension was expected.")
    if array.size == 0 and not isinstance(values, np.ndarray):
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu" or array.dtype == np.uint64:
        raise SearchError(
            f"{name} has dtype {array.dtype}; int64 was expected.",
            hint="an index identifies candidates by int64 numbers; map raw ids to numbers first.",
        )
    return array.astype(np.int64)


def offsets_of(lengths: npt.ArrayLike) -> Ints:
    """Where lists of these lengths begin and end in one array of them all: int64 ``[lists + 1]``, from 0.

    Example:
        >>> offsets_of([2, 0, 1]).tolist()
        [0, 2, 2, 3]
    """
    each = np.asarray(lengths, np.int64)
    offsets = np.zeros(len(each) + 1, np.int64)
    np.cumsum(each, out=offsets[1:])
    return offsets


@dataclass(frozen=True, eq=False)
class Lists:
    """One list of ids per query, in the layout of CSR: list i is ``values[offsets[i]:offsets[i + 1]]``.

    Attributes:
        offsets: int64 ``[queries + 1]``, from 0, never falling.
        values: int64 ``[offsets[-1]]``.

    Raises:
        SearchError: for offsets and values that do not describe lists.

    Example:
        >>> seen = Lists.of([[3, 5], [], [7]])
        >>> len(seen), seen.row(0).tolist()
        (3, [3, 5])
    """

    offsets: Ints
    values: Ints

    def __post_init__(self) -> None:
        offsets, values = as_ids(self.offsets, "offsets"), as_ids(self.values, "values")
        falls = bool((offsets[1:] < offsets[:-1]).any())
        if offsets.size == 0 or offsets[0] != 0 or offsets[-1] != values.size or falls:
            raise SearchError(
                f"offsets must start at 0, never fall, and end at {values.size}, the number of values.",
                hint="build lists with Lists.of([[1, 2], [], [3]]).",
            )
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, rows: Iterable[npt.ArrayLike]) -> Lists:
        """``Lists`` from one sequence of ids per query."""
        arrays = [as_ids(row, f"row {i}") for i, row in enumerate(rows)]
        offsets = offsets_of([array.size for array in arrays])
        return cls(offsets, np.concatenate(arrays) if arrays else np.zeros(0, np.int64))

    def __len__(self) -> int:
        return self.offsets.size - 1

    def row(self, i: int) -> Ints:
        """The ids of query ``i``."""
        return self.values[self.offsets[i] : self.offsets[i + 1]]

    def __repr__(self) -> str:
        return f"Lists({number_of(len(self), 'list')}, {number_of(self.values.size, 'id')})"


def taken(lists: Lists, rows: Ints) -> Lists:
    """The lists of some rows, in the order of ``rows``; one may be asked for several times.

    Example:
        >>> found = taken(Lists.of([[3, 5], [], [7]]), np.array([2, 0, 2]))
        >>> [found.row(i).tolist() for i in range(3)]
        [[7], [3, 5], [7]]
    """
    lengths = np.diff(lists.offsets)[rows]
    offsets = offsets_of(lengths)
    places = np.arange(offsets[-1]) + np.repeat(lists.offsets[rows] - offsets[:-1], lengths)
    return Lists(offsets, lists.values[places])


@dataclass(frozen=True, eq=False)
class Hits:
    """The result of a search: per query, ids and scores, best first; never padded.

    Attributes:
        offsets: int64 ``[queries + 1]``; query i owns ``offsets[i]:offsets[i + 1]`` of the two arrays below.
        ids: int64 ``[hits]``.
        scores: float32 ``[hits]``: the inner product in float64, rounded once; falling within each query, and
            equal scores in the order in which the candidates entered the index.
    """

    offsets: Ints
    ids: Ints
    scores: Floats

    def __len__(self) -> int:
        return self.offsets.size - 1

    def row(self, i: int) -> tuple[Ints, Floats]:
        """Ids and scores of query ``i``, best first."""
        low, high = self.offsets[i], self.offsets[i + 1]
        return self.ids[low:high], self.scores[low:high]

    def __iter__(self) -> Iterator[tuple[Ints, Floats]]:
        return (self.row(i) for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Hits({number_of(len(self), 'query')}, {number_of(self.ids.size, 'hit')})"
