"""The report of a training run: one record per epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from shortlist._above import room_above
from shortlist.display import Tabular, frame_html
from shortlist.display.html import ROWS
from shortlist.language import WIDTH, columns, counted, padded

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

    def __repr__(self) -> str:
        last = f" · loss {self[-1].loss:.4f} (chance {self[-1].chance:.4f})" if self.epochs else ""
        return f"TrainingHistory({counted(len(self), 'epoch')}{last} · the model holds epoch {self.best})"

    def __str__(self) -> str:
        """A row per epoch, at most 80 columns wide: figures that do not fit are in rows below."""
        end = [f"stopped early; the model holds epoch {self.best}"] if self.stopped_early else []
        return "\n".join([*_table(self.epochs), *end])

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


def _table(epochs: Sequence[Epoch]) -> list[str]:
    """A head and a row per epoch, in as many blocks of columns as the width needs; each begins with the epoch."""
    cells: dict[str, list[str]] = {
        "loss": [f"{one.loss:.4f}" for one in epochs],
        "chance": [f"{one.chance:.4f}" for one in epochs],
    }
    if any(one.temperature is not None for one in epochs):
        cells["temperature"] = ["–" if one.temperature is None else f"{one.temperature:.4f}" for one in epochs]
    for name in dict.fromkeys(name for one in epochs for name in one.metrics):
        cells[name] = [f"{one.metrics[name]:.4f}" if name in one.metrics else "–" for one in epochs]
    cells["examples/s"] = [f"{one.examples_per_second:,.0f}" for one in epochs]
    numbers = [str(one.number) for one in epochs]
    lines: list[str] = []
    block = [_aligned("epoch", numbers)]
    for name, values in cells.items():
        column = _aligned(name, values, "  ")
        if sum(columns(one[0]) for one in (*block, column)) > WIDTH:
            lines += [*map("".join, zip(*block, strict=True)), ""]
            block = [_aligned("epoch", numbers)]
        block.append(column)
    return [*lines, *map("".join, zip(*block, strict=True))]


def _aligned(name: str, values: Sequence[str], before: str = "") -> list[str]:
    """A column with its name above, as wide as its longest cell."""
    width = max(map(columns, [name, *values]))
    return [f"{before}{padded(cell, width, right=True)}" for cell in (name, *values)]
