"""`python -m benchmarks.everyone`: lists for everybody beside exact search alone, in turn; results/export_all.json.

Exact search answers the same queries, a thousand at a time, with the same seen items left out, and throws its answers
away; `recommend_all` also turns them into ids and writes them as Parquet. `--quick` keeps nothing.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import shortlist as sl
from benchmarks.machine import environment
from shortlist.recommender import export_all

RESULTS = Path(__file__).parent / "results" / "export_all.json"
SIZES = ((50_000, 2_000), (50_000, 20_000), (10_000, 200_000))
K, RUNS = 100, 3


def recommender_of(queries: int, candidates: int) -> sl.Recommender:
    """An untuned model in which every query and candidate occurs; ids are text, five seen items a query."""
    draw = np.random.default_rng(3)
    rows = max(queries * 5, candidates)
    users, items = np.arange(rows) % queries, draw.permutation(rows) % candidates
    table = {"user": [f"user {n}" for n in users], "item": [f"item {n}" for n in items]}
    data = sl.Dataset(table, "user", "item")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("user"), dim=32), sl.Tower(sl.StringLookup("item"), dim=32))
    sl.fit(model, data, epochs=1, batch_size=8192)
    return sl.Recommender(model, index=sl.BruteForce(), seen=data)


def searched(recommender: sl.Recommender) -> float:
    """Seconds of exact search alone."""
    state = recommender.served.state
    rows = np.flatnonzero(state.known)
    started = time.perf_counter()
    for some in np.array_split(rows, -(-len(rows) // export_all.QUERIES_AT_A_TIME)):
        exclude = export_all._seen_of(state.seen, some)
        recommender.index.search(np.ascontiguousarray(state.query_vectors[some]), K, exclude=exclude)
    return time.perf_counter() - started


def written(recommender: sl.Recommender) -> tuple[float, int]:
    """Seconds of writing every list, and the bytes there are then."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        recommender.recommend_all(Path(folder) / "all", K)
        seconds = time.perf_counter() - started
        return seconds, sum(file.stat().st_size for file in (Path(folder) / "all").iterdir())


def measure(queries: int, candidates: int) -> dict:
    """Both in turn."""
    recommender = recommender_of(queries, candidates)
    runs = []
    for _ in range(RUNS):
        search = searched(recommender)
        whole, size = written(recommender)
        runs.append({"search_seconds": search, "recommend_all_seconds": whole, "ratio": search / whole})
    found = {"queries": queries, "candidates": candidates, "k": K, "bytes": size, "runs": runs}
    print(found, file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    before = environment()
    sizes = [(queries // 100, candidates // 100) for queries, candidates in SIZES] if quick else SIZES
    told = {
        "environment": before,
        "command": "python -m benchmarks.everyone",
        "sizes": [measure(*size) for size in sizes],
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(told, indent=1))
    if not quick:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
