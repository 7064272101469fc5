"""How embedding tables are kept: their precision, in memory or in files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from shortlist.errors import ConfigError, TrainingError
from shortlist.language import sized
from shortlist.store import LARGE, mapped_zeros, roomy_zeros

__all__ = ["Part", "TableStorage", "TableType", "mapped_tensor", "roomy_tensor", "stochastic_round"]

TableType = Literal["float32", "bfloat16"]
Array = TypeVar("Array", bound=Any)
DRAWN = 1 << 17  # numbers drawn at a time, where they are not drawn in place


class Part(NamedTuple):
    """Every ``size``-th row of a table, from row ``rank`` on: those that one of ``size`` processes holds."""

    rank: int = 0
    size: int = 1

    def count(self, rows: int) -> int:
        """How many of a table's rows these are."""
        return len(range(self.rank, rows, self.size))

    def of(self, whole: Array) -> Array:
        """These rows of a whole table, as a view."""
        own: Array = whole if self.size == 1 else whole[self.rank :: self.size]
        return own


@dataclass(frozen=True)
class TableStorage:
    """Where the numbers of a table's rows are kept, and the type of the table.

    Attributes:
        dtype: "float32"; or "bfloat16", which takes half the memory. Rows are read as float32 and written back rounded
            up or down at random, so that updates smaller than the type can tell are kept on average (see
            ``stochastic_round``).
        folder: keep them in files of this folder, mapped into memory, so that the system keeps the pages in use
            in memory and leaves the rest on the disk. The files have no names and end with the process. None for memory.
    """

    dtype: TableType = "float32"
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise ConfigError(f'a tower got table_dtype={self.dtype!r}; "float32" or "bfloat16" was expected.')
        if self.folder is not None and not Path(self.folder).is_dir():
            raise ConfigError(
                f"a tower got table_folder={self.folder!r}, which is not a folder.", hint="create it first"
            )

    def table(
        self, rows: int, dim: int, scale: float, generator: torch.Generator | None, part: Part | None = None
    ) -> Tensor:
        """A table ``[rows, dim]``, uniform in ``[-scale, scale]``; or a part of it, of which nothing else is ever in memory.

        Numbers are drawn row after row, those of other parts too, so that every part has the rows that the whole table has.
        """
        part = part or Part()
        if self.dtype == "float32" and part.size == 1:
            return self.zeros((rows, dim)).uniform_(-scale, scale, generator=generator)
        table = self.zeros((part.count(rows), dim), torch.bfloat16 if self.dtype == "bfloat16" else None)
        each = (
            max(1, DRAWN // dim // part.size) * part.size
        )  # so that a part's first row is at one place in each of them
        done, space = 0, torch.empty(min(each, rows), dim)  # one for all: an allocator keeps some of what is freed
        for low in range(0, rows, each):
            own = part.of(space[: min(each, rows - low)].uniform_(-scale, scale, generator=generator))
            table[done : done + len(own)] = own
            done += len(own)
        return table

    def repeated(self, row: Tensor, rows: int) -> Tensor:
        """Numbers kept for a table, one ``row`` ``[1, ...]`` for each of its rows, as float32 on the row's device."""
        if self.folder is None or row.device.type != "cpu":
            numbers = torch.zeros((rows, *row.shape[1:]), dtype=row.dtype, device=row.device)
        else:
            numbers = self.zeros((rows, *row.shape[1:]), row.dtype)
        return numbers.copy_(row.expand_as(numbers)) if row.any() else numbers

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
        """Zeros in memory or in a file, by default of torch's default type. TrainingError where the disk has no room."""
        dtype = dtype or torch.get_default_dtype()
        if self.folder is None:
            return torch.zeros(shape, dtype=dtype)
        try:
            return mapped_tensor(shape, dtype, self.folder)
        except OSError as error:
            size = torch.Size(shape).numel() * dtype.itemsize
            raise TrainingError(
                f"a table of {sized(size)} could not be written to {self.folder!r}: {error}.",
                hint="choose a folder with more space, or bfloat16",
            ) from error


def mapped_tensor(shape: tuple[int, ...], dtype: torch.dtype, folder: str | None = None) -> Tensor:
    """Zeros in a file without a name; see ``store.mapped_zeros``."""
    numbers = torch.from_numpy(mapped_zeros((*shape, dtype.itemsize), "u1", folder))
    return numbers.view(dtype).view(shape)


def roomy_tensor(shape: tuple[int, ...], dtype: torch.dtype, folder: str | None = None, large: int = LARGE) -> Tensor:
    """Zeros in memory, or in a file where they have ``large`` bytes; see ``store.roomy_zeros``."""
    numbers = torch.from_numpy(roomy_zeros((*shape, dtype.itemsize), "u1", folder, large))
    return numbers.view(dtype).view(shape)


def stochastic_round(values: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """float32 ``values`` as bfloat16, each one of its two neighbours, with probabilities such that the mean is the value itself.

    1. The lower 16 bits of a float32 say how far it is from the bfloat16 towards zero to the next one.
    2. A random number of 16 bits is added, and the lower 16 bits are dropped: the sum carries over with just that chance.

    Source: Gupta et al. 2015, "Deep learning with limited numerical precision".

    Example:
        >>> stochastic_round(torch.tensor([1.0, -0.5])).tolist()  # what bfloat16 can hold stays
        [1.0, -0.5]
    """
    bits = values.contiguous().view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, device=bits.device, generator=generator)
    return ((bits + noise) & -(1 << 16)).view(torch.float32).bfloat16()
