"""The arrays that exact search reads first: the vectors themselves, or a smaller copy of them with a bound on its error.

A copy holds of each vector v some v' and the length of v − v' or more. By Cauchy and Schwarz the inner product of a
query q with v' misses that with v by at most |q| times that length: every vector that could be among the best
is found and scored again from v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from shortlist.index.halves import Halves
from shortlist.index.values import Floats, Ints

__all__ = ["STORAGES", "Bfloat16", "Int8", "Plain", "ScanArray", "Storage", "groups_of", "packed"]

Storage: TypeAlias = Literal["float32", "bfloat16", "int8"]
STORAGES: tuple[Storage, ...] = ("float32", "bfloat16", "int8")
_ROWS = 4096  # vectors packed at a time
_GROUP = 256  # vectors that share a bound on their error; stored indexes depend on it


class ScanArray(Protocol):
    """A float32 view of the vectors with errors, and a bound on the errors."""

    def block(self, low: int, high: int, out: Floats) -> Floats:
        """Vectors ``low`` to ``high``, ``[high - low, dim]``: a view, or ``out`` filled."""

    def take(self, positions: Ints) -> Floats:
        """The vectors at some positions, ``[positions, dim]``."""

    def error(self, low: int, high: int) -> float:
        """A bound on the distance of each vector between ``low`` and ``high`` from the true one."""


@dataclass(frozen=True, eq=False)
class Plain:
    """The vectors themselves."""

    vectors: Floats | Halves

    def block(self, low: int, high: int, out: Floats) -> Floats:
        """A view, or ``out`` filled with the numbers of halves."""
        return self.vectors.into(low, high, out) if isinstance(self.vectors, Halves) else self.vectors[low:high]

    def take(self, positions: Ints) -> Floats:
        """A copy of some."""
        return self.vectors.take(positions, axis=0)

    def error(self, low: int, high: int) -> float:
        """0: there is no error."""
        return 0.0


@dataclass(frozen=True, eq=False)
class Bfloat16:
    """The upper half of each number's 32 bits, rounded: half the memory.

    Attributes:
        codes: uint16 ``[n, dim]``.
        errors: float32 ``[groups]``, the longest v − v' of each 256 vectors.
    """

    codes: npt.NDArray[np.uint16]
    errors: Floats

    def block(self, low: int, high: int, out: Floats) -> Floats:
        """``out``, filled."""
        return _widened(self.codes[low:high], out)

    def take(self, positions: Ints) -> Floats:
        """Some, as float32."""
        codes = self.codes.take(positions, axis=0)
        return _widened(codes, np.empty(codes.shape, np.float32))

    def error(self, low: int, high: int) -> float:
        """The largest of the groups that the range touches."""
        return _largest(self.errors, low, high)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays to store in a folder."""
        return {"codes": self.codes, "errors": self.errors}


@dataclass(frozen=True, eq=False)
class Int8:
    """Each vector as whole numbers from −127 to 127 times a scale of its own: a quarter of the memory.

    Attributes:
        codes: int8 ``[n, dim]``.
        scales: float32 ``[n]``.
        errors: float32 ``[groups]``, the longest v − v' of each 256.
    """

    codes: npt.NDArray[np.int8]
    scales: Floats
    errors: Floats

    def block(self, low: int, high: int, out: Floats) -> Floats:
        """``out``, filled."""
        np.copyto(out, self.codes[low:high])
        out *= self.scales[low:high, None]
        return out

    def take(self, positions: Ints) -> Floats:
        """Some, as float32."""
        codes: Floats = self.codes.take(positions, axis=0).astype(np.float32)
        codes *= self.scales[positions, None]
        return codes

    def error(self, low: int, high: int) -> float:
        """The largest of the groups that the range touches."""
        return _largest(self.errors, low, high)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays to store in a folder."""
        return {"codes": self.codes, "scales": self.scales, "errors": self.errors}


def groups_of(n: int) -> int:
    """How many bounds on their error the copies of ``n`` vectors have."""
    return -(-n // _GROUP)


def packed(vectors: Floats | Halves, storage: Storage) -> Bfloat16 | Int8 | None:
    """The vectors in a smaller form, with its errors measured; None for float32, which needs none."""
    if storage == "float32":
        return None
    n, dim = vectors.shape
    errors = np.zeros(groups_of(n), np.float32)
    if storage == "bfloat16":
        halves = Bfloat16(np.empty((n, dim), np.uint16), errors)
        for low in range(0, n, _ROWS):
            _halve(vectors[low : low + _ROWS], halves.codes[low : low + _ROWS])
        _measure(vectors, halves, errors)
        return halves
    whole = Int8(np.empty((n, dim), np.int8), np.empty(n, np.float32), errors)
    for low in range(0, n, _ROWS):
        part = vectors[low : low + _ROWS]
        scales = np.abs(part).max(axis=1) / np.float32(127)
        whole.scales[low : low + _ROWS] = scales
        inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 1e-30)
        np.clip(np.rint(part * inverse[:, None]), -127, 127, out=whole.codes[low : low + _ROWS], casting="unsafe")
    _measure(vectors, whole, errors)
    return whole


def _halve(vectors: Floats, out: npt.NDArray[np.uint16]) -> None:
    """Rounds to the nearest number whose lower 16 bits are zero; ties to even."""
    bits = vectors.view(np.uint32)
    out[:] = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)


def _widened(codes: npt.NDArray[np.uint16], out: Floats) -> Floats:
    bits = out.view(np.uint32)
    np.copyto(bits, codes)
    np.left_shift(bits, np.uint32(16), out=bits)
    return out


def _measure(vectors: Floats | Halves, copy: ScanArray, errors: Floats) -> None:
    """Writes the largest length of v − v' in each group, rounded up."""
    buffer = np.empty((_ROWS, vectors.shape[1]), np.float32)
    for low in range(0, vectors.shape[0], _ROWS):
        part = vectors[low : low + _ROWS].astype(np.float64)
        part -= copy.block(low, low + part.shape[0], buffer[: part.shape[0]])
        lengths = np.sqrt(np.einsum("ij,ij->i", part, part)) * (1 + 1e-6)
        groups = np.maximum.reduceat(lengths, np.arange(0, lengths.size, _GROUP))
        first = low // _GROUP
        errors[first : first + groups.size] = np.nextafter(groups.astype(np.float32), np.float32(np.inf))


def _largest(errors: Floats, low: int, high: int) -> float:
    return float(errors[low // _GROUP : -(-high // _GROUP)].max())
