"""How likely a candidate is to be drawn as a negative: from counts, from a power of them, or estimated during training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Draws", "StreamingFrequency"]


class Draws:
    """Draws of candidates with replacement, with probability proportional to ``count ** power``.

    power 0: uniform over the catalogue, also what was never chosen. power 1: by popularity. A draw is a function of
    (seed, step), whatever came before.
    """

    def __init__(self, counts: NDArray[np.integer], power: float, seed: int) -> None:
        weights = np.ones(len(counts)) if power == 0 else np.asarray(counts, dtype=np.float64) ** power
        self.probability = weights / weights.sum()  # float64 [candidates]
        self._uniform = power == 0
        self._edges = np.cumsum(self.probability)
        self._seed = seed

    def draw(self, step: int, count: int) -> Tensor:
        """int64 ``[count]``."""
        generator = np.random.Generator(np.random.Philox(key=[self._seed & (2**64 - 1), step + (1 << 40)]))
        if self._uniform:
            return torch.from_numpy(generator.integers(0, len(self._edges), count))
        drawn = np.searchsorted(self._edges, generator.random(count) * self._edges[-1], side="right")
        return torch.from_numpy(np.minimum(drawn, len(self._edges) - 1).astype(np.int64))


class StreamingFrequency:
    """How often a candidate occurs, from the number of steps between its appearances.

    At step t, for each candidate of the batch: ``gap ← (1 − rate) gap + rate (t − last)``, ``last ← t``; the probability of
    being in a batch is ``1 / gap``. At its first appearance the gap is the steps so far. Source: Yi et al. 2019, algorithm 2.
    """

    def __init__(self, candidates: int, rate: float = 0.05, device: torch.device | str = "cpu") -> None:
        self.rate = rate
        self.gap = torch.zeros(candidates, device=device)
        self.last = torch.zeros(candidates, device=device)
        self._step = 0

    def observe(self, rows: Tensor) -> Tensor:
        """Takes the distinct candidates of the next batch; returns the probability of each to be in one ``[rows]``."""
        self._step += 1
        passed = self._step - self.last[rows]
        old = self.gap[rows]
        gap = torch.where(old == 0, passed, old.lerp(passed, self.rate))
        self.gap[rows] = gap
        self.last[rows] = float(self._step)
        return 1 / gap.clamp(min=1.0)

    def state(self) -> dict[str, Tensor]:
        """The estimates, for ``restore``."""
        return {"gap": self.gap, "last": self.last, "step": torch.tensor(self._step)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what ``state`` returned."""
        self.gap.copy_(state["gap"])
        self.last.copy_(state["last"])
        self._step = int(state["step"])

    def __call__(self, rows: Tensor) -> Tensor:
        """The probability of each of ``rows`` to be in a batch; of one never seen, less than one over the steps so far."""
        gap = torch.where(self.gap[rows] == 0, float(self._step + 1), self.gap[rows])
        return 1 / gap.clamp(min=1.0)
