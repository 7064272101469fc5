"""Where a training run is: its epoch, its batch, and the sums of the epoch so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from shortlist.train.epochs import Epoch

__all__ = ["Progress"]


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        epoch: the current one, from 1.
        batch: how many of its batches are done.
        step: batches of all epochs.
        done: examples of all epochs.
        total: summed losses of the epoch so far.
        weight: their summed weights.
        chance: the summed losses that a model at chance would have.
        seconds: training time of the epoch so far.
    """

    total: Tensor
    weight: Tensor
    epoch: int = 1
    batch: int = 0
    step: int = 0
    done: int = 0
    chance: float = 0.0
    seconds: float = 0.0
    records: list[Epoch] = field(default_factory=list)
    since: float = 0.0  # of the clock, when this process began the epoch

    @classmethod
    def at_start(cls, device: torch.device) -> Progress:
        return cls(torch.zeros((), device=device), torch.zeros((), device=device))

    def next_epoch(self, record: Epoch) -> None:
        """To the start of the epoch after the one of ``record``."""
        self.records.append(record)
        self.epoch += 1
        self.batch, self.chance, self.seconds = 0, 0.0, 0.0
        self.total.zero_()
        self.weight.zero_()

    def begin(self) -> None:
        """Starts the clock."""
        self.since = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds of training in this epoch, those before a stop included."""
        return self.seconds + time.perf_counter() - self.since
