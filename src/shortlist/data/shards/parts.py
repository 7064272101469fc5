"""The rows of a set of shards that are trained on, block by block: by a draw for each row, or by its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "Later", "Part", "RandomShare"]


class Block(NamedTuple):
    """Rows ``start`` to ``stop`` of a piece; ``number`` counts the blocks of all pieces."""

    number: int
    piece: int
    start: int
    stop: int


@dataclass(frozen=True)
class RandomShare:
    """Rows whose draw falls below ``share``: a function of (seed, block), so that nothing need be stored."""

    share: float
    seed: int

    needs_times = False

    def of(self, block: Block, times: NDArray[Any] | None) -> NDArray[np.bool_]:
        """Whether each row of the block belongs."""
        draws = np.random.Philox(key=[self.seed & (2**64 - 1), block.number]).random_raw(block.stop - block.start)
        below: NDArray[np.bool_] = draws < np.uint64(min(self.share * 2.0**64, 2.0**64 - 2048))
        return below


@dataclass(frozen=True)
class Later:
    """Rows from the moment ``cut`` on, which is one of their own times."""

    cut: float | int

    needs_times = True

    def of(self, block: Block, times: NDArray[Any] | None) -> NDArray[np.bool_]:
        """Whether each row of the block belongs.

        Args:
            times: the times of its rows.
        """
        assert times is not None
        return np.asarray(times >= self.cut)


Part = RandomShare | Later
