"""An epoch of SASRec next to RecTools and RePlay: the same table, size, length, loss over the whole catalogue, and batch.

A side is timed on a part of an epoch, the same number of batches on all sides, and the time is multiplied up to the epoch:

1. It starts from fresh weights; the batches before the timed ones warm it up.
2. Its batches are drawn from the whole table, so that long and short sequences occur as in the whole.
3. A peer pads every sequence to the model's length: its time is multiplied by batches. Ours costs by the pair, and is
   multiplied by pairs.

Peers are in `peers/NAME/epoch.py`.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch

import shortlist as sl
from benchmarks.ours import describe

__all__ = ["describe", "ours"]


class Part(NamedTuple):
    """A table, into how many batches an epoch of it is cut, and how many of these are trained on."""

    train: sl.Dataset
    of_epoch: int
    batches: int


class EnoughError(Exception):
    """Ends a fit after the batches that are timed."""


class Watched(sl.Retrieval):
    """The task, which notes the loss of each batch."""

    def __call__(self, *given: object, **named: object) -> torch.Tensor:
        loss = super().__call__(*given, **named)
        self.noted.append(float(loss.detach()))
        return loss


def ours(data: Path, parameters: dict):
    """`fit` on the whole table, ended after as many batches as the peers have; the time of an epoch is that of its batches alone."""
    parts = {name: part(data, name, table, parameters) for name, table in parameters["tables"].items()}

    def run() -> dict:
        return {key: value for name in parts for key, value in timed(name, parts[name], parameters).items()}

    run()
    return run


def timed(name: str, part: Part, parameters: dict) -> dict[str, float]:
    """Returns seconds of an epoch of the whole table, seconds of all threads, and the mean loss of the batches."""
    marks: list[tuple[int, float, float]] = []  # after each batch: pairs done, by the clock, and of the processor

    def mark(done: int, _: int) -> None:
        marks.append((done, time.perf_counter(), time.process_time()))
        if len(marks) == part.batches:
            raise EnoughError

    task = Watched(negatives=sl.WholeCatalogue())
    object.__setattr__(task, "noted", [])
    with suppress(EnoughError):
        sl.fit(
            _model(parameters["tables"][name]["length"], parameters),
            part.train,
            task=task,
            optimizer=sl.Adam(parameters["learning_rate"]),
            epochs=1,
            batch_size=-(-len(part.train) // part.of_epoch),
            seed=parameters["seed"],
            on_batch=mark,
        )
    began, ended = marks[parameters["warm"] - 1], marks[-1]
    pairs, seconds, spent = (end - start for end, start in zip(ended, began, strict=True))
    share = len(part.train) / pairs
    return {name: seconds * share, f"{name}: processor": spent * share, f"{name}: loss": sum(task.noted) / ended[0]}


def part(data: Path, name: str, table: dict, parameters: dict, batches: int | None = None) -> Part:
    """Returns a table, of which so many batches are trained on: by default those to warm up and those to be timed."""
    user, item = (np.load(data / f"{name}-{column}.npy") for column in ("user", "item"))
    frame = pl.DataFrame({"user": user, "item": item, "place": np.arange(len(user))})
    catalogue = pl.DataFrame({"item": np.arange(table["items"])})
    train = sl.Dataset(frame, query="user", candidate="item", candidates=catalogue, timestamp="place")
    of_epoch = -(-table["users"] // parameters["batch_size"])
    return Part(train, of_epoch, min(of_epoch, batches or parameters["warm"] + table["batches"]))


def _model(length: int, parameters: dict) -> sl.TwoTower:
    history = sl.History(
        encoder="transformer",
        length=length,
        layers=parameters["blocks"],
        heads=parameters["heads"],
        dropout=parameters["dropout"],
    )
    dim = parameters["dim"]
    return sl.TwoTower(query=sl.Tower(history, dim=dim), candidate=sl.Tower(sl.IntegerLookup("item"), dim=dim))
