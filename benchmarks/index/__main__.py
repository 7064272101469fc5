"""`python -m benchmarks.index --n 5e4|2e5|1e6|1e7|5e7 [--outside] [--peers NAMES] [--json]`: the index at size, next to exact search and the peers.

5e4 and 2e5 are 50,000 and 200,000 x 64 at recall@10 of .97 (Quantized), 1e6 is 1 million x 64 at recall@10 of .95 (ScaNN), all next to hnswlib,
usearch, Faiss, SVS, ScaNN and turbovec by hand, each tuned in the same run; 1e7 and 5e7 are 10 and 50 million x 32 at
recall@100, next to exact search of this product. `--outside` tunes and asks with queries outside the distribution of the vectors. Steps, each in a
process of its own: `data` (vectors, and the true neighbours of the queries), `build`, `tune`, `peers` (their builds), `race`
(load, tune the peers, time in turn). All of them by default; `--step` makes one. The result is
`benchmarks/results/PROCESSOR/index_2e5.json`, with `--outside` `index_2e5_outside.json`. A side that stops is an error: exit status 1.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.environments import MissingPeerError, peer_python
from benchmarks.harness import REPOSITORY, Benchmark, Row, Side, exit_status, measure
from benchmarks.index import data, ours
from benchmarks.table import table
from shortlist.index import Quantized

PEERS = ("hnswlib", "usearch", "faiss", "svs", "scann", "turbovec")
OURS = {"ours": "tuned", "exact search": "exact"}
STEPS = ("data", "build", "tune", "peers", "race")
QUERIES = 2_000
SMALL = {"n": 20_000, "dim": 16, "k": 10, "recall": 0.95}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}


def main() -> int:
    """Returns the exit status of `exit_status`."""
    options = _options()
    started = time.perf_counter()
    quick = options.quick
    n = SMALL["n"] if quick else int(float(options.n))
    size = SMALL if quick else {"n": n, **ours.SIZES[n]}
    place, which = data.folder(n, size["dim"]), data.QUERIES[options.outside]
    peers = _chosen(options.peers)
    unbuilt = ours.BUILDS.get(n, Quantized())
    steps = STEPS if options.step is None else (options.step,)
    if "data" in steps:
        data.write(n, size["dim"], 400 if quick else QUERIES)
        data.truth(place, size["k"], which)
    if "build" in steps:
        _call(sys.executable, "-m", "benchmarks.index.build", str(place), json.dumps(unbuilt.settings()))
    if "tune" in steps:
        _call(
            sys.executable,
            "-m",
            "benchmarks.index.build",
            str(place),
            "tune",
            *map(str, (size["k"], size["recall"], which)),
        )
    if "peers" in steps and n < 10_000_000 and not quick:
        _build_peers(place, peers)
    if "race" not in steps:
        return 0
    name = f"index_{n:.0e}".replace("e+0", "e") + ("" if which == "inside" else f"_{which}")
    result = measure(name, benchmark(size, place, type(unbuilt).__name__, which, peers), quick, options.runs)
    result["command"] = f"python -m benchmarks.index --n {options.n}" + (" --outside" if options.outside else "")
    if peers != PEERS:
        result["command"] += f" --peers {options.peers}"
    if "ours" not in result["missing"]:
        result["curve"] = json.loads(ours.tuned_file(place, which).read_text())["curve"]
        result["settings"] = json.loads((place / "build.json").read_text())["settings"]
    result["seconds"] = round(time.perf_counter() - started, 1)
    if not quick:
        report.keep(result, f"{name}.json")
    print(table(result), file=sys.stderr if options.json == "-" else sys.stdout, flush=True)
    if options.json == "-":
        json.dump(result, sys.stdout, indent=1)
        print()
    elif options.json:
        _write(result, Path(options.json))
    return exit_status([result])


def benchmark(size: dict, place: Path, kind: str, which: str, peers: tuple[str, ...]) -> Benchmark:
    """Returns the race of a size."""
    n, k, recall = size["n"], size["k"], size["recall"]
    label = f"{n // 1_000_000}M × {size['dim']}" if n >= 1_000_000 else f"{n:,} × {size['dim']}"
    label += "" if which == "inside" else ", queries outside"
    large, rung = n >= 10_000_000, kind == "Quantized"
    sides = {name: Side("benchmarks.index.ours", function, None, ONE_THREAD) for name, function in OURS.items()}
    if not large:
        sides |= {peer: Side("benchmarks.peers.index.sides", peer, "index", ONE_THREAD) for peer in peers}
    both = ("exact search",)
    huge = n > 10_000_000
    exact_bar = 50 if large else 20 if n == 200_000 and which == "inside" else None
    build_bar = 720 if huge else 120 if large else 5 if rung else None
    rows = [
        Row(f"index {label}: part of the top {k} missed", "missed", "", round(1 - recall, 4), "at most"),
        Row(f"index {label}: load to first answer", "load_seconds", "s", 20 if huge else 10, "at most"),
        Row(f"index {label}: build", "build_seconds", "s", build_bar, "at most" if build_bar else "peer/ours"),
        Row(f"index {label}: build, peak memory", "build_memory_gb", "GB",
            16 if huge else 6 if large else None, "at most" if large else "peer/ours"),
        Row(f"index {label}: a query on one core", "milliseconds", "ms", exact_bar, peers=both),
    ]  # fmt: skip
    if large:
        rows.insert(2, Row(f"index {label}: a query on one core", "milliseconds", "ms", 2 if huge else 1, "at most"))
    else:
        rows.append(Row(f"index {label}: a query on one core", "milliseconds", "ms", None if rung else 1, peers=peers))
        rows.append(Row(f"index {label}: build", "build_seconds", "s", None, peers=peers))
    asked = "" if which == "inside" else ", queries outside the distribution"
    return Benchmark(
        what=f"{n:,} vectors of {size['dim']}, recall@{k} of at least {recall:g}{asked}: {kind} as the tuner sets it",
        dataset=None,
        data={},
        parameters={
            "data": str(place.relative_to(REPOSITORY)),
            "k": k,
            "recall": recall,
            "exact_queries": 5 if huge else 30,
            "queries": which,
        },
        sides=sides,
        rows=tuple(rows),
        runs=3 if n >= 1_000_000 else 5,  # each asks a thousand queries, some peers for half a minute
        caveats=(
            "Queries inside the distribution are drawn as the vectors are; those outside are means of five vectors plus one shift."
            if which == "outside"
            else "Queries are drawn as the vectors are.",
            "Every side is tuned on 1,000 queries to a mean recall that reaches the promise with two standard errors to "
            "spare, and timed on 1,000 others, one at a time, all threads on one core.",
            "Ours is the whole search of the product, checks and exact scores included; a peer's is its native call.",
            "hnswlib (M 16, ef_construction 200) and usearch (connectivity 16, expansion_add 128) are graphs over inner "
            "products, and over Euclidean distance of vectors that one more coordinate makes equally long, whichever is faster, from a "
            "million vectors the second alone, since the first kept no promise there; "
            "Faiss has 4·√n inverted lists of 4-bit codes of residuals (16·k, 64·k or 256·k re-ranked), of 8-bit numbers (4·k "
            "re-ranked), or of the vectors; SVS is a Vamana graph of float32 over inner products (its compressed vectors run on "
            "Intel processors only); ScaNN has 2·√n partitions of codes of two coordinates (4·k, 16·k or 64·k re-ranked by itself); "
            "turbovec scans codes of 4 or 2 bits, and numpy re-ranks. Of several recipes the fastest counts. Effort at search is "
            "tuned up to 12,248 nodes or results, or half of the lists; where even that does not reach the promise, a peer is timed "
            "there, at its lower recall.",
            "Builds use both cores. A build is kept and timed once.",
        ),
    )


def _build_peers(place: Path, peers: tuple[str, ...]) -> None:
    """Builds every recipe of the peers that is not there yet, each in a process of its own."""
    try:
        python = peer_python("index", install=True)
    except MissingPeerError as reason:
        print(f"peers: {reason}", file=sys.stderr)
        return
    n = len(np.load(place / "vectors.npy", mmap_mode="r"))
    listed = f"from benchmarks.peers.index.sides import tried; print(*(recipe.name for recipe in tried({n})))"
    names = subprocess.run([python, "-c", listed], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    wanted = {name for name in names.stdout.split() if name.split("-")[0] in peers}
    for name in sorted(wanted):
        if not (place / f"{name}.json").exists():
            try:
                _call(str(python), "-m", "benchmarks.peers.index", str(place), name)
            except subprocess.CalledProcessError as reason:  # the race names it as a side that stopped
                print(f"{name}: {reason}", file=sys.stderr, flush=True)


def _chosen(names: str) -> tuple[str, ...]:
    """Returns the peers of these names; ends the program for one that there is not."""
    chosen = tuple(names.split(","))
    unknown = [name for name in chosen if name not in PEERS]
    if unknown:
        sys.exit(f"there is no peer {unknown[0]!r}; known: {', '.join(PEERS)}")
    return chosen


def _call(*command: str) -> None:
    subprocess.run(command, cwd=REPOSITORY, check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index", description=__doc__)
    parser.add_argument("--n", choices=["5e4", "2e5", "1e6", "1e7", "5e7"], default="1e6", help="how many vectors")
    parser.add_argument("--outside", action="store_true", help="queries outside the distribution of the vectors")
    parser.add_argument("--peers", default=",".join(PEERS), help="peers to race, by commas (default: all)")
    parser.add_argument("--step", choices=STEPS, help="one step alone")
    parser.add_argument("--quick", action="store_true", help="small data, one run, nothing installed")
    parser.add_argument("--json", metavar="FILE", nargs="?", const="-", help="write the result here (default: stdout)")
    parser.add_argument("--runs", type=int, metavar="N", help="timed runs of each side")
    return parser.parse_args()


def _write(content: dict, path: Path) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
