"""`python -m benchmarks.serving`: the server under load, measured from outside; writes benchmarks/results/serving_*.json.

    speed BUNDLE      in-process, start, memory, and `wrk` with 1 and 16 connections
    overload BUNDLE   ten times as much as it can answer
    pauses BUNDLE     clients at fixed rates, while the server is stopped for moments (SIGSTOP)
    rolling BUNDLE    one server after the other behind one port, --count times
    swaps ONE TWO     a hundred swaps, and thirty broken bundles, at half of what it can answer
    kills BUNDLE      SIGKILL at random moments, beside a journal of what was acknowledged
    log BUNDLE        a million events in the log: until the server is ready, and its memory
    attacks X         hostile clients next to honest ones: their times, and memory; bundles made at X.small and X.large
    stop BUNDLE       SIGTERM with 500 requests in flight
    soak ONE TWO      minutes of load with swaps, changes and bad requests; memory
    memory X          one process and four workers on a million candidates, made at X if it is not there: memory they share
    cores BUNDLE      requests per processor second, two workers against one
    worker_kills BUNDLE   SIGKILL of a worker, or of the process that writes, every second
    million BUNDLE X  a bundle of a million candidates, made at X if it is not there, beside BUNDLE; live changes
    quiet BUNDLE X    speed, log, overload, worker_kills, cores, memory and all attacks, for a machine that does nothing else
    docs              the figures of docs/serving.md from the results

BUNDLE, ONE and TWO are bundles that `shortlist demo --recipe als` wrote; without a recipe it may choose a mixture, whose
queries cost more. wrk (https://github.com/wg/wrk) has to be on the PATH.

`python -m benchmarks.serving.pieces BUNDLE` needs neither: it prints how long the largest request of each route works between two pauses.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import environment
from benchmarks.serving import page
from benchmarks.serving.attacks import attacks
from benchmarks.serving.changes import kills, log, stop
from benchmarks.serving.million import CANDIDATES, million
from benchmarks.serving.processes import cores, memory, worker_kills
from benchmarks.serving.quiet import quiet
from benchmarks.serving.speed import overload, speed
from benchmarks.serving.steady import pauses, rolling
from benchmarks.serving.swaps import soak, swaps

RESULTS = Path(__file__).parent.parent / "results"
SERVERS = (speed, overload, pauses, swaps, rolling, stop, soak, million, attacks)
CHANGES = (kills, log)
PROCESSES = (memory, cores, worker_kills)
MEASURES = {one.__name__: one for one in (*SERVERS, *CHANGES, *PROCESSES)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=[*MEASURES, "quiet", "docs"])
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--broken", type=int, default=30)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="of the overload, and of cores")
    parser.add_argument("--rate", type=float, default=300.0, help="requests per second during the soak")
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    parser.add_argument("--workers", type=int, default=4, help="of the measurement of memory")
    parser.add_argument("--worst", type=int, default=0, help="attacks that are measured again for 30 seconds")
    parser.add_argument("--attack", default="", help="only those whose name holds this, or one of these (a|b)")
    parser.add_argument("--json", type=Path, help="by default benchmarks/results/serving_NAME.json; of quiet a folder")
    options = parser.parse_args()
    if options.name == "docs":
        print(page.write())
        return
    if options.name == "quiet":
        quiet(options, lambda name, measure: keep(name, measure, (options.json or RESULTS) / f"serving_{name}.json"))
    else:
        target = options.json or RESULTS / f"serving_{options.name}.json"
        keep(options.name, lambda: MEASURES[options.name](options), target)


def keep(name: str, measure: Callable[[], dict], target: Path) -> None:
    """Measure, write the result, and print it."""
    result = {"benchmark": f"serving_{name}", "environment": environment()} | measure()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
