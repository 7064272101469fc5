"""An epoch of SASRec next to RecTools and RePlay: the same table, size, length, loss over the whole catalogue, and batch.

A side is timed on a part of an epoch, the same number of batches on all sides, and the time is multiplied up to the epoch:

1. It starts from fresh weights; batches before the timed ones warm it up.
2. A peer draws its batches from the whole table. It pads every sequence to the model's length, so each costs the same.
3. Ours costs by the pair, and by how long their histories are. Its part has every n-th sequence in order of length, so that
   long and short ones occur as in the whole, and its time is multiplied by the pairs of the whole.

Peers are in `peers/NAME/epoch.py`.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

import shortlist as sl
from benchmarks.ours import describe

__all__ = ["describe", "evenly", "ours"]


class Part(NamedTuple):
    """Sequences of a table, in so many batches, and the pairs of the whole table."""

    train: sl.Dataset
    batches: int
    pairs: int


def ours(data: Path, parameters: dict):
    """`fit` on as many sequences as the peers have in their batches; the time of an epoch is that of its batches alone."""
    parts = {name: part(data, name, table, parameters) for name, table in parameters["tables"].items()}

    def run() -> dict:
        return {key: value for name in parts for key, value in timed(name, parts[name], parameters).items()}

    run()
    return run


def timed(name: str, part: Part, parameters: dict) -> dict[str, float]:
    """Returns seconds of an epoch of the whole table, seconds of all threads, and the mean loss of the batches."""
    marks: list[tuple[int, float, float]] = []  # after each batch: pairs done, by the clock, and of the processor
    epoch = sl.fit(
        _model(parameters["tables"][name]["length"], parameters),
        part.train,
        task=sl.Retrieval(negatives=sl.WholeCatalogue()),
        optimizer=sl.Adam(parameters["learning_rate"]),
        epochs=1,
        batch_size=-(-len(part.train) // part.batches),
        seed=parameters["seed"],
        on_batch=lambda done, _: marks.append((done, time.perf_counter(), time.process_time())),
    )[0]
    began, ended = marks[parameters["warm"] - 1], marks[-1]
    pairs, seconds, spent = (end - start for end, start in zip(ended, began, strict=True))
    share = part.pairs / pairs
    return {name: seconds * share, f"{name}: processor": spent * share, f"{name}: loss": epoch.loss}


def part(data: Path, name: str, table: dict, parameters: dict, batches: int | None = None) -> Part:
    """Returns the sequences of ``batches`` batches of a table, by default of those to warm up and those to be timed."""
    user, item = (np.load(data / f"{name}-{column}.npy") for column in ("user", "item"))
    batches = batches or parameters["warm"] + table["batches"]
    here = np.isin(user, evenly(np.bincount(user), parameters["batch_size"] * batches))
    frame = pl.DataFrame({"user": user[here], "item": item[here], "place": np.arange(here.sum())})
    catalogue = pl.DataFrame({"item": np.arange(table["items"])})
    train = sl.Dataset(frame, query="user", candidate="item", candidates=catalogue, timestamp="place")
    return Part(train, batches, len(user))


def evenly(lengths: np.ndarray, count: int) -> np.ndarray:
    """Returns which `count` of the sequences stand at equal distances in order of length; all, where there are fewer."""
    count = min(count, len(lengths))
    order = np.argsort(lengths, kind="stable")
    return order[(2 * np.arange(count) + 1) * len(lengths) // (2 * count)]


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
