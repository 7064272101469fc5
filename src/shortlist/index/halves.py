"""Vectors of numbers that bfloat16 holds exactly, in half the memory: read as float32, a part at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.index.values import Floats, Ints, parts
from shortlist.store import roomy_zeros

__all__ = ["Halves", "accepts_halves", "held_vectors", "whole"]


class Halves:
    """A float32 matrix ``[rows, dim]`` of which the upper 16 bits of each number are kept, the lower ones being zero.

    It reads as a float32 array does: parts of it are arrays, and ``np.asarray`` gives all of it. It cannot be written to.

    Args:
        upper: uint16 ``[rows, dim]``.

    Example:
        >>> halves = Halves.of(np.array([[1.0, -0.5]], dtype=np.float32))
        >>> halves[0], halves.nbytes
        (array([ 1. , -0.5], dtype=float32), 4)
        >>> Halves.of(np.array([[0.1]], dtype=np.float32)) is None
        True
    """

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, upper: npt.NDArray[np.uint16]) -> None:
        self.upper = upper

    @classmethod
    def of(cls, vectors: Floats) -> Halves | None:
        """The same numbers; None where bfloat16 does not hold all of them exactly. Large ones are kept in a file."""
        bits = vectors.view(np.uint32)
        if any((bits[part] & 0xFFFF).any() for part in parts(bits.shape)):
            return None
        upper = roomy_zeros(vectors.shape, np.uint16)
        for part in parts(bits.shape):
            np.right_shift(bits[part], 16, out=upper[part], casting="unsafe")
        return cls(upper)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and length of each."""
        rows, dim = self.upper.shape
        return rows, dim

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return int(self.upper.nbytes)

    def __len__(self) -> int:
        return len(self.upper)

    def __getitem__(self, key: Any) -> Floats:
        return _widened(self.upper[key])

    def take(self, positions: Ints, axis: int = 0) -> Floats:
        """Some rows, ``[positions, dim]``."""
        return _widened(self.upper.take(positions, axis=axis))

    def into(self, low: int, high: int, out: Floats) -> Floats:
        """``out``, filled with rows ``low`` to ``high``."""
        bits = out.view(np.uint32)
        np.copyto(bits, self.upper[low:high])
        np.left_shift(bits, np.uint32(16), out=bits)
        return out

    def reshape(self, rows: int, dim: int) -> Halves:
        """The same numbers as rows of another length."""
        return Halves(self.upper.reshape(rows, dim))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        found = roomy_zeros(self.shape, np.float32)  # in a file where it is large
        for part in parts(self.shape):
            self.into(part.start, part.stop, found[part])
        return found if dtype is None else found.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"Halves({len(self)} × {self.shape[1]})"


def whole(vectors: Floats | Halves) -> Floats:
    """All vectors as float32; themselves where they are."""
    return np.asarray(vectors) if isinstance(vectors, Halves) else vectors


def held_vectors(index: Any) -> Floats | Halves:
    """An index's vectors as it keeps them."""
    found: Floats | Halves = index._held if hasattr(index, "_held") else index.vectors
    return found


def accepts_halves(index: Any) -> bool:
    """Whether an index searches halves as they are."""
    return bool(getattr(index, "_keeps_halves", False))


def _widened(upper: npt.NDArray[np.uint16]) -> Floats:
    bits = upper.astype(np.uint32)
    bits <<= np.uint32(16)
    return bits.view(np.float32)
