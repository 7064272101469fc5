"""A bundle of ten million candidates: `python -m benchmarks index_bundle`; from `Recommender.load` to the first answer.

The model is not trained: opening takes as long whatever its numbers are.
"""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.index.data import DATA

LOAD = """
import json, sys, time
import shortlist as sl
load, (path, mmap) = sl.Recommender.load, sys.argv[1:]
started = time.perf_counter()
recommender = load(path, mmap=eval(mmap))
opened = time.perf_counter() - started
found = recommender.recommend(["query 5"], k=100)[0].ids
assert len(set(found)) == 100
print(json.dumps({"opened": opened, "first answer": time.perf_counter() - started}))
"""


def describe() -> dict:
    """Returns versions and thread counts."""
    from benchmarks.index_parts import describe

    return describe()


def ours(_: Path, parameters: dict):
    """From a fresh process's import of the library to the first answer, files in the page cache."""
    path = DATA / f"bundle-{parameters['n']}x{parameters['dim']}.shortlist"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.index_bundle", str(path)]
        subprocess.run([*command, *(str(parameters[name]) for name in ("n", "dim", "queries"))], check=True, stdout=2)

    def run() -> dict:
        measures = {}
        for name, mmap in (("native", "True"), ("all", "False")):
            command = [sys.executable, "-c", LOAD, str(path), mmap]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            measures |= {f"{name}: {key}": value for key, value in json.loads(done.stdout).items()}
        return measures

    return run


def make(path: Path, n: int, dim: int, queries: int) -> None:
    """Writes the bundle: `queries` queries that chose each of `n` candidates once, exact search."""
    import polars as pl

    import shortlist as sl

    number = pl.int_range(n, eager=True)
    texts = {"query": number % queries, "item": number}
    table = pl.DataFrame({name: pl.select(pl.format(f"{name} {{}}", rows)).to_series() for name, rows in texts.items()})
    towers = [sl.Tower(sl.StringLookup(name), dim=dim) for name in texts]
    model = sl.TwoTower(*towers)
    model.prepare(sl.Dataset(table, "query", "item"))
    sl.Recommender(model.eval(), index=sl.BruteForce()).save(path)


if __name__ == "__main__":
    make(Path(sys.argv[1]), *(int(value) for value in sys.argv[2:]))
