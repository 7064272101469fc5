"""When the training of a contender ends before its epochs are over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from shortlist.errors import TrainingError
from shortlist.train.epochs import Epoch

if TYPE_CHECKING:
    from shortlist.choosing.trial import Figure, Trial
    from shortlist.model import TwoTower

__all__ = ["Watch"]

GAIN = 0.005  # of the figure: less than that in two measurements in a row does not count as a gain
REST = 2.0  # times the last gain: about the sum of all later gains if each is two thirds of the last
ERRORS = 2.0  # standard errors of the difference within which the best counts as reached
FEWEST = 3  # measurements before a training counts as behind for good


class Watch:
    """Measures a model as it is trained, and says when to end: for ``fit(validation=watch.measure, on_epoch=watch.ends)``.

    A training ends where

    1. two measurements in a row have gained less than half a percent each: it has converged;
    2. twice its last gain would not bring it to within two standard errors of the best contender so far: alone it cannot win,
       and its share in a mixture is as good as settled;
    3. ``seconds`` are over, the refit included (``refits``), which takes as long again.
    """

    NAME: ClassVar[str] = "figure"

    def __init__(self, trial: Trial, best: Figure | None, seconds: float, refits: bool) -> None:
        self.trial, self.best = trial, best
        now = time.perf_counter()
        self.deadline, self.last_moment = now + seconds / (2 if refits else 1), now + seconds
        self.figures: list[Figure] = []

    def measure(self, model: TwoTower) -> dict[str, float]:
        """The trial's figure of the model."""
        self.figures.append(self.trial.measure(model))
        return {self.NAME: self.figures[-1].value}

    def ends(self, epoch: Epoch) -> bool:
        """Whether training ends after this epoch."""
        if time.perf_counter() > self.deadline and self.figures:
            return True
        return bool(epoch.metrics) and (self.converged or self.behind)

    def on_batch(self, done: int, total: int) -> None:
        """TrainingError if the time is over before anything was measured: the estimate was wrong."""
        if not self.figures and time.perf_counter() > self.last_moment:
            raise TrainingError(
                f"took longer than was left of the budget ({done / max(total, 1):.0%} done)",
                hint="give a longer budget: budget=, --budget",
            )

    @property
    def converged(self) -> bool:
        """Whether the last two measurements have gained next to nothing."""
        values = [one.value for one in self.figures]
        if len(values) < FEWEST:
            return False
        before = max(values[:-2])
        return max(values[-2], before) <= before * (1 + GAIN) and values[-1] <= max(values[:-1]) * (1 + GAIN)

    @property
    def behind(self) -> bool:
        """Whether the best contender so far stays out of reach."""
        if self.best is None or len(self.figures) < FEWEST:
            return False
        last = self.figures[-1]
        lead, error = self.best.lead_over(last)
        to_come = REST * max(last.value - self.figures[-2].value, 0.0)
        return lead - to_come > ERRORS * error
