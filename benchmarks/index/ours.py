"""Our steps, each in a process of its own: build and save; tune; load and time."""

import json
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.index import data
from benchmarks.ours import describe as describe_product
from benchmarks.worker import peak_rss_bytes
from shortlist.index import BruteForce, ScaNN
from shortlist.index.recall import query_recalls, recall_of
from shortlist.tuning.tuner import QueryHalves, Tuner

SIZES = {1_000_000: {"dim": 64, "k": 10}, 10_000_000: {"dim": 32, "k": 100}}
RECALL = 0.95
BUILDS = {
    1_000_000: {"leaves": 4_000, "dims_per_code": 1},
    10_000_000: {"soar": 0, "dims_per_code": 1},
}  # twice listed would take twice as long


def describe() -> dict:
    """Returns versions and threads."""
    from importlib.metadata import version

    return {
        "versions": {**describe_product()["versions"], "scann": version("scann")},
        "threads": {"search": 1},
    }


def build(place: Path, settings: dict) -> dict:
    """Builds and saves ScaNN; returns seconds, peak memory and sizes."""
    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    started, spent = time.perf_counter(), time.process_time()
    index = ScaNN(**settings).build(vectors)
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    peak = peak_rss_bytes() / 1e9
    started = time.perf_counter()
    index.save(place / "scann")
    return {
        "build_seconds": seconds,
        "build_processor_seconds": spent,
        "load": os.getloadavg()[0],
        "build_memory_gb": peak,
        "save_seconds": time.perf_counter() - started,
        "index_gb": index.nbytes / 1e9,
        "settings": index.settings(),
    }


def loaded(place: Path, k: int) -> tuple[ScaNN, float]:
    """Returns the saved index and the seconds from its load to its first answer."""
    query = data.halves(place)[0][:1]
    started = time.perf_counter()
    index = ScaNN.load(place / "scann")
    index.search(query, k)
    return index, time.perf_counter() - started


def tune(place: Path, k: int, say=print) -> dict:
    """Returns the saved index's settings at search that keep the promise on the tuning half, the curve, and the time."""
    index, _ = loaded(place, k)
    started = time.perf_counter()
    run = Tuner(_trial(place, k), index, index.with_settings(leaves_to_search=None, reorder=None), 0.0, None, say, {})
    run.tune("scann")
    if run.winner is None:
        raise RuntimeError(f"no setting at search keeps recall@{k} >= {RECALL}")
    return {
        "k": k,
        "tune_seconds": time.perf_counter() - started,
        "settings": {name: run.winner.index.settings()[name] for name in ScaNN.at_search},
        "curve": [
            {"recall": point.recall.mean, "milliseconds": point.milliseconds, "keeps": point.keeps}
            for point in sorted(run.points, key=lambda point: point.recall.mean)
        ],
    }


def _trial(place: Path, k: int) -> QueryHalves:
    halves, kth = data.halves(place), data.truth(place, k)
    return QueryHalves(RECALL, k, *halves, *kth)


def scann(_: Path, parameters: dict):
    """The side of the race: tuned ScaNN, a held-out query at a time on one core."""
    place, k = Path(parameters["data"]), parameters["k"]
    index, load_seconds = loaded(place, k)
    took = json.loads((place / "tuned.json").read_text())
    index = index.with_search(**took["settings"])
    built = json.loads((place / "build.json").read_text())
    held, kth = data.halves(place)[1], data.truth(place, k)[1]

    def run() -> dict:
        recall = recall_of(query_recalls(index, held, kth, k), k)
        return {
            **one_core(index, held, k),
            "missed": 1 - recall.mean,
            "recall_lower": recall.lower,
            "worst_5": recall.worst_5,
            "worst_1": recall.worst_1,
            **{
                name: built[name]
                for name in ("build_seconds", "build_processor_seconds", "build_memory_gb", "save_seconds")
            },
            "load_seconds": load_seconds,
            "tune_seconds": took["tune_seconds"],
            **took["settings"],
        }

    return run


def exact(_: Path, parameters: dict):
    """Exact search of this product over the same vectors, a query at a time, on one core and on all."""
    place, k = Path(parameters["data"]), parameters["k"]
    index = BruteForce().build(np.load(place / "vectors.npy"))
    held = data.halves(place)[1][: parameters["exact_queries"]]

    def run() -> dict:
        return {**one_core(index, held, k), "milliseconds_all_cores": _median(index, held, k)[0]}

    return run


def one_core(index, queries: np.ndarray, k: int) -> dict:
    """Returns median and 99th percentile of a query alone, in milliseconds, all threads on one core."""
    cores = os.sched_getaffinity(0)
    try:
        for task in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(task), {min(cores)})
        median, tail = _median(index, queries, k)
    finally:
        for task in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(task), cores)
    return {"milliseconds": median, "milliseconds_99": tail}


def _median(index, queries: np.ndarray, k: int) -> tuple[float, float]:
    times = []
    index.search(queries[:1], k)
    for query in queries:
        started = time.perf_counter()
        index.search(query[None, :], k)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3, float(np.percentile(times, 99)) * 1e3
