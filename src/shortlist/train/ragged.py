"""Lists of numbers of different lengths, one after another in one tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.index.values import offsets_of
from shortlist.loss.kernel import kernel_for_lists

__all__ = ["Ragged", "places_of"]


@dataclass(frozen=True, eq=False)
class Ragged:
    """List r is ``values[offsets[r] : offsets[r + 1]]``; tensors of whole numbers on one device."""

    offsets: Tensor  # [lists + 1], int64
    values: Tensor  # [values], int64, or int32 where they are mapped from a file

    @classmethod
    def of(cls, owner: NDArray[np.integer], values: NDArray[np.integer], lists: int) -> Ragged:
        """Each value in the list of its owner, in the order given."""
        order = np.argsort(owner, kind="stable")
        offsets = offsets_of(np.bincount(owner, minlength=lists))
        return cls(torch.from_numpy(offsets), torch.from_numpy(values[order].astype(np.int64)))

    @classmethod
    def ascending(cls, owner: NDArray[np.integer], values: NDArray[np.integer], lists: int, bound: int) -> Ragged:
        """As ``of``, each list in ascending order; ``bound`` is more than every value."""
        keys = np.sort(owner.astype(np.int64) * bound + values)
        offsets = offsets_of(np.bincount(owner, minlength=lists))
        return cls(torch.from_numpy(offsets), torch.from_numpy(keys % bound))

    def to(self, device: torch.device) -> Ragged:
        """The same on a device."""
        return Ragged(self.offsets.to(device), self.values.to(device))

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Every value of these lists, and the place in ``rows`` of its list, both ``[values of rows]``."""
        if rows.device.type == "cpu":
            listed, found = _listed(self.offsets.numpy(), self.values.numpy(), rows.numpy())
            return torch.from_numpy(listed), torch.from_numpy(found).long()
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        total = int(lengths.sum())
        place = torch.arange(len(rows), device=rows.device).repeat_interleave(lengths, output_size=total)
        before = torch.cumsum(lengths, 0) - lengths
        within = torch.arange(len(place), device=rows.device) - before[place]
        return place, self.values[starts[place] + within].long()

    def meeting(self, rows: Tensor, column_of: Tensor) -> tuple[Tensor, Tensor]:
        """As ``at``, but only values with a column, which is returned in place of the value.

        Args:
            column_of: int64 ``[bound]``, the column of each value; -1 for none.
        """
        kernel = kernel_for_lists(self.offsets, self.values)
        if kernel is not None:
            arrays = (one.numpy() for one in (self.offsets, self.values, rows, column_of))
            place, found = kernel.meeting(*arrays)
            return torch.from_numpy(place), torch.from_numpy(found)
        of_list, values = self.at(rows)
        column = column_of.index_select(0, values)
        here = places_of(column >= 0)
        return of_list.index_select(0, here), column.index_select(0, here)

    def some(self, rows: Tensor, most: int, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """As ``at``, but at most ``most`` of each list, without repeats of a place: a run of it from a random start.

        The start is a function of ``key``.
        """
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        generator = np.random.Generator(np.random.Philox(key=[part & (2**64 - 1) for part in key]))
        draws = torch.from_numpy(generator.random(len(rows))).to(rows.device)
        begin = (draws * lengths).long()
        taken = lengths.clamp(max=most)
        total = int(taken.sum())
        place = torch.arange(len(rows), device=rows.device).repeat_interleave(taken, output_size=total)
        within = torch.arange(len(place), device=rows.device) - (torch.cumsum(taken, 0) - taken)[place]
        return place, self.values[starts[place] + (begin[place] + within) % lengths[place]].long()

    def holds(self, rows: Tensor, values: Tensor) -> Tensor:
        """Whether list ``rows[i]`` holds ``values[i]``, bool ``[rows]``; the lists ascend. By bisection of all at once."""
        if not len(self.values):
            return torch.zeros_like(rows, dtype=torch.bool)
        last = len(self.values) - 1
        low, high = self.offsets[rows], self.offsets[rows + 1]
        end = high
        for _ in range(_longest(low, high).bit_length()):
            middle = (low + high) // 2
            less = (low < high) & (self.values[middle.clamp(max=last)] < values)
            low = torch.where(less, middle + 1, low)
            high = torch.where(less, high, middle)
        return (low < end) & (self.values[low.clamp(max=last)] == values)


def places_of(marks: Tensor) -> Tensor:
    """Where marks ``[n]`` are true, rising."""
    if marks.device.type == "cpu":  # numpy takes an eighth of torch's time
        return torch.from_numpy(np.flatnonzero(marks.numpy()))
    return torch.nonzero(marks).squeeze(1)


def _listed(
    offsets: NDArray[np.int64], values: NDArray[np.integer], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
    """The same as ``Ragged.at`` returns, by numpy: a sixth of the time that torch takes on a processor."""
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    before = lengths.cumsum() - lengths
    places = np.arange(int(lengths.sum()))
    places += (starts - before).repeat(lengths)
    return np.arange(len(rows)).repeat(lengths), values[places]


def _longest(low: Tensor, high: Tensor) -> int:
    return int((high - low).max()) if len(low) else 0
