"""An epoch of SASRec next to RecTools and RePlay: the same table, size, length, loss over the whole catalogue, and batch.

A side is timed on a part of an epoch, the same number of batches on all sides, from fresh weights; the rest of the epoch
costs as much for each batch. Peers are in `peers/NAME/epoch.py`.
"""

import time
from pathlib import Path

import numpy as np
import polars as pl

import shortlist as sl
from benchmarks.ours import describe

__all__ = ["describe", "ours"]


def ours(data: Path, parameters: dict):
    """`fit` on as many sequences as the peers have in their batches; the time of an epoch is that of its batches alone."""
    parts = {name: _part(data, name, table, parameters) for name, table in parameters["tables"].items()}

    def run() -> dict:
        measures = {}
        for name, (train, share, pairs) in parts.items():
            spent = time.process_time()
            epoch = sl.fit(
                _model(parameters["tables"][name]["length"], parameters),
                train,
                task=sl.Retrieval(negatives=sl.WholeCatalogue()),
                optimizer=sl.Adam(parameters["learning_rate"]),
                epochs=1,
                batch_size=pairs,
                seed=parameters["seed"],
            )[0]
            spent = time.process_time() - spent
            measures |= {
                name: epoch.seconds * share,
                f"{name}: processor": spent * share,
                f"{name}: loss": epoch.loss,
            }
        return measures

    run()
    return run


def _part(data: Path, name: str, table: dict, parameters: dict) -> tuple[sl.Dataset, float, int]:
    """Returns the first sequences of a table, how many times as many pairs an epoch has, and the pairs of a batch."""
    user, item = (np.load(data / f"{name}-{column}.npy") for column in ("user", "item"))
    size, batches = parameters["batch_size"], table["batches"]
    here = user < size * batches
    frame = pl.DataFrame({"user": user[here], "item": item[here], "place": np.arange(here.sum())})
    catalogue = pl.DataFrame({"item": np.arange(table["items"])})
    train = sl.Dataset(frame, query="user", candidate="item", candidates=catalogue, timestamp="place")
    return train, len(user) / len(frame), round(len(frame) / batches)


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
