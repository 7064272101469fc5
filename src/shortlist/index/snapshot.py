"""A snapshot of an index, for searches while it changes: one object, replaced whole by every change."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shortlist.errors import SearchError
from shortlist.index.block import Block
from shortlist.index.halves import Halves, whole
from shortlist.index.positions import Positions
from shortlist.index.values import Floats, Ints

__all__ = ["Snapshot", "block", "empty"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything a search reads: candidates built from, their native index, candidates added since."""

    base: Block
    extra: Block
    native: Any = None

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.base.vectors.shape[1])

    @property
    def size(self) -> int:
        """Candidates that can be found."""
        return self.base.alive + self.extra.alive

    @functools.cached_property
    def living(self) -> tuple[Floats | Halves, Ints]:
        """Vectors and ids that can be found, in the order that breaks ties."""
        vectors, ids = self.base.living
        if self.extra.ids.size == 0:
            return vectors, ids
        return np.concatenate([whole(vectors), whole(self.extra.vectors)]), np.concatenate([ids, self.extra.ids])

    @functools.cached_property
    def positions(self) -> Positions:
        """From ids to their positions in ``living``."""
        unchanged = self.base.dead is None and self.extra.ids.size == 0
        return self.base.positions if unchanged else Positions(self.living[1])

    @property
    def max_norm(self) -> float:
        """No vector is longer."""
        return max(self.base.max_norm, self.extra.max_norm)

    def vectors_of(self, ids: Ints) -> Floats:
        """The vectors of some candidates, ``[ids, dim]``. SearchError for an unknown id."""
        at = self.base.living_positions(ids)
        if self.extra.ids.size == 0:
            _check_found(ids, at)
            return self.base.vectors.take(at, axis=0)
        more = self.extra.living_positions(ids)
        _check_found(ids, np.maximum(at, more))
        vectors = (
            self.base.vectors.take(np.maximum(at, 0), axis=0)
            if self.base.ids.size
            else np.empty((ids.size, self.dim), np.float32)
        )
        vectors[more >= 0] = self.extra.vectors[more[more >= 0]]
        return vectors

    def upserted(self, new: Block) -> Snapshot:
        """The snapshot with some candidates added, or replaced if their ids exist."""
        vectors, ids = self.extra.without(new.ids).living
        both = np.concatenate([whole(vectors), whole(new.vectors)]), np.concatenate([ids, new.ids])
        extra = Block.of(*both, max(self.extra.max_norm, new.max_norm))
        return replace(self, base=self.base.without(new.ids), extra=extra)

    def deleted(self, ids: Ints) -> Snapshot:
        """The snapshot without some candidates."""
        extra = Block.of(*self.extra.without(ids).living, self.extra.max_norm)
        return replace(self, base=self.base.without(ids), extra=extra)

    @property
    def changes(self) -> int:
        """How many candidates were deleted or added since the build."""
        return self.base.ids.size - self.base.alive + self.extra.ids.size


def _check_found(ids: Ints, positions: Ints) -> None:
    if positions.size and positions.min() < 0:
        missing = ids[positions < 0]
        raise SearchError(
            f"the index does not hold id {missing[0]} ({missing.size} of {ids.size} are missing).",
            hint="ids lists those that it holds; a recommender's candidates are deleted by recommender.delete",
        )


def block(vectors: Floats | Halves, ids: Ints, norms: Floats) -> Block:
    """The block of vectors ``[n, dim]``, their ids and their squared norms ``[n]``."""
    longest = float(np.sqrt(norms.max(initial=0.0), dtype=np.float64))
    return Block.of(vectors, ids, longest * (1 + 1e-5))


def empty(dim: int) -> Block:
    """A block without candidates."""
    return Block.of(np.zeros((0, dim), np.float32), np.zeros(0, np.int64), 0.0)
