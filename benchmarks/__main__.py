"""`python -m benchmarks NAME`: run benchmarks, print the table, keep the result.

NAME is a benchmark, `all`, `install` (the peers' environments), or `docs` (docs/performance.md from the results that are
there). A full run installs what is missing and writes `benchmarks/results/PROCESSOR/NAME.json`; a quick one installs nothing
and writes only where --json says. `all` runs every benchmark and the index at every size (`python -m benchmarks.index`): it says
beforehand what is to come, continues after what fails, and ends with status 1 then. `all --resume` leaves out what the last
`all` of this version has measured on this processor.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from benchmarks import plan, report
from benchmarks.catalogue import BENCHMARKS
from benchmarks.environments import MissingPeerError, peer_python, peers
from benchmarks.harness import REPOSITORY, exit_status, measure
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
    if options.name == "all":
        return _all(options)
    result = _measured(options.name, options)
    _write(result, options.json)
    return exit_status([result])


def _all(options: argparse.Namespace) -> int:
    """Runs everything, or what is left of it; returns 1 where anything failed, and 130 where it was interrupted."""
    done = plan.Done()
    if not (options.resume or options.quick):
        done.clear()
    skipped = done.names() if options.resume else set()
    races = plan.QUICK_RACES if options.quick else plan.RACES
    left = [name for name in (*BENCHMARKS, *races) if name not in skipped]
    _say(plan.quick(left) if options.quick else plan.announced(left, report.RESULTS))
    results, failed = [], []
    try:
        for name in left:
            result = _tried(name, races.get(name), options)
            if result is not None:
                results.append(result)
            if result is None or exit_status([result]):
                failed.append(name)
            elif not options.quick:
                done.add(name)
    except KeyboardInterrupt:
        _say("interrupted; python -m benchmarks all --resume runs what is left")
        return 130
    _write(results, options.json)
    if failed:
        again = "" if options.quick else "; python -m benchmarks all --resume runs these again"
        _say(f"failed: {', '.join(failed)}{again}")
    elif not options.quick:
        done.clear()
    return int(bool(failed))


def _tried(name: str, race: tuple[str, ...] | None, options: argparse.Namespace) -> dict | None:
    """Returns the result of a benchmark, or of a race by its arguments; None, with the reason on stderr, where there is none."""
    try:
        return _measured(name, options) if race is None else _raced(race, options)
    except Exception:
        traceback.print_exc()
        _say(f"{name}: not measured, see above")
        return None


def _measured(name: str, options: argparse.Namespace) -> dict:
    """Returns the result of a benchmark, which is printed, and kept unless it is a quick one."""
    result = measure(name, NAMED[name], options.quick, options.runs)
    if not options.quick:
        report.keep(result, f"{name}.json")
    print(table(result), file=sys.stderr if options.json == "-" else sys.stdout, flush=True)
    return result


def _raced(arguments: tuple[str, ...], options: argparse.Namespace) -> dict:
    """Returns the result of the index at a size, in a process of its own, which prints and keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.index", *arguments, "--json", str(out)]
        command += ["--quick"] * options.quick + (["--runs", str(options.runs)] if options.runs else [])
        subprocess.run(command, cwd=REPOSITORY, stdout=sys.stderr if options.json == "-" else None)
        if not out.exists():
            raise RuntimeError(f"{' '.join(command[1:])} ended without a result")
        return json.loads(out.read_text())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", metavar="NAME", choices=[*NAMED, "all", "install", "docs"])
    parser.add_argument("--quick", action="store_true", help="small data, one run, nothing installed")
    parser.add_argument("--json", metavar="FILE", nargs="?", const="-", help="write the result here (default: stdout)")
    parser.add_argument("--runs", type=int, metavar="N", help="timed runs of each side")
    parser.add_argument("--resume", action="store_true", help="of all, what an interrupted run has left")
    options = parser.parse_args()
    if options.resume and (options.name != "all" or options.quick):
        parser.error("--resume continues `all`, not a quick run of it")
    return options


def _install() -> int:
    """Returns 1 when an environment could not be made."""
    failed = False
    for peer in peers():
        try:
            peer_python(peer, install=True)
            print(f"{peer}: ready")
        except MissingPeerError as reason:
            print(f"{peer}: {reason}")
            failed = True
    return int(failed)


def _write(content: dict | list[dict], where: str | None) -> None:
    """Writes a result or several to a file, or to stdout where that is "-"."""
    if where == "-":
        json.dump(content, sys.stdout, indent=1)
        print()
    elif where:
        Path(where).write_text(json.dumps(content, indent=1) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
