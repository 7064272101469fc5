"""Candidates with equal vectors: of each group only the first few can be among anybody's best, and the others need no look.

New candidates of which nothing is known share a row, so that most of a catalogue may have a few vectors. All of them reach the
floor of a search together. But equal scores go by position: of a group, a query has at most its first k that are open to it.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.index.halves import Halves
from shortlist.index.positions import Remembered
from shortlist.index.values import Floats, Ints

__all__ = ["EqualVectors"]

_LEAST = 1024  # candidates of a block that is worth a look
_SAMPLE = 4096  # vectors, evenly spread, that say whether there are equal ones,
_SHARE = 64  # at least one in so many
_KEEP = 1 << 10  # candidates of a group that are looked at, at least
_ROWS = 1 << 14  # vectors hashed at a time


class EqualVectors:
    """The groups of equal vectors among ``vectors`` [n, dim]; looked for at the first search."""

    def __init__(self, vectors: Floats | Halves) -> None:
        self._vectors = vectors
        self._searching = threading.Lock()
        self._first: dict[int, Ints] = {}
        self._thinned: dict[int, Remembered[Ints]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return EqualVectors, (self._vectors,)  # what was found is found again

    def first(self, keep: int) -> Ints | None:
        """Positions of all candidates but those behind the first ``keep`` of their group, at least; rising, and not to be
        written to. None where there are too few to leave out."""
        groups = self._found()
        keep = _rounded(keep)
        if groups is None or groups.largest <= keep:
            return None
        if keep not in self._first:
            left = np.ones(len(self._vectors), bool)
            left[groups.members[groups.rank() >= keep]] = False
            positions = np.flatnonzero(left)
            positions.setflags(write=False)
            self._first[keep] = positions
        return self._first[keep]

    def thinned(self, allowed: Ints, keep: int) -> Ints:
        """Those of the rising positions ``allowed`` that are not behind ``keep`` of their group that are allowed too.

        Remembered where ``allowed`` cannot be written to.
        """
        groups = self._found()
        keep = _rounded(keep)
        if groups is None or groups.largest <= keep:
            return allowed

        def make(allowed: Ints) -> Ints:
            left = np.zeros(len(self._vectors), bool)
            left[allowed] = True
            there = left[groups.members]
            before = np.cumsum(there)
            starts = np.repeat(before[groups.starts] - there[groups.starts], groups.sizes)
            left[groups.members[there & (before - starts > keep)]] = False
            positions = np.flatnonzero(left)
            positions.setflags(write=False)
            return positions

        return self._thinned.setdefault(keep, Remembered()).of(allowed, make)

    def _found(self) -> _Groups | None:
        with self._searching:
            return self._groups

    @functools.cached_property
    def _groups(self) -> _Groups | None:
        """The groups; None where there are hardly any equal vectors."""
        n = len(self._vectors)
        if n < _LEAST:
            return None
        if n <= _SAMPLE:
            hashes = sample = _hashes(self._vectors)
        else:
            sample = _hashes(self._vectors[np.unique(np.linspace(0, n - 1, _SAMPLE).astype(np.int64))])
        if (len(sample) - len(np.unique(sample))) * _SHARE < len(sample):
            return None
        if n > _SAMPLE:
            hashes = _hashes(self._vectors)
        order = np.argsort(hashes, kind="stable")
        same = hashes[order[1:]] == hashes[order[:-1]]
        pairs = np.flatnonzero(same)
        for low in range(0, len(pairs), _ROWS):  # vectors with equal hashes may still differ
            some = pairs[low : low + _ROWS]
            equal = _bits(self._vectors[order[some]]) == _bits(self._vectors[order[some + 1]])
            same[some] = equal.all(axis=1)
        return _Groups(order, same)


class _Groups:
    """Positions of candidates whose vectors others have too, group by group, rising in each; where groups start, and how large they are."""

    def __init__(self, order: Ints, same: npt.NDArray[np.bool_]) -> None:
        inside = np.append(False, same) | np.append(same, False)
        self.members = order[inside]
        self.starts = np.flatnonzero(~np.append(False, same)[inside])
        self.sizes = np.diff(np.append(self.starts, len(self.members)))
        self.largest = int(self.sizes.max(initial=0))

    def rank(self) -> Ints:
        """How many of its group are before each member."""
        return np.arange(len(self.members)) - np.repeat(self.starts, self.sizes)


def _rounded(keep: int) -> int:
    """The next power of two, of some size: few different numbers, so that what is made for one serves many searches."""
    return max(_KEEP, 1 << (keep - 1).bit_length())


def _bits(vectors: Floats) -> npt.NDArray[np.uint32]:
    return np.ascontiguousarray(vectors).view(np.uint32)


def _hashes(vectors: Floats | Halves) -> npt.NDArray[np.uint64]:
    """A number for each vector, the same for the same bits, ``[n]``."""
    factors = np.random.default_rng(0).integers(1 << 63, size=vectors.shape[1], dtype=np.uint64) | np.uint64(1)
    found = np.empty(len(vectors), np.uint64)
    for low in range(0, len(vectors), _ROWS):
        found[low : low + _ROWS] = (_bits(vectors[low : low + _ROWS]) * factors).sum(axis=1, dtype=np.uint64)
    return found
