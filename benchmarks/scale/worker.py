"""One measurement in a process of its own: `python -m benchmarks.scale.worker TASK JSON`; the result on stdout."""

import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import polars as pl
import torch

import shortlist as sl
from benchmarks.scale.data import COLUMNS
from shortlist.data.source import AT_ONCE

OPTIMIZERS = {"Adagrad": lambda: sl.Adagrad(0.05), "RowwiseAdagrad": lambda: sl.RowwiseAdagrad(0.05)}


class Enough(Exception):  # noqa: N818
    """Raised by a callback when it has seen enough."""


def encode(source: str, shards: str) -> dict:
    """Encodes, and returns how long it took."""
    started = time.perf_counter()
    data = sl.Shards.encode(source, shards, **COLUMNS, overwrite=True)
    seconds = time.perf_counter() - started
    size = sum(file.stat().st_size for file in Path(shards).iterdir())
    return {
        "rows": len(data),
        "queries": len(data.queries),
        "candidates": len(data.candidates),
        "seconds": seconds,
        "bytes": size,
        "rows_at_once": AT_ONCE,
    }


def another_day(source: str, shards: str, share: float = 0.01) -> dict:
    """Encodes, then encodes a further file of a share of the rows, in which one id in fifty is new; returns both times."""
    with tempfile.TemporaryDirectory(dir=Path(shards).parent) as place:
        log = Path(place) / "log"
        log.mkdir()
        files = sorted(Path(source).glob("*.parquet"))
        for file in files:
            os.link(file, log / file.name)
        started, used = time.perf_counter(), time.process_time()
        first = sl.Shards.encode(log, Path(place) / "shards", **COLUMNS)
        seconds, processor = [time.perf_counter() - started], [time.process_time() - used]
        rows = int(share * len(first))
        day = pl.scan_parquet(files[0]).head(rows).with_columns(new=pl.int_range(pl.len()) % 50 == 0).collect()
        fresh = pl.int_range(pl.len()) + 10**12
        day = day.with_columns(pl.when("new").then(fresh).otherwise(name).alias(name) for name in COLUMNS.values())
        day.drop("new").write_parquet(log / "999.parquet", compression="lz4", statistics=False)
        started, used = time.perf_counter(), time.process_time()
        data = sl.Shards.encode(log, Path(place) / "shards", **COLUMNS, grow=True)
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    assert len(data) == len(first) + rows
    added = {
        "queries": len(data.queries) - len(first.queries),
        "candidates": len(data.candidates) - len(first.candidates),
    }
    return {
        "rows": len(first), "added_rows": rows, "added": added, "first_seconds": seconds[0], "seconds": seconds[1],
        "first_processor_seconds": processor[0], "processor_seconds": processor[1],
    }  # fmt: skip


def train(
    shards: str, dim: int = 16, batch: int = 1024, seconds: float = 20, optimizer: str = "Adagrad", dtype: str = "float32",
    on_disk: bool = False, whole: bool = False,
) -> dict:  # fmt: skip
    """Trains an epoch from shards, or so many seconds of it, and returns the speed of all but the first twentieth."""
    started = time.perf_counter()
    data = sl.Shards.load(shards)
    loaded = time.perf_counter() - started
    with tempfile.TemporaryDirectory(dir=Path(shards).parent) as folder:
        model = towers(dim, dtype, folder if on_disk else None)
        result = timed(model, data, batch, OPTIMIZERS[optimizer](), None if whole else seconds)
    tables = [part for part in model.modules() if hasattr(part, "touched")]
    return {**result, "rows": len(data), "queries": len(data.queries), "candidates": len(data.candidates), "load_seconds": loaded,
            "tables": sum(table.weight.nbytes for table in tables)}  # fmt: skip


def ratio(source: str, shards: str, dim: int = 16, batch: int = 1024, seconds: float = 20, runs: int = 3) -> dict:
    """Trains from memory and from disk in turn, and returns both speeds and the ratio of each pair."""
    memory, disk = sl.Dataset(source, "user_id", "item_id"), sl.Shards.load(shards)
    speeds: dict[str, list[float]] = {"memory": [], "disk": []}
    for _ in range(runs):
        for name, data in (("memory", memory), ("disk", disk)):
            speeds[name].append(timed(towers(dim), data, batch, OPTIMIZERS["Adagrad"](), seconds)["speed"])
    ratios = [there / here for here, there in zip(speeds["memory"], speeds["disk"], strict=True)]
    return {"rows": len(disk), **speeds, "ratios": ratios}


def histories(rows: int, users: int, items: int, seconds: float = 20, runs: int = 3) -> dict:
    """Trains the recipe `sequence` from memory and from disk in turn, and returns both speeds and the ratio of each pair."""
    rng = np.random.default_rng([rows, users, items])
    frame = pl.DataFrame({
        "user_id": (users * rng.random(rows) ** 1.5).astype(np.int64),
        "item_id": (items * rng.random(rows) ** 2.5).astype(np.int64),
        "time": rng.integers(0, 10**7, rows),
    })  # fmt: skip
    columns = {**COLUMNS, "timestamp": "time"}
    with tempfile.TemporaryDirectory() as place:
        frame.write_parquet(Path(place) / "log.parquet")
        memory = sl.Dataset(frame, **columns)
        disk = sl.Shards.encode(Path(place) / "log.parquet", Path(place) / "shards", **columns)
        disk = disk.with_buffer(rows // 4)  # so that it is read as what does not fit is
        recipe = sl.recipes.load("sequence")
        speeds: dict[str, list[float]] = {"memory": [], "disk": []}
        for _ in range(runs):
            for name, data in (("memory", memory), ("disk", disk)):
                model, task = recipe.build_model(data), recipe.task()
                size = int(recipe.fit.batch_size)
                speeds[name].append(timed(model, data, size, recipe.build_optimizer(), seconds, task)["speed"])
    ratios = [there / here for here, there in zip(speeds["memory"], speeds["disk"], strict=True)]
    return {"rows": rows, "users": users, "items": items, **speeds, "ratios": ratios}


def plan(source: str, dim: int = 16, batch: int = 1024, sample: int = 2_000_000) -> dict:
    """Forecasts, and returns what was said and how long it took."""
    from shortlist.data.shards import find
    from shortlist.train.forecast import forecast

    changes = {"model.dim": dim, "fit.batch_size": batch, "optimizer": {"name": "Adagrad", "learning_rate": 0.05}}
    started = time.perf_counter()
    found = forecast(find(source), sl.recipes.load("factorization", changes), COLUMNS, sample=sample)
    return {**found.to_dict(), "seconds": time.perf_counter() - started}


def shuffle(seeds: int = 5) -> dict:
    """Trains MovieLens-100k sorted by user with buffers of several sizes, and returns the accuracy of every seed."""
    train, test = sl.split_random(sl.datasets.movielens("100k"), test=0.2, seed=42)
    frame = train.interactions.sort("user_id").select("user_id", item_id="movie_title")
    items = frame.select("item_id").unique()
    tested = test.interactions.select("user_id", item_id="movie_title").join(items, on="item_id", how="semi")
    given = {"queries": frame.select("user_id").unique(), "candidates": items}
    validation = sl.Dataset(tested, "user_id", "item_id", **given)
    with tempfile.TemporaryDirectory() as place:
        frame.write_parquet(Path(place) / "log.parquet")
        options = {**COLUMNS, **given, "block_rows": 128}
        shards = sl.Shards.encode(Path(place) / "log.parquet", Path(place) / "a", piece_rows=128 * 80, **options)
        apart = sl.Shards.encode(Path(place) / "log.parquet", Path(place) / "b", piece_rows=128, **options)
        ways = {
            f"buffer of {share:.0%}": shards.with_buffer(int(len(shards) * share)) for share in (1.0, 0.25, 0.1, 0.05)
        }
        ways["buffer of 10%, shards not shuffled"] = apart.with_buffer(len(shards) // 10)
        found = {way: [accuracy(data, validation, seed) for seed in range(seeds)] for way, data in ways.items()}
    return {way: {"top_100": values, "mean": mean(values), "sd": stdev(values)} for way, values in found.items()}


def accuracy(train: sl.Shards, validation: sl.Dataset, seed: int) -> float:
    """Returns top 100 after five epochs of matrix factorisation."""
    sides = [sl.Tower(sl.StringLookup(name), dim=16) for name in ("user_id", "item_id")]
    history = sl.fit(
        sl.TwoTower(*sides), train, validation=validation, optimizer=sl.Adagrad(0.1), task=sl.Retrieval(log_q="counts"),
        epochs=5, batch_size=2048, seed=seed, validate_every=5, ks=(100,),
    )  # fmt: skip
    return history[-1].metrics["top_100"]


def towers(dim: int, dtype: str = "float32", folder: str | None = None) -> sl.TwoTower:
    """Returns matrix factorisation, not yet built."""
    options = {"dim": dim, "table_dtype": dtype, "table_folder": folder}
    return sl.TwoTower(*(sl.Tower(sl.IntegerLookup(name), **options) for name in ("user_id", "item_id")))


def timed(
    model: sl.TwoTower, data, batch: int, optimizer, seconds: float | None, task: sl.Retrieval | None = None
) -> dict:
    """Trains an epoch, or for so much processor time; returns examples per second of it, without the first twentieth.

    Processor time, of all threads, since other jobs may share the machine; ``speed_by_the_clock`` is what passed.
    """
    ends: list[tuple[float, float, int]] = []

    def on_batch(done: int, total: int) -> None:
        ends.append((time.process_time(), time.perf_counter(), done))
        if seconds is not None and ends[-1][0] - ends[0][0] > seconds:
            raise Enough

    history = None
    with contextlib.suppress(Enough):
        task = task or sl.Retrieval(log_q="counts")
        history = sl.fit(model, data, task=task, optimizer=optimizer, epochs=1, batch_size=batch, on_batch=on_batch)
    used, passed, examples = (last - first for first, last in zip(ends[len(ends) // 20], ends[-1], strict=True))
    found = {
        "examples": ends[-1][2],
        "processor_seconds": ends[-1][0] - ends[0][0],
        "seconds": ends[-1][1] - ends[0][1],
    }
    found |= {"speed": examples / used, "speed_by_the_clock": examples / passed}
    return found if history is None else {**found, "loss": history[-1].loss, "chance": history[-1].chance}


def main() -> None:
    task, options = sys.argv[1], json.loads(sys.argv[2])
    tasks = {
        "encode": encode,
        "another_day": another_day,
        "train": train,
        "ratio": ratio,
        "histories": histories,
        "plan": plan,
        "shuffle": shuffle,
    }
    result = tasks[task](**options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps(
            {**result, "peak_memory": peak, "threads": torch.get_num_threads(), "polars_threads": pl.thread_pool_size()}
        )
    )


if __name__ == "__main__":
    main()
