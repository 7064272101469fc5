"""Our steps, each in a process of its own: build and save; tune; load and time."""

import contextlib
import json
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.index import data
from benchmarks.ours import describe as describe_product
from benchmarks.worker import peak_rss_bytes
from shortlist.index import BruteForce, Quantized, ScaNN, load_index
from shortlist.index.approximate import ApproximateIndex
from shortlist.index.recall import query_recalls, recall_of
from shortlist.tuning.tuner import QueryHalves, Tuner

SIZES = {
    50_000: {"dim": 64, "k": 10, "recall": 0.97},
    200_000: {"dim": 64, "k": 10, "recall": 0.97},
    1_000_000: {"dim": 64, "k": 10, "recall": 0.95},
    10_000_000: {"dim": 32, "k": 100, "recall": 0.95},
    50_000_000: {"dim": 32, "k": 100, "recall": 0.95},
}
BUILDS = {
    50_000: Quantized(),
    200_000: Quantized(),
    1_000_000: ScaNN(leaves=4_000, dims_per_code=1),
    10_000_000: ScaNN(soar=0, dims_per_code=1),  # twice listed would take twice as long
    50_000_000: ScaNN(leaves=8_000, dims_per_code=1),
}
MAPPED = 4 << 30  # bytes of vectors from which they stay on disk


def describe() -> dict:
    """Returns versions and threads."""
    from importlib.metadata import version

    return {
        "versions": {**describe_product()["versions"], **{name: version(name) for name in ("turbovec", "scann")}},
        "threads": {"search": 1},
    }


def build(place: Path, unbuilt: ApproximateIndex) -> dict:
    """Builds and saves an index; returns seconds, peak memory and sizes."""
    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    started, spent = time.perf_counter(), time.process_time()
    index = unbuilt.build(vectors)
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    peak = peak_rss_bytes() / 1e9
    started = time.perf_counter()
    index.save(place / index.kind)
    return {
        "build_seconds": seconds,
        "build_processor_seconds": spent,
        "load": os.getloadavg()[0],
        "build_memory_gb": peak,
        "save_seconds": time.perf_counter() - started,
        "index_gb": index.nbytes / 1e9,
        "settings": index.settings(),
    }


def loaded(place: Path, k: int) -> tuple[ApproximateIndex, float]:
    """Returns the index of the last build and the seconds from its load to its first answer."""
    query = data.halves(place)[0][:1]
    kind = json.loads((place / "build.json").read_text())["settings"]["kind"]
    started = time.perf_counter()
    index = load_index(place / kind)
    index.search(query, k)
    return index, time.perf_counter() - started


def tune(place: Path, k: int, recall: float, which: str, say=print) -> dict:
    """Returns the saved index's settings at search that keep the promise on the tuning half, the curve, and the time."""
    index, _ = loaded(place, k)
    started = time.perf_counter()
    trial = QueryHalves(recall, k, *data.halves(place, which), *data.truth(place, k, which))
    run = Tuner(trial, index, index.with_settings(**dict.fromkeys(index.at_search)), 0.0, None, say, {})
    run.tune(index.kind)
    if run.winner is None:
        raise RuntimeError(f"no setting at search keeps recall@{k} >= {recall}")
    return {
        "k": k,
        "tune_seconds": time.perf_counter() - started,
        "settings": {name: run.winner.index.settings()[name] for name in index.at_search},
        "curve": [
            {"recall": point.recall.mean, "milliseconds": point.milliseconds, "keeps": point.keeps}
            for point in sorted(run.points, key=lambda point: point.recall.mean)
        ],
    }


def tuned_file(place: Path, which: str) -> Path:
    """Returns where the settings for queries inside or outside the distribution are kept."""
    return place / ("tuned.json" if which == "inside" else f"tuned-{which}.json")


def tuned(_: Path, parameters: dict):
    """The side of the race: the tuned index, a held-out query at a time on one core."""
    place, k, which = Path(parameters["data"]), parameters["k"], parameters["queries"]
    index, load_seconds = loaded(place, k)
    took = json.loads(tuned_file(place, which).read_text())
    index = index.with_search(**took["settings"])
    built = json.loads((place / "build.json").read_text())
    held, kth = data.halves(place, which)[1], data.truth(place, k, which)[1]

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
    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    index = BruteForce().build(vectors if vectors.nbytes >= MAPPED else np.array(vectors))
    held = data.halves(place, parameters["queries"])[1][: parameters["exact_queries"]]

    def run() -> dict:
        return {**one_core(index, held, k), "milliseconds_all_cores": _median(index, held, k)[0]}

    return run


def one_core(index, queries: np.ndarray, k: int) -> dict:
    """Returns median and 99th percentile of a query alone, in milliseconds, all threads on one core."""
    cores = os.sched_getaffinity(0)
    try:
        pin_threads({min(cores)})
        median, tail = _median(index, queries, k)
    finally:
        pin_threads(cores)
    return {"milliseconds": median, "milliseconds_99": tail}


def pin_threads(cores: set[int]) -> None:
    """Lets every thread of this process run on these cores alone; one may end while they are listed."""
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task), cores)


def _median(index, queries: np.ndarray, k: int) -> tuple[float, float]:
    times = []
    index.search(queries[:1], k)
    for query in queries:
        started = time.perf_counter()
        index.search(query[None, :], k)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3, float(np.percentile(times, 99)) * 1e3
