"""`python -m benchmarks.index --n 1e6|1e7 [--json]`: the index at size, beside exact search and beside the peers.

1e6 is 1 million x 64 at recall@10, beside hnswlib, usearch and Faiss, each tuned in the same run; 1e7 is 10 million x 32
at recall@100, beside exact search of this product. Steps, each in a process of its own: `data` (vectors, and the true
neighbours of the queries), `build`, `tune`, `peers` (their builds), `race` (load, tune the peers, time in turn). All of
them by default; `--step` makes one. The result is `benchmarks/results/index_1e6.json` or `index_1e7.json`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.environments import MissingPeerError, peer_python
from benchmarks.harness import REPOSITORY, Benchmark, Row, Side, measure
from benchmarks.index import data, ours
from benchmarks.table import table

RESULTS = Path(__file__).parent.parent / "results"
PEERS = ("hnswlib", "usearch", "faiss")
STEPS = ("data", "build", "tune", "peers", "race")
QUERIES = 2_000
SMALL = {"n": 20_000, "dim": 16, "k": 10}


def main() -> int:
    """Returns the exit status: 1 when our side could not be run."""
    options = _options()
    quick = options.quick
    n = SMALL["n"] if quick else int(float(options.n))
    size = SMALL if quick else {"n": n, **ours.SIZES[n]}
    place = data.folder(n, size["dim"])
    steps = STEPS if options.step is None else (options.step,)
    if "data" in steps:
        data.write(n, size["dim"], 400 if quick else QUERIES)
        data.truth(place, size["k"])
    if "build" in steps:
        settings = ours.BUILDS.get(n, {})
        _call(sys.executable, "-m", "benchmarks.index.build", str(place), json.dumps(settings))
    if "tune" in steps:
        _call(sys.executable, "-m", "benchmarks.index.build", str(place), "tune", str(size["k"]))
    if "peers" in steps and n < 10_000_000 and not quick:
        _build_peers(place)
    if "race" not in steps:
        return 0
    name = f"index_1e{len(str(n)) - 1}"
    result = measure(name, benchmark(size, place), quick, options.runs)
    result["command"] = f"python -m benchmarks.index --n 1e{len(str(n)) - 1}"
    if "ours" not in result["missing"]:
        result["curve"] = json.loads((place / "tuned.json").read_text())["curve"]
        result["settings"] = json.loads((place / "build.json").read_text())["settings"]
    if not quick:
        _write(result, RESULTS / f"{name}.json")
    print(table(result), file=sys.stderr if options.json == "-" else sys.stdout, flush=True)
    if options.json == "-":
        json.dump(result, sys.stdout, indent=1)
        print()
    elif options.json:
        _write(result, Path(options.json))
    return int("ours" in result["missing"])


def benchmark(size: dict, place: Path) -> Benchmark:
    """Returns the race of a size."""
    n, k = size["n"], size["k"]
    label = f"{n // 1_000_000}M × {size['dim']}" if n >= 1_000_000 else f"{n:,} × {size['dim']}"
    large = n >= 10_000_000
    sides = {"ours": Side("benchmarks.index.ours", "scann"), "exact search": Side("benchmarks.index.ours", "exact")}
    if not large:
        sides |= {peer: Side("benchmarks.peers.index.sides", peer, "index") for peer in PEERS}
    both = ("exact search",)
    rows = [
        Row(f"index {label}: part of the top {k} missed", "missed", "", 0.05, "at most"),
        Row(f"index {label}: load to first answer", "load_seconds", "s", 10, "at most"),
        Row(f"index {label}: build", "build_seconds", "s", 120 if large else None, "at most" if large else "peer/ours"),
        Row(f"index {label}: build, peak memory", "build_memory_gb", "GB", 6 if large else None,
            "at most" if large else "peer/ours"),
        Row(f"index {label}: a query on one core", "milliseconds", "ms", 50 if large else None, peers=both),
    ]  # fmt: skip
    if large:
        rows.insert(2, Row(f"index {label}: a query on one core", "milliseconds", "ms", 1, "at most"))
    else:
        rows.append(Row(f"index {label}: a query on one core", "milliseconds", "ms", 1, peers=PEERS))
        rows.append(Row(f"index {label}: build", "build_seconds", "s", None, peers=PEERS))
    return Benchmark(
        what=f"{n:,} vectors of {size['dim']}, recall@{k} of at least {ours.RECALL:g}: ScaNN as the tuner sets it",
        dataset=None,
        data={},
        parameters={"data": str(place.relative_to(REPOSITORY)), "k": k, "recall": ours.RECALL, "exact_queries": 30},
        sides=sides,
        rows=tuple(rows),
        runs=5,
        caveats=(
            "Every side is tuned on 1,000 queries to a mean recall that reaches the promise with two standard errors to "
            "spare, and timed on 1,000 others, one at a time, all threads on one core.",
            "Ours is the whole search of the product, checks and exact scores included; a peer's is its native call.",
            "hnswlib (M 16, ef_construction 200) and usearch (connectivity 16, expansion_add 128) are graphs over inner "
            "products; Faiss has 4,000 inverted lists of 4-bit codes of residuals (16·k, 64·k or 256·k re-ranked), of 8-bit "
            "numbers (4·k re-ranked), or of the vectors, whichever is fastest. Their effort at search is tuned up to 12,248 "
            "nodes, or half of the lists; where even that does not reach the promise, a peer is timed there, at its lower recall.",
            "Builds use both cores. A build is kept and timed once.",
        ),
    )


def _build_peers(place: Path) -> None:
    """Builds every recipe of the peers that is not there yet, each in a process of its own."""
    try:
        python = peer_python("index", install=True)
    except MissingPeerError as reason:
        print(f"peers: {reason}", file=sys.stderr)
        return
    listed = "from benchmarks.peers.index.sides import RECIPES; print(*(recipe.name for recipe in RECIPES()))"
    names = subprocess.run([python, "-c", listed], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in sorted(set(names.stdout.split())):
        if not (place / f"{name}.json").exists():
            _call(str(python), "-m", "benchmarks.peers.index", str(place), name)


def _call(*command: str) -> None:
    subprocess.run(command, cwd=REPOSITORY, check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index", description=__doc__)
    parser.add_argument("--n", choices=["1e6", "1e7"], default="1e6", help="how many vectors")
    parser.add_argument("--step", choices=STEPS, help="one step alone")
    parser.add_argument("--quick", action="store_true", help="small data, one run, nothing installed")
    parser.add_argument("--json", metavar="FILE", nargs="?", const="-", help="write the result here (default: stdout)")
    parser.add_argument("--runs", type=int, metavar="N", help="timed runs of each side")
    return parser.parse_args()


def _write(content: dict, path: Path) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
