"""`python -m benchmarks.bundle --before CHECKOUT`: a bundle of a million candidates, beside an earlier version of the library.

Each version saves the same model from memory, loads it, and takes in one new candidate, in processes of their own that
take turns; results/bundle.json. The model is not trained: nothing here takes longer for other numbers. Memory is what a
process holds of its own, mapped files left out. Where other work runs on the machine, the seconds of its processors say more
than those of the clock. `--quick` takes a hundredth of the candidates and keeps nothing.
"""

import argparse
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import environment

RESULTS = Path(__file__).parent / "results" / "bundle.json"
ROOT = Path(__file__).parent.parent
CANDIDATES, DIM, QUERIES, RUNS = 1_000_000, 32, 1_000, 3
RATIOS = (
    "bytes",
    *(f"{what} {unit}seconds" for what in ("save", "load", "first upsert") for unit in ("", "processor ")),
)


def measured(candidates: int) -> dict:
    """Returns one version's figures: of the library that this process imports."""
    import numpy as np
    import polars as pl

    import shortlist as sl

    number = np.arange(candidates)
    table = pl.DataFrame(
        {
            "query": pl.Series([f"query {one}" for one in range(QUERIES)])[number % QUERIES],
            "item": pl.Series([f"item {one}" for one in range(candidates)]),
        }
    )
    model = sl.TwoTower(*(sl.Tower(sl.StringLookup(name), dim=DIM) for name in ("query", "item")))
    model.prepare(sl.Dataset(table, "query", "item"))
    recommender = sl.Recommender(model.eval(), index=sl.BruteForce())
    found: dict[str, float] = {}

    def timed(name: str, work):
        wall, processor = time.perf_counter(), time.process_time()
        done = work()
        found[f"{name} seconds"] = time.perf_counter() - wall
        found[f"{name} processor seconds"] = time.process_time() - processor
        return done

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        timed("save", lambda: recommender.save(path))
        files = {file.relative_to(path).as_posix(): file.stat().st_size for file in path.rglob("*") if file.is_file()}
        found["bytes"] = sum(files.values())
        found["bytes of ids"] = sum(size for name, size in files.items() if name.endswith(".parquet"))
        loaded = timed("load", lambda: sl.Recommender.load(path))
        assert loaded.recommend(["query 5"], 10) == recommender.recommend(["query 5"], 10)
        del loaded
        mapped: dict = (
            {"mmap": True} if "mmap" in inspect.signature(sl.Recommender.load).parameters else {"verify": "native"}
        )
        timed("load mapped", lambda: sl.Recommender.load(path, **mapped))
    recommender.embed_candidates(pl.DataFrame({"item": ["warm"]}))
    for name in ("first upsert", "second upsert"):
        before, new = _own_bytes(), pl.DataFrame({"item": [name]})
        timed(name, lambda new=new: recommender.upsert(new))
        found[f"{name} megabytes"] = (_own_bytes() - before) / 1e6
    return found


def _own_bytes() -> int:
    """Returns the memory that this process holds of its own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def of_version(source: Path, candidates: int) -> dict:
    """Returns the figures of the library in ``source``, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bundle", "--measure", str(candidates)]
    paths = os.pathsep.join([str(source), str(ROOT)])
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}
    )
    found = json.loads(done.stdout)
    print(source, found, file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout of the earlier version")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        print(json.dumps(measured(given.measure)))
        return
    if given.before is None:
        parser.error("--before is missing: the folder of a checkout of the earlier version")
    machine, candidates = environment(), CANDIDATES // 100 if given.quick else CANDIDATES
    runs = []
    for _ in range(RUNS):
        runs.append(
            {"before": of_version(given.before / "src", candidates), "now": of_version(ROOT / "src", candidates)}
        )
    medians = {
        side: {name: statistics.median(run[side][name] for run in runs) for name in runs[0][side]}
        for side in ("before", "now")
    }
    commit = ["git", "-C", str(given.before), "rev-parse", "--short", "HEAD"]
    told = {
        "environment": machine,
        "command": "python -m benchmarks.bundle --before CHECKOUT",
        "before": subprocess.run(commit, check=True, capture_output=True, text=True).stdout.strip(),
        "candidates": candidates,
        "dim": DIM,
        "queries": QUERIES,
        "medians": medians,
        "ratios": {name: medians["before"][name] / medians["now"][name] for name in RATIOS},
        "runs": runs,
    }
    print(json.dumps(told, indent=1))
    if not given.quick:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
