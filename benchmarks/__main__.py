"""`python -m benchmarks NAME`: run benchmarks, print the table, keep the result.

NAME is a benchmark, `all`, `install` (the peers' environments), or `docs` (docs/performance.md from the results that are
there). A full run installs what is missing and writes `benchmarks/results/PROCESSOR/NAME.json`; a quick one installs nothing
and writes only where --json says. `all` continues after a benchmark that fails, and ends with status 1 then.
"""

import argparse
import json
import sys
import traceback
from pathlib import Path

from benchmarks import report
from benchmarks.catalogue import BENCHMARKS
from benchmarks.environments import MissingPeerError, peer_python
from benchmarks.harness import exit_status, measure
from benchmarks.index_parts import INDEX_PARTS
from benchmarks.table import table

NAMED = {**BENCHMARKS, **INDEX_PARTS}


def main() -> int:
    """Returns the exit status of `exit_status`. A missed bar is a result, not a failure."""
    options = _options()
    if options.name == "install":
        return _install()
    if options.name == "docs":
        print(report.write())
        return 0
    names = list(BENCHMARKS) if options.name == "all" else [options.name]
    results, failed = [], False
    for name in names:
        try:
            result = measure(name, NAMED[name], options.quick, options.runs)
        except Exception:
            if options.name != "all":
                raise
            traceback.print_exc()
            print(f"{name}: not measured, see above", file=sys.stderr, flush=True)
            failed = True
            continue
        results.append(result)
        if not options.quick:
            report.keep(result, f"{name}.json")
        print(table(result), file=sys.stderr if options.json == "-" else sys.stdout, flush=True)
    if options.json == "-":
        json.dump(results if options.name == "all" else results[0], sys.stdout, indent=1)
        print()
    elif options.json:
        _write(results if options.name == "all" else results[0], Path(options.json))
    return max(exit_status(results), int(failed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", metavar="NAME", choices=[*NAMED, "all", "install", "docs"])
    parser.add_argument("--quick", action="store_true", help="small data, one run, nothing installed")
    parser.add_argument("--json", metavar="FILE", nargs="?", const="-", help="write the result here (default: stdout)")
    parser.add_argument("--runs", type=int, metavar="N", help="timed runs of each side")
    return parser.parse_args()


def _install() -> int:
    """Returns 1 when an environment could not be made."""
    peers = {side.peer for benchmark in BENCHMARKS.values() for side in benchmark.sides.values() if side.peer}
    failed = False
    for peer in sorted(peers):
        try:
            peer_python(peer, install=True)
            print(f"{peer}: ready")
        except MissingPeerError as reason:
            print(f"{peer}: {reason}")
            failed = True
    return int(failed)


def _write(content, path: Path) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
