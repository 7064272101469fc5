"""The report of a training run: one record per epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from shortlist._above import room_above
from shortlist.display import Tabular, frame_html
from shortlist.display.html import ROWS

__all__ = ["Epoch", "TrainingHistory"]


@dataclass(frozen=True)
class Epoch:
    """One pass over the training data. Checkpoints store these fields, so a new one needs a default.

    Attributes:
        loss: mean per example (weighted, where there are weights), in nats.
        chance: the loss of a model that scores every candidate alike; without corrections the mean of ln(batch size).
        seconds: training alone, validation left out.
        metrics: validation figures, empty in epochs without validation.
        temperature: None unless it is learned.
    """

    number: int
    loss: float
    chance: float
    seconds: float
    examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    temperature: float | None = None

    @property
    def examples_per_second(self) -> float:
        return self.examples / max(self.seconds, 1e-9)

    def __str__(self) -> str:
        figures = "".join(f"  {name} {value:.4f}" for name, value in self.metrics.items())
        if self.temperature is not None:
            figures = f"  temperature {self.temperature:.4f}{figures}"
        return (
            f"epoch {self.number}  loss {self.loss:.4f} (chance {self.chance:.4f}){figures}"
            f"  {self.examples_per_second:,.0f} examples/s"
        )


@dataclass(frozen=True)
class TrainingHistory(Tabular):
    """Every epoch of a run, in order.

    Attributes:
        epochs: the epochs.
        best: the number of the epoch whose weights the model holds.
        stopped_early: whether ``patience`` ended the run.
    """

    epochs: tuple[Epoch, ...]
    best: int
    stopped_early: bool = False

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __getitem__(self, index: int) -> Epoch:
        return self.epochs[index]

    def __str__(self) -> str:
        end = f"\nstopped early; the model holds epoch {self.best}" if self.stopped_early else ""
        return "\n".join(map(str, self.epochs)) + end

    @property
    def seconds(self) -> float:
        """Training time of all epochs, validation left out."""
        return sum(epoch.seconds for epoch in self.epochs)

    def to_frame(self) -> pl.DataFrame:
        """A row per epoch: number, loss, chance, seconds, examples, and a column per metric."""
        return pl.DataFrame(
            [
                {
                    "epoch": epoch.number,
                    "loss": epoch.loss,
                    "chance": epoch.chance,
                    "seconds": epoch.seconds,
                    "examples": epoch.examples,
                    **epoch.metrics,
                }
                for epoch in self.epochs
            ],
            infer_schema_length=None,
        )

    def plot(self) -> Any:
        """A chart of loss and chance by epoch, and of the validation metrics where there are some.

        Without altair it is a chart that notebooks draw, with ``to_dict`` (Vega-Lite) and ``save("training.html")``.
        """
        return room_above("plots").history_plot(self)

    def _repr_html_(self) -> str:
        """The last epochs; the one that the model holds is named below."""
        frame = self.to_frame()
        notes = [f"the model holds epoch {self.best}{' (stopped early)' if self.stopped_early else ''}"]
        if len(frame) > ROWS:
            notes.insert(0, f"the last {ROWS} of {len(frame):,} epochs")
        return frame_html("TrainingHistory", frame.tail(ROWS), notes)
