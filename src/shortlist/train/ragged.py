"""Lists of numbers of different lengths, one after another in one tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Ragged", "is_among"]


@dataclass(frozen=True, eq=False)
class Ragged:
    """List r is ``values[offsets[r] : offsets[r + 1]]``; int64 tensors on one device."""

    offsets: Tensor  # [lists + 1]
    values: Tensor  # [values]

    @classmethod
    def of(cls, owner: NDArray[np.integer], values: NDArray[np.integer], lists: int) -> Ragged:
        """Each value in the list of its owner, in the order given."""
        order = np.argsort(owner, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=lists))])
        return cls(torch.from_numpy(offsets), torch.from_numpy(values[order].astype(np.int64)))

    def to(self, device: torch.device) -> Ragged:
        """The same on a device."""
        return Ragged(self.offsets.to(device), self.values.to(device))

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Every value of these lists, and the place in ``rows`` of the list it is from, both ``[values of rows]``."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        place = torch.arange(len(rows), device=rows.device).repeat_interleave(lengths)
        before = torch.cumsum(lengths, 0) - lengths
        within = torch.arange(len(place), device=rows.device) - before[place]
        return place, self.values[starts[place] + within]

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
        place = torch.arange(len(rows), device=rows.device).repeat_interleave(taken)
        within = torch.arange(len(place), device=rows.device) - (torch.cumsum(taken, 0) - taken)[place]
        return place, self.values[starts[place] + (begin[place] + within) % lengths[place]]

    def keys(self, bound: int) -> Tensor:
        """Every (list, value) as one number, ascending; ``bound`` is more than every value. See ``is_among``."""
        owner = torch.arange(len(self.offsets) - 1, device=self.offsets.device).repeat_interleave(self.offsets.diff())
        return torch.sort(owner * bound + self.values).values


def is_among(keys: Tensor, wanted: Tensor) -> Tensor:
    """Whether each of ``wanted`` is one of the ascending ``keys``, bool ``[wanted]``."""
    if not len(keys):
        return torch.zeros_like(wanted, dtype=torch.bool)
    return keys[torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)] == wanted
