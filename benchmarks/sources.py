"""`python -m benchmarks.sources [--data-dir DIR] [--part fit|query|rules] [--quick] [--json FILE]`: what several sources cost.

fit: transitions of Amazon Sports (`DIR/amazon/sports_and_outdoors.parquet`; without DIR a made-up log), seconds a million pairs at
window 10. query: one query of a mixture of ScaNN and a table of neighbours over a million vectors of 64 numbers, beside ScaNN alone;
and which share of its exact list the mixture finds. rules: a list of 10 made diverse out of 200. Times are processor time on one core,
since others may use the machine; the wall clock is kept next to them. The result is `benchmarks/results/sources.json`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

import shortlist as sl
from benchmarks.index import data as index_data
from benchmarks.machine import environment
from shortlist.index import BruteForce, Lists, ScaNN
from shortlist.recommender import reranking
from shortlist.recommender.asked import Asked
from shortlist.recommender.filling import Filling
from shortlist.recommender.pools import Boosts, Pool
from shortlist.sources import Added, Context, Filters, Neighbours, Searched, Weights, search

RESULT = Path(__file__).parent / "results" / "sources.json"
BARS = {
    "fit: seconds a million pairs": (1.0, "at most"),
    "query: mixture beside ScaNN alone": (2.0, "at most"),
    "query: recall@10 of the mixture's exact list": (0.99, "at least"),
    "rules: milliseconds of 10 out of 200": (0.3, "at most"),
}
WINDOW, NEIGHBOURS, HISTORY, K = 10, 100, 50, 10
FULL = {"n": 1_000_000, "dim": 64, "queries": 400, "rounds": 5, "people": 30_000}
QUICK = {"n": 20_000, "dim": 16, "queries": 40, "rounds": 2, "people": 500}


def main() -> int:
    """Returns the exit status: 1 where a bar is missed."""
    options = _options()
    size = QUICK if options.quick else FULL
    parts = {"fit": lambda: fit(options.data_dir, size), "query": lambda: query(size), "rules": lambda: rules(size)}
    wanted = parts if options.part is None else {options.part: parts[options.part]}
    found: dict[str, float] = {}
    for name, part in wanted.items():
        for what, value in part().items():
            found[f"{name}: {what}"] = value
            print(f"{name}: {what}: {value:.4g}", file=sys.stderr, flush=True)
    bars = {name: {"bar": bar, "kind": kind, "met": _met(found[name], bar, kind)}
            for name, (bar, kind) in BARS.items() if name in found}  # fmt: skip
    result = {"measures": found, "bars": bars, "size": size, "machine": environment()}
    result["command"] = "python -m benchmarks.sources"
    place = options.json or (None if options.quick else str(RESULT))
    text = json.dumps(result, indent=1)
    if place == "-":
        print(text)
    elif place is not None:
        Path(place).write_text(text + "\n")
    return int(not all(bar["met"] for bar in bars.values()) and not options.quick)


def fit(folder: Path | None, size: dict) -> dict[str, float]:
    """Transitions of a log: seconds, and pairs within the window."""
    log = _log(folder, size)
    counts = np.bincount(log.query_rows)
    pairs = float(sum(np.maximum(counts - distance, 0).sum() for distance in range(1, WINDOW + 1)))
    settings = sl.Transitions(window=WINDOW)
    settings.fit(log)  # scipy is imported
    spent, wall = _least(lambda: settings.fit(log), size["rounds"])
    return {
        "interactions": float(len(log)),
        "pairs": pairs,
        "seconds": spent,
        "seconds by the clock": wall,
        "seconds a million pairs": spent / pairs * 1e6,
    }


def query(size: dict) -> dict[str, float]:
    """One query of ScaNN alone and of the mixture, in turn; and the share of the exact list that the mixture finds."""
    place = index_data.write(size["n"], size["dim"], 2 * size["queries"])
    vectors, (tuned_on, asked) = np.load(place / "vectors.npy"), index_data.halves(place)
    index = _scann(place, vectors, tuned_on)
    rng = np.random.default_rng(0)
    n = size["n"]
    offsets = np.arange(n + 1, dtype=np.int64) * NEIGHBOURS
    columns = rng.integers(0, n, n * NEIGHBOURS, dtype=np.int32)  # a few occur twice in a row: their weights add up
    table = Neighbours(offsets, columns, rng.random(n * NEIGHBOURS, dtype=np.float32) + 0.01, age=0.7, length=HISTORY)
    histories = Lists.of([rng.integers(0, n, HISTORY) for _ in range(len(asked))])
    added = Added((table,), (), histories, Weights((0.6, 0.4), (0.2,)))
    nothing = np.zeros((1, 0), np.int64)
    contexts = [Context(Lists.of([histories.row(number)]), nothing) for number in range(len(asked))]
    of_scann, of_mixture, clocks = [], [], []
    for number in range(len(asked)):
        one = asked[number : number + 1]
        towers = [Searched(index, index.vectors_of, one)]
        of_scann.append(_timed(lambda one=one: index.search(one, K))[0])
        spent, wall = _timed(lambda towers=towers, at=number: search(towers, added, contexts[at], K, Filters()))
        of_mixture.append(spent)
        clocks.append(wall)
    exact = BruteForce().build(vectors)
    whole = Context(histories, np.zeros((len(asked), 0), np.int64))
    lists = [search([Searched(one, one.vectors_of, asked)], added, whole, K, Filters()) for one in (index, exact)]
    shared = [len(np.intersect1d(first, second)) for (first, _), (second, _) in zip(*lists, strict=True)]
    alone, mixed = median(of_scann), median(of_mixture)
    return {
        "milliseconds of ScaNN alone": alone * 1e3,
        "milliseconds of the mixture": mixed * 1e3,
        "milliseconds of the mixture by the clock": median(clocks) * 1e3,
        "mixture beside ScaNN alone": mixed / alone,
        "recall@10 of the mixture's exact list": float(np.mean(shared)) / K,
    }


def rules(size: dict) -> dict[str, float]:
    """A list of 10 made diverse out of 200 candidates that were found."""
    rng = np.random.default_rng(1)
    n, dim = 5_000, size["dim"]
    log = {"who": rng.integers(0, 50, n), "what": rng.permutation(n)}
    train = sl.Dataset(pl.DataFrame(log), "who", "what")
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("who"), dim=dim), sl.Tower(sl.IntegerLookup("what"), dim=dim))
    model.prepare(train)
    served = sl.Recommender(model.eval(), BruteForce()).served
    vector = rng.standard_normal((1, dim)).astype(np.float32)
    asked, settings = Asked(served, vector, Filters(), [True], None, ()), sl.Rerank(diversify=0.3)
    pool, boosts = Pool.each(asked.best(200))[0], Boosts(None, ())

    def listed() -> list:
        lanes = reranking._lanes(asked, settings, K, boosts, pool, (), 0)
        return Filling(asked, settings, K, 0, lanes, lambda: None).filled({}, Pool.empty())

    assert len(listed()) == K
    times = [_timed(listed) for _ in range(50 * size["rounds"])]
    return {
        "milliseconds of 10 out of 200": median(spent for spent, _ in times) * 1e3,
        "milliseconds of 10 out of 200 by the clock": median(wall for _, wall in times) * 1e3,
    }


def _log(folder: Path | None, size: dict) -> sl.Dataset:
    """Amazon Sports, or a log of like lengths."""
    if folder is not None:
        table = pl.read_parquet(folder / "amazon" / "sports_and_outdoors.parquet")
        return sl.Dataset(table, "user", "item", timestamp="position")
    rng = np.random.default_rng(2)
    lengths = np.minimum(5 + rng.geometric(0.3, size["people"]), 100)
    user = np.repeat(np.arange(size["people"]), lengths)
    item = np.minimum(rng.zipf(1.3, len(user)), size["people"])
    table = {"user": user, "item": item, "position": np.arange(len(user))}
    return sl.Dataset(pl.DataFrame(table), "user", "item", timestamp="position")


def _scann(place: Path, vectors: np.ndarray, queries: np.ndarray) -> ScaNN:
    """The index of `python -m benchmarks.index` where it was built and tuned, else one that promises its recall on queries."""
    if (place / "scann").is_dir():
        return ScaNN.load(place / "scann")
    return ScaNN(recall=0.95, k=K).build(vectors, queries=queries)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor, and by the clock."""
    spent, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - spent, time.perf_counter() - wall


def _least(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The least of several runs."""
    times = [_timed(work) for _ in range(rounds)]
    return min(spent for spent, _ in times), min(wall for _, wall in times)


def _met(value: float, bar: float, kind: str) -> bool:
    return value <= bar if kind == "at most" else value >= bar


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--part", choices=("fit", "query", "rules"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
