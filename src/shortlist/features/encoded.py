"""Encoded columns: codes, bags or sequences of codes, or floats, one entry per table row.

All are plain numpy; ``model/`` turns them into tensors once, and a batch is a ``take`` of row numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import ConfigError

__all__ = ["Bags", "Codes", "Encoded", "Floats", "Repeated", "Sequences", "onnx_inputs"]


@dataclass(frozen=True)
class Codes:
    """One embedding row per table row.

    Attributes:
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

    Attributes:
        offsets: int64 ``[rows + 1]``.
        values: int32 ``[offsets[-1]]``; row i owns ``values[offsets[i]:offsets[i + 1]]``.
    """

    offsets: NDArray[np.int64]
    values: NDArray[np.int32]
    cardinality: int

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class Floats:
    """Numbers that enter the tower as they are.

    Attributes:
        values: float32 ``[rows, width]``, finite.
    """

    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        return int(self.values.shape[1])


@dataclass(frozen=True)
class Sequences:
    """Windows on one array of embedding rows: table row i reads ``values[start[i]:stop[i]]``, oldest first.

    Rows with the same start read prefixes of one sequence.

    Attributes:
        values: int32.
        start: int64 ``[rows]``.
        stop: int64 ``[rows]``.
        left_out: int64 ``[rows]``, a place inside the window that the row does not read, or −1; None where no row has
            one.
        length: of the longest window there may be.
        stored: the arrays are mapped from files, and are read row by row.
    """

    values: NDArray[np.int32]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    left_out: NDArray[np.int64] | None
    cardinality: int
    length: int
    stored: bool = False

    def __len__(self) -> int:
        return len(self.start)

    def padded(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The last ``length`` codes of each row and then zeros, int64 ``[rows, length]``, and how many ``[rows]``."""
        assert self.left_out is None
        count = np.minimum(self.stop - self.start, self.length)
        inside = np.arange(self.length) < count[:, None]
        codes = np.zeros(inside.shape, np.int64)
        places = (self.stop - count)[:, None] + np.arange(self.length)
        codes[inside] = self.values[places[inside]]
        return codes, count


@dataclass(frozen=True)
class Repeated:
    """Entries of another column, one for each of ``rows``: the values of an interaction's query, without a copy.

    Attributes:
        stored: the rows are mapped from a file.
    """

    column: Codes | Bags | Floats
    rows: NDArray[np.integer]
    stored: bool = False

    def __len__(self) -> int:
        return len(self.rows)


Encoded = Codes | Bags | Floats | Sequences | Repeated


def onnx_inputs(encoded: Mapping[str, Encoded]) -> dict[str, NDArray[Any]]:
    """The inputs of an exported tower, by name, in the graph's order.

    A column of codes is int64 ``[rows]``, of floats float32 ``[rows, width]``; a bag is two inputs, ``name.offsets``
    int64 ``[rows + 1]`` and ``name.codes`` int64 ``[offsets[-1]]``; a history is two, ``name.codes`` int64
    ``[rows, length]`` and ``name.count`` int64 ``[rows]``.
    """
    inputs: dict[str, NDArray[Any]] = {}
    for name, column in encoded.items():
        if isinstance(column, Repeated):
            raise ConfigError(
                f"{name!r} is a column of the interactions, which exported towers cannot read.",
                hint="keep torch (load the bundle without exporting), or train without this feature",
            )
        if isinstance(column, Sequences):
            inputs[f"{name}.codes"], inputs[f"{name}.count"] = column.padded()
        elif isinstance(column, Bags):
            inputs[f"{name}.offsets"] = column.offsets
            inputs[f"{name}.codes"] = column.values.astype(np.int64)
        else:
            inputs[name] = column.values if isinstance(column, Floats) else column.values.astype(np.int64)
    return inputs
