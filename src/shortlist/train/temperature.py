"""A temperature that is learned with the towers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shortlist.train.optimizers import Adam, Updater
from shortlist.train.processes import Processes

__all__ = ["LearnedTemperature"]

LEARNING_RATE = 0.01


class LearnedTemperature(nn.Module):
    """Divides queries by exp(t), t a parameter of its own: learned by Adam and never decayed, whatever the towers use."""

    def __init__(self, start: float, processes: Processes | None = None) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(start)))
        self._updater = Updater(Adam(LEARNING_RATE), self, processes)

    def forward(self, query: Tensor) -> Tensor:
        """The queries, to be scored at temperature 1."""
        return query * (-self.log).exp()

    def step(self) -> None:
        """One update, after the backward pass."""
        self._updater.step()

    def state(self) -> dict[str, Tensor]:
        """The state, for ``restore``."""
        return {"log": self.log.detach()} | {name: slot for name, slot, _ in self._updater.slots()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what ``state`` returned."""
        for name, value in self.state().items():
            value.copy_(state[name])

    @property
    def value(self) -> float:
        """The current temperature."""
        return math.exp(float(self.log.detach()))
