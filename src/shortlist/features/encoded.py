"""What a feature turns a column into: codes, bags of codes, or floats, one entry per table row.

All three are plain numpy; ``model/`` turns them into tensors once, and a batch is a ``take`` of row numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bags", "Codes", "Encoded", "Floats"]


@dataclass(frozen=True)
class Codes:
    """One embedding row per table row.

    values: int32 ``[rows]``, each in ``[0, cardinality)``; 0 stands for unknown.
    """

    values: NDArray[np.int32]
    cardinality: int

    def __len__(self) -> int:
        return len(self.values)

    @property
    def unknown(self) -> int:
        """How many rows hold a value that the vocabulary does not know."""
        return int(np.count_nonzero(self.values == 0))


@dataclass(frozen=True)
class Bags:
    """Any number of embedding rows per table row, in CSR form.

    offsets: int64 ``[rows + 1]``; values: int32 ``[offsets[-1]]``; row i owns ``values[offsets[i]:offsets[i + 1]]``.
    """

    offsets: NDArray[np.int64]
    values: NDArray[np.int32]
    cardinality: int

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Floats:
    """Numbers that enter the tower as they are. values: float32 ``[rows, width]``, finite."""

    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        return int(self.values.shape[1])


Encoded = Codes | Bags | Floats
