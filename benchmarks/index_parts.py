"""Parts of the index: exact search, filters, loading. `benchmarks.index` has the race of approximate indexes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.harness import Benchmark, Row, Side
from benchmarks.index import data as clusters

__all__ = ["INDEX_PARTS"]

STORAGES = ("float32", "bfloat16", "int8")
SELECTIVITIES = (0.5, 0.05, 0.005, 0.0005)
SEEN = 1_000


def describe() -> dict:
    """Returns versions and thread counts."""
    from importlib.metadata import PackageNotFoundError, version

    import shortlist as sl
    from shortlist.index.pruning import threads_here

    found = {"shortlist": sl.__version__, "numpy": np.__version__}
    for name in ("scann", "faiss-cpu"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"versions": found, "threads": {"search": threads_here()}}


def _vectors(parameters: dict) -> tuple[np.ndarray, np.ndarray]:
    """Returns vectors and queries, both in memory."""
    place = clusters.write(parameters["n"], parameters["dim"], 2_000)
    return np.load(place / "vectors.npy"), np.load(place / "queries.npy")


def _typical(calls: list[Callable[[], object]]) -> float:
    """Returns the median seconds of the calls."""
    took = []
    for call in calls:
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return median(took)


# Exact search, beside a sum of the same array and beside Faiss's flat index.


def exact(data: Path, parameters: dict):
    """One query at a time, and a batch of 1,000, in every storage."""
    from shortlist.index import BruteForce

    vectors, queries = _vectors(parameters)
    indexes = {storage: BruteForce(storage).build(vectors) for storage in STORAGES}
    batch, k = queries[: parameters["batch"]], parameters["k"]

    def run() -> dict:
        measures = {}
        for storage, index in indexes.items():
            times = parameters["times"]
            single = _typical([lambda i=i, index=index: index.search(queries[i : i + 1], k) for i in range(times)])
            whole = _typical([lambda index=index: index.search(batch, k)])
            prefix = "" if storage == "float32" else f"{storage}: "
            measures |= {f"{prefix}single": 1e3 * single, f"{prefix}batch": whole}
        return measures

    run()
    return run


def plain_sum(data: Path, parameters: dict):
    """`vectors.sum()`: what reading the array once takes."""
    vectors, _ = _vectors(parameters)
    return lambda: {"single": 1e3 * _typical([vectors.sum] * parameters["times"])}


def faiss_flat(data: Path, parameters: dict):
    """Faiss's flat index with as many threads."""
    import faiss

    from shortlist.index.pruning import threads_here

    vectors, queries = _vectors(parameters)
    faiss.omp_set_num_threads(threads_here())
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    batch, k = queries[: parameters["batch"]], parameters["k"]

    def run() -> dict:
        single = _typical([lambda i=i: index.search(queries[i : i + 1], k) for i in range(parameters["times"])])
        return {"single": 1e3 * single, "batch": _typical([lambda: index.search(batch, k)])}

    run()
    return run


# Filters.


def filters(data: Path, parameters: dict):
    """Latency with 1,000 seen items excluded, and with allow lists, beside no filter; exact and ScaNN."""
    from shortlist.index import BruteForce, Lists, ScaNN

    vectors, queries = _vectors(parameters)
    n, k, times = len(vectors), parameters["k"], parameters["times"]
    indexes = {"exact": BruteForce().build(vectors), "scann": ScaNN().build(vectors)}
    rng = np.random.default_rng(3)
    best = [indexes["exact"].search(queries[i : i + 1], SEEN).ids for i in range(times)]
    seen = {
        "seen": [Lists.of([rng.choice(n, SEEN, replace=False)]) for _ in range(times)],
        "seen, the best": [Lists.of([ids]) for ids in best],
    }
    allowed = {share: rng.choice(n, max(1, round(n * share)), replace=False) for share in SELECTIVITIES}

    def run() -> dict:
        measures = {}
        for name, index in indexes.items():
            # In turn, so that whatever else the machine does meets all alike.
            asks = {"plain": lambda i, index=index: index.search(queries[i : i + 1], k)}
            for what, lists in seen.items():
                asks[what] = lambda i, index=index, lists=lists: index.search(queries[i : i + 1], k, exclude=lists[i])
            for share, ids in allowed.items():
                asks[f"{share:.2%}"] = lambda i, index=index, ids=ids: index.search(queries[i : i + 1], k, allow=ids)
            took: dict[str, list[float]] = {what: [] for what in asks}
            for i in range(times):
                for what, ask in asks.items():
                    took[what].append(_typical([lambda i=i, ask=ask: ask(i)]))
            plain = median(took["plain"])
            for what, seconds in took.items():
                measures[f"{name}: {what}"] = 1e3 * median(seconds)
            for what in seen:
                measures[f"{name}: {what}, ratio"] = median(took[what]) / plain
        return measures

    run()
    return run


def congruence(data: Path, parameters: dict):
    """Random queries under random filters: lists that are not exactly what was asked for."""
    from shortlist.index import BruteForce, Faiss, Lists, ScaNN

    vectors, queries = _vectors(parameters)
    n, k, each = len(vectors), parameters["k"], parameters["each"]
    shares = (0.5, 0.05, 0.005, 0.0005, 1e-5, 2 / n, 1 / n, 0.0)
    indexes = {"exact": BruteForce(), "int8": BruteForce("int8"), "scann": ScaNN(), "ivfpq": Faiss("ivfpq")}
    indexes = {name: index.build(vectors) for name, index in indexes.items()}

    def run() -> dict:
        wrong, lists = dict.fromkeys(indexes, 0), dict.fromkeys(indexes, 0)
        rng = np.random.default_rng(7)
        for number in range(parameters["queries"] // each):
            share = shares[number % len(shares)]
            passes = (
                np.flatnonzero(rng.random(n) < share) if share > 100 / n else rng.choice(n, round(n * share), False)
            )
            asked = queries[rng.choice(len(queries), each)]
            seen = [rng.choice(n, rng.integers(0, 300)) for _ in range(each)]
            seen = [np.concatenate([one, rng.permutation(passes)[:3]]) for one in seen]
            open_ = np.zeros(n, bool)
            open_[passes] = True
            for name, index in indexes.items():
                hits = index.search(asked, k, allow=passes, exclude=Lists.of(seen))
                for barred, (ids, scores) in zip(seen, hits, strict=True):
                    eligible = passes.size - np.count_nonzero(open_[np.unique(barred)])
                    right = ids.size == min(k, eligible) == np.unique(ids).size and (np.diff(scores) <= 0).all()
                    wrong[name] += not (right and open_[ids].all() and not np.isin(ids, barred).any())
                    lists[name] += 1
        return {
            f"{name}: {what}": counts[name] for what, counts in (("wrong", wrong), ("lists", lists)) for name in wrong
        }

    return run


# Loading.


def loading(data: Path, parameters: dict):
    """From a fresh process's import of the library to the first answer, files in the page cache."""
    from shortlist.index import BruteForce

    place = clusters.write(parameters["n"], parameters["dim"], 2_000)
    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    for storage in ("float32", "int8"):
        if not (place / storage / "index.json").exists():
            BruteForce(storage).build(vectors).save(place / storage)

    def run() -> dict:
        measures = {}
        for storage in ("float32", "int8"):
            for verify in ("native", True):
                done = subprocess.run(
                    [sys.executable, "-c", LOAD, str(place), storage, repr(verify)],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                name = storage if verify == "native" else f"{storage}, every checksum"
                measures |= {f"{name}: {key}": value for key, value in json.loads(done.stdout).items()}
        return measures

    return run


LOAD = """
import json, sys, time
import numpy as np
from shortlist.index import load_index
place, storage, verify = sys.argv[1:]
query = np.load(place + "/queries.npy")[:1]
started = time.perf_counter()
index = load_index(place + "/" + storage, verify=eval(verify))
opened = time.perf_counter() - started
index.search(query, 100)
print(json.dumps({"opened": opened, "first answer": time.perf_counter() - started}))
"""

MILLION = {"n": 1_000_000, "dim": 32}
TEN_MILLION = {"n": 10_000_000, "dim": 32}
SMALL = {"n": 20_000, "dim": 32}
CLUSTERED = "Vectors: 2,000 Gaussian clusters of unequal lengths (benchmarks/index/data.py), queries like them."


def _side(function: str) -> Side:
    return Side("benchmarks.index_parts", function)


INDEX_PARTS = {
    "index_exact": Benchmark(
        what="exact search over 1 million × 32: a query at a time, and 1,000 at once",
        dataset=None,
        data={},
        parameters={**MILLION, "k": 10, "batch": 1_000, "times": 40},
        sides={"ours": _side("exact"), "a plain sum": _side("plain_sum"), "faiss flat": _side("faiss_flat")},
        rows=(
            Row("exact: a query, and numpy's sum of the array", "single", "ms", 0.7, peers=("a plain sum",)),
            Row("exact: 1,000 queries", "batch", "s", 3, peers=("faiss flat",)),
            Row("exact: a query", "single", "ms", None, peers=("faiss flat",)),
            *(Row(f"exact, {one}: a query", f"{one}: single", "ms", None) for one in STORAGES[1:]),
            *(Row(f"exact, {one}: 1,000 queries", f"{one}: batch", "s", None) for one in STORAGES[1:]),
        ),
        quick={**SMALL, "times": 5},
        caveats=(
            CLUSTERED,
            "The sum is vectors.sum(), in one thread; its time is what reading the array once takes. The bar is the part "
            "of that bandwidth which a query reaches.",
            "Faiss: IndexFlatIP with as many threads.",
        ),
    ),
    "index_filters": Benchmark(
        what="filters over 1 million × 32, k=100: 1,000 seen items excluded; allow lists of four sizes",
        dataset=None,
        data={},
        parameters={**MILLION, "k": 100, "times": 60},
        sides={"ours": _side("filters")},
        rows=(
            *(
                Row(f"{name}: 1,000 seen items excluded", f"{name}: seen, ratio", "× no filter", 1.3, "at most")
                for name in ("exact", "scann")
            ),
            *(
                Row(f"{name}: the 1,000 best excluded", f"{name}: seen, the best, ratio", "× no filter", None)
                for name in ("exact", "scann")
            ),
            *(
                Row(f"{name}: {what}", f"{name}: {what}", "ms", None)
                for name in ("exact", "scann")
                for what in ("plain", *(f"{share:.2%}" for share in SELECTIVITIES))
            ),
        ),
        runs=3,
        quick={**SMALL, "times": 5},
        caveats=(CLUSTERED, "A percentage is the part of the candidates that the allow list leaves."),
    ),
    "index_congruence": Benchmark(
        what="10,000 random queries over 1 million × 32, selectivities from a half to one in a million and none at all",
        dataset=None,
        data={},
        parameters={**MILLION, "k": 10, "queries": 10_000, "each": 10},
        sides={"ours": _side("congruence")},
        rows=tuple(
            Row(f"{name}: lists with other than min(k, eligible) items", f"{name}: wrong", "lists", 0, "at most")
            for name in ("exact", "int8", "scann", "ivfpq")
        ),
        runs=1,
        quick={**SMALL, "queries": 160},
        caveats=(CLUSTERED, "ScaNN and Faiss (IVF-PQ) with their default settings.", "Each list is checked for its length, order, repeats, and ids that a filter forbids."),
    ),
    "index_load": Benchmark(
        what="exact search over 10 million × 32, memory-mapped: from load to the first answer in a fresh process",
        dataset=None,
        data={},
        parameters=TEN_MILLION,
        sides={"ours": _side("loading")},
        rows=(
            Row("10M, float32: load to first answer", "float32: first answer", "s", 1, "at most"),
            Row("10M, int8: load to first answer", "int8: first answer", "s", 1, "at most"),
            Row("10M, float32: load", "float32: opened", "s", None),
            Row(
                "10M, float32: the same, every checksum compared", "float32, every checksum: first answer", "s", None
            ),
        ),
        quick=SMALL,
        caveats=(CLUSTERED, 'load(verify="native"); files are in the page cache; imports are not timed.'),
    ),
    "index_bundle": Benchmark(
        what="a bundle of 10 million × 32 with exact search: from Recommender.load to the first answer in a fresh process",
        dataset=None,
        data={},
        parameters={**TEN_MILLION, "queries": 100_000},
        sides={"ours": Side("benchmarks.index_bundle", "ours")},
        rows=(
            Row("bundle of 10M: opened", "native: opened", "s", 1, "at most"),
            Row("bundle of 10M: load to first answer", "native: first answer", "s", None),
            Row("bundle of 10M: the same, every file compared", "all: first answer", "s", None),
        ),
        runs=3,
        quick={**SMALL, "queries": 1_000},
        caveats=(
            'Recommender.load(mmap=True): tables are read and compared, plain arrays stay on disk, a sample of the '
            "vectors and the stored requests are looked at. Files are in the page cache; imports are not timed.",
            "Candidates have an id and a training count, no other columns.",
        ),
    ),
    "index_mutations": Benchmark(
        what="5,000 altered and 200 crafted copies of a saved index of each of five backends",
        dataset=None,
        data={},
        parameters={"backends": ["brute_force", "int8", "scann", "hnsw", "ivfpq"], "count": 5_000, "crafted": 200,
                    "seed": 1},
        sides={"ours": Side("benchmarks.index_mutations", "ours")},
        rows=(
            Row("altered: neither refused nor as before", "altered: wrong", "indexes", 0, "at most"),
            Row("crafted: neither read nor rebuilt nor refused", "crafted: wrong", "indexes", 0, "at most"),
            *(Row(f"altered: {name}", f"altered: {name}", "indexes", None) for name in ("refused", "as before")),
            *(
                Row(f"crafted: {name}", f"crafted: {name}", "indexes", None)
                for name in ("sound", "refused", "died", "hung", "rebuilt", "no vectors left")
            ),
        ),
        runs=1,
        quick={"count": 10, "crafted": 10},
        caveats=(
            "Altered: checksums as they were. Crafted: every checksum made right again; a process of its own reads the "
            "folder, and where that fails the index is built from the vectors.",
        ),
    ),
}  # fmt: skip
