"""A short run with checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl

EPOCHS, SIZE, ROWS = 3, 64, 500  # 8 batches an epoch, the last of them short


class StoppedError(Exception):
    """What ends a run in these tests."""


def rows() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "user": generator.integers(0, 30, ROWS),
            "item": generator.integers(0, 20, ROWS),
            "time": np.arange(ROWS),
            "weight": generator.integers(1, 4, ROWS).astype(np.float32),
        }
    )


def data(**columns: str) -> sl.Dataset:
    return sl.Dataset(rows(), query="user", candidate="item", **columns)


def model(**options) -> sl.TwoTower:
    query = sl.Tower(sl.IntegerLookup("user"), dim=4, hidden=[4], dropout=0.3, **options)
    return sl.TwoTower(query=query, candidate=sl.Tower(sl.IntegerLookup("item"), dim=4))


def ids() -> sl.TwoTower:
    return sl.TwoTower(
        query=sl.Tower(sl.IntegerLookup("user"), dim=4), candidate=sl.Tower(sl.IntegerLookup("item"), dim=4)
    )


def sequences() -> sl.TwoTower:
    history = sl.History(encoder="transformer", length=8, dropout=0.2)
    return sl.TwoTower(query=sl.Tower(history, dim=4), candidate=sl.Tower(sl.IntegerLookup("item"), dim=4))


RUNS = {
    "plain": (model, {}, {}),
    "adam": (model, {"optimizer": sl.Adam(0.01)}, {}),
    "rowwise": (model, {"optimizer": sl.RowwiseAdagrad(0.1)}, {}),
    "bfloat16 tables": (lambda: model(table_dtype="bfloat16"), {"optimizer": sl.Adam(0.01)}, {}),
    "weights": (model, {}, {"weight": "weight"}),
    "histories": (sequences, {"optimizer": sl.AdamW(0.01)}, {"timestamp": "time"}),
    "streaming log Q": (model, {"task": sl.Retrieval(log_q="streaming")}, {}),
    "sampled": (model, {"task": sl.Retrieval(negatives=sl.Mixed(8), log_q="counts")}, {}),
    "mined": (model, {"task": sl.Retrieval(mined=2)}, {}),
    "pretrained": (ids, {"optimizer": sl.AdamW(0.01), "schedule": "linear", "pretrain": "als"}, {}),
    "learned temperature": (model, {"task": sl.Retrieval(learn_temperature=True)}, {}),
}


def trained(run: str, **options):
    """A model trained by one of the runs, and its history."""
    build, given_options, columns = RUNS[run]
    made = build()
    history = sl.fit(made, data(**columns), epochs=EPOCHS, batch_size=SIZE, **{**given_options, **options})
    return made, history


def stopped(run: str, after: int, folder: Path, every: int, **options) -> None:
    """A run that ends within its batch ``after``."""
    batches = 0

    def count(done: int, total: int) -> None:
        nonlocal batches
        batches += 1
        if batches > after:
            raise StoppedError

    with pytest.raises(StoppedError):
        trained(run, checkpoints=sl.Checkpoints(folder, every=every, resume=True), on_batch=count, **options)


def assert_same(one, other) -> None:
    for (name, first), second in zip(one[0].state_dict().items(), other[0].state_dict().values(), strict=True):
        assert torch.equal(first, second), name
    for first, second in zip(one[1], other[1], strict=True):
        assert (first.loss, first.chance, first.metrics, first.temperature) == (
            second.loss,
            second.chance,
            second.metrics,
            second.temperature,
        )
