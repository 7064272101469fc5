"""Runs of every kind on the processor and on the pretended device, as JSON; in a process of its own, since a device is for ever.

python -m tests.congruence.pretend_runs
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import shortlist as sl
from shortlist.train.run import Run

ROWS, EPOCHS, SIZE = 240, 2, 60
Case = Callable[[Any], "list[float]"]


def _table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    user = np.sort(rng.integers(0, 20, ROWS))
    return pl.DataFrame(
        {
            "user": user,
            "item": rng.integers(0, 30, ROWS),
            "time": np.arange(ROWS) * 3600,
            "weight": rng.integers(1, 4, ROWS).astype(np.float32),
            "gender": [["f", "m"][one % 2] for one in user.tolist()],
            "country": [["KR", "FR", "PE"][one % 3] for one in user.tolist()],
            "occupation": [["a", "b"][one % 2] for one in user.tolist()],
            "age": (user * 3.5).astype(np.float32),
            "said": [[int(one) for one in rng.integers(0, 30, 2)] for _ in range(ROWS)],
        }
    )


TABLE = _table()
ITEMS = pl.DataFrame(
    {
        "item": range(30),
        "movie_title": [f"film number {number}" for number in range(30)],
        "genres": [["a", "b"][: number % 3] for number in range(30)],
        "year": range(1980, 2010),
        "title": [f"film number {number}" for number in range(30)],
        "tags": [["a", "b"][: number % 3] for number in range(30)],
        "picture": [[number / 30, 1.0] for number in range(30)],
        "price": [None if number % 7 == 0 else number * 1.5 for number in range(30)],
    }
)
QUERIES = TABLE.group_by("user", maintain_order=True).first().select("user", "country", "age", "gender", "occupation")


def _data(**columns: Any) -> sl.Dataset:
    return sl.Dataset(
        TABLE.drop("country", "age", "gender", "occupation"),
        "user",
        "item",
        queries=QUERIES,
        candidates=ITEMS,
        timestamp="time",
        **columns,
    )


def _model(query: Any = None, candidate: Any = None, **options: Any) -> sl.TwoTower:
    query, candidate = query or [sl.IntegerLookup("user")], candidate or [sl.IntegerLookup("item")]
    return sl.TwoTower(sl.Tower(*query, dim=8, **options), sl.Tower(*candidate, dim=8))


def _fitted(device: Any, model: sl.TwoTower | None = None, data: Any = None, **options: Any) -> list[float]:
    data = data or _data()
    options = {"epochs": EPOCHS, "batch_size": SIZE, **options}
    history = sl.fit(model or _model(), data, device=device, **options)
    return [one.loss for one in history.epochs]


def _task(data: dict[str, Any] | None = None, **options: Any) -> Case:
    return lambda device: _fitted(device, data=_data(**(data or {})), task=sl.Retrieval(**options))


def _features(*query: Any, candidate: Any = None, **options: Any) -> Case:
    return lambda device: _fitted(device, _model([sl.IntegerLookup("user"), *query], candidate, **options))


def _recipe(name: str) -> Case:
    def run(device: Any) -> list[float]:
        recipe = sl.recipes.load(name)
        data = _data()
        _, history = recipe.train(data, epochs=EPOCHS, device=device, **({} if name == "als" else {"batch_size": SIZE}))
        return [one.loss for one in history.epochs]

    return run


def _impressions(device: Any) -> list[float]:
    shown = sl.Dataset(TABLE.select("user", item=(pl.col("item") + 7) % 30), "user", "item")
    return _fitted(device, task=sl.Retrieval(impressions=3), impressions=shown)


def _validated(device: Any) -> list[float]:
    data, test = sl.split_random(_data(), test=0.2, seed=1)
    history = sl.fit(
        _model(),
        data,
        validation=test,
        ks=(1, 5),
        epochs=EPOCHS,
        batch_size=SIZE,
        device=device,
        patience=5,
        exclude_seen=True,
    )
    return [one.loss for one in history.epochs] + [value for one in history.epochs for value in one.metrics.values()]


def _resumed(device: Any) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = sl.Checkpoints(folder, every=3)
        with contextlib.suppress(KeyboardInterrupt):
            _fitted(device, checkpoints=checkpoints, on_batch=_stop, optimizer=sl.Adam())
        return _fitted(device, checkpoints=replace(checkpoints, resume=True), optimizer=sl.Adam())


def _stop(done: int, _: int) -> None:
    if done > ROWS:
        raise KeyboardInterrupt


def _warm(device: Any) -> list[float]:
    before = _model()
    first = _fitted(device, before)
    return first + _fitted(device, warm_start=sl.WarmStart(before))


def _from_disk(**options: Any) -> Case:
    def run(device: Any) -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            TABLE.drop("said", "country", "age", "gender", "occupation").write_parquet(f"{folder}/rows.parquet")
            shards = sl.Shards.encode(
                f"{folder}/rows.parquet",
                Path(folder) / "shards",
                query="user",
                candidate="item",
                weight="weight",
                candidates=ITEMS,
            )
            return _fitted(device, data=shards, task=sl.Retrieval(**options))

    return run


CASES: dict[str, Case] = {
    "plain": _fitted,
    "mask_known": _task(mask_known=True),
    "weights": _task({"weight": "weight"}),
    "log_q": _task(log_q="counts"),
    "streaming log_q": _task(log_q="streaming"),
    "without corrections": _task(remove_accidental_hits=False),
    "learned temperature": _task(learn_temperature=True),
    "smoothed": _task(loss=sl.Softmax(label_smoothing=0.1)),
    "bsl": _task(loss=sl.BSL(), negatives=sl.Sampled(10)),
    "bpr": _task(loss=sl.BPR(), negatives=sl.Sampled(10)),
    "ccl": _task(loss=sl.CCL(), negatives=sl.Mixed(10), mask_known=True),
    "mixed": _task(negatives=sl.Mixed(10), log_q="counts", mask_known=True),
    "whole catalogue": _task(negatives=sl.WholeCatalogue(), mask_known=True),
    "hardest": _task(hardest=4),
    "mined": _task(mined=2),
    "negative column": _task(negative_column="said"),
    "impressions": _impressions,
    "bfloat16": lambda device: _fitted(device, precision="bfloat16"),
    "bfloat16 tables": _features(table_dtype="bfloat16"),
    "rowwise": lambda device: _fitted(device, optimizer=sl.RowwiseAdagrad()),
    "linear schedule": lambda device: _fitted(device, schedule="linear"),
    "start from als": lambda device: _fitted(device, pretrain="als"),
    "category": _features(sl.Category("country")),
    "hashing": _features(sl.Hashing("country", 8)),
    "normalization": _features(sl.Normalization("age")),
    "discretization": _features(sl.Discretization("age", 4)),
    "text": _features(candidate=[sl.IntegerLookup("item"), sl.Text("title", 64)]),
    "multi category": _features(candidate=[sl.IntegerLookup("item"), sl.MultiCategory("tags")]),
    "vector": _features(candidate=[sl.IntegerLookup("item"), sl.Vector("picture")]),
    "missing numbers": _features(candidate=[sl.IntegerLookup("item"), sl.Normalization("price")]),
    "layers": _features(sl.Category("country"), hidden=[8], dropout=0.3, layer_norm=True, cross=1, normalize=True),
    "heads": _features(heads=2),
    "bias": lambda device: _fitted(
        device,
        sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=8), sl.Tower(sl.IntegerLookup("item"), dim=8, bias=True)),
    ),
    **{f"recipe {name}": _recipe(name) for name in sl.recipes.names()},
    "validated": _validated,
    "resumed": _resumed,
    "warm start": _warm,
    "shards": _from_disk(),
    "shards, mask_known": _from_disk(negatives=sl.Mixed(10), mask_known=True),
}


class _Steps:
    """Counts the waits within steps of the last epoch; the first measures what is kept."""

    def __init__(self) -> None:
        self.steps, self.waits = 0, Counter[str]()
        real = Run.step

        from tests.congruence.pretend import waits

        def step(run: Run, chosen: Any, at: Any, rate: float = 1.0) -> None:
            if at.epoch < EPOCHS:
                return real(run, chosen, at, rate)
            with waits() as counted:
                real(run, chosen, at, rate)
            self.steps += 1
            self.waits += counted
            return None

        self.step = step


def outcome(case: Case) -> dict[str, Any]:
    """What the case gives on both devices, and what its steps wait for."""
    from tests.congruence.pretend import DEVICE, waits  # from here on this process has the device

    warnings.simplefilter("ignore")
    expected = case("cpu")
    counting, real = _Steps(), Run.step
    Run.step = counting.step  # type: ignore[method-assign]
    try:
        with waits():
            found = case(str(DEVICE))
    finally:
        Run.step = real  # type: ignore[method-assign]
    return {"expected": expected, "found": found, "steps": counting.steps, "waits": dict(counting.waits)}


def of_the_device() -> dict[str, Any]:
    """Whether a call with tensors of two devices raises, and which of its calls the device counts as waits."""
    import torch
    from tests.congruence.pretend import DEVICE, MixedDevicesError, waits

    one, other, raised = torch.ones(3).to(DEVICE), torch.ones(3), False
    try:
        one + other
    except MixedDevicesError:
        raised = True
    with waits() as counted:
        (one * 2).sum().item()
        one.cpu()
        one.tolist()
        one[one > 0]
        torch.nonzero(one)
        torch.unique(one)
        torch.bincount(one.long())
    return {"raised": raised, "waits": sorted(reason.partition(" at ")[0] for reason in counted.elements())}


def main() -> None:
    """Prints the outcome of each case, and what the device itself does."""
    outcomes: dict[str, Any] = {}
    chosen = sys.argv[1:] or list(CASES)
    for name, case in ((one, CASES[one]) for one in chosen):
        try:
            outcomes[name] = outcome(case)
        except Exception as error:
            frames = [one for one in traceback.extract_tb(error.__traceback__) if "/src/shortlist/" in one.filename]
            place = f"{frames[-1].filename.rpartition('/shortlist/')[2]}:{frames[-1].lineno}" if frames else "the tests"
            outcomes[name] = {"error": f"{type(error).__name__} at {place}: {error}"[:400]}
    print(json.dumps({"cases": outcomes, "device": of_the_device()}))  # noqa: T201


if __name__ == "__main__":
    main()
