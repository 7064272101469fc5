"""`python -m benchmarks.choose --data-dir DIR`: types `shortlist train` without a recipe on public tables, and measures the bundle.

Each table's training part is written to a Parquet file; the command is run as a process of its own, timed from typing to the saved
bundle; the bundle is loaded and measured on the test part, which the command never saw. Beside it stand popularity, transitions,
co-occurrence, EASE and ALS, fitted on the same training part. Results go to `benchmarks/results/choose.json` as they are there;
`docs/quality.md` takes its table from it (`python -m benchmarks.quality --docs`).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import shortlist as sl
from benchmarks.choose.tables import TABLES, Table
from shortlist.evaluation.baselines import EASE_WEIGHTS, left_out

RESULTS = Path(__file__).parents[1] / "results" / "choose.json"
BASELINES = ("popularity", "transitions", "cooccurrence", "ease", "ials")


def main() -> int:
    """Returns the exit status: 1 where a table is missing. A missed bar is a result, not a failure."""
    options = _options()
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() and not options.afresh else {"tables": {}}
    known |= {"command": "python -m benchmarks.choose --data-dir DIR", "budget": options.budget, "machine": _machine()}
    for name in options.tables.split(",") if options.tables else TABLES:
        table = TABLES[name]
        try:
            train, test = table.load(options.data_dir)
        except sl.ShortlistError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        entry = known["tables"].setdefault(name, {"runs": {}})
        entry |= {"what": table.what, "measures": [list(one) for one in table.measures], "rows": len(train)}
        for seed in range(options.seeds):
            if str(seed) not in entry["runs"]:
                entry["runs"][str(seed)] = _run(table, train, test, seed, options.budget)
                _write(known)
                print(name, seed, json.dumps(entry["runs"][str(seed)]["figures"]), flush=True)
        if "baselines" not in entry:
            entry["baselines"] = _baselines(table, train, test)
            _write(known)
    return 0


def _run(table: Table, train: sl.Dataset, test: sl.Dataset, seed: int, budget: str) -> dict[str, Any]:
    """One run of the command, and the bundle's figures on the test part."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        train.interactions.write_parquet(place / "train.parquet")
        command = [sys.executable, "-m", "shortlist", "train", "train.parquet", "--query", train.query]
        command += [
            "--candidate",
            train.candidate,
            "--out",
            "out.shortlist",
            "--budget",
            budget,
            "--seed",
            str(seed),
        ]
        command += ["--time", train.timestamp] if train.timestamp is not None else []
        started = time.perf_counter()
        saved = _typed(command, place, measured=seed == 0)
        whole = time.perf_counter() - started
        recommender = sl.Recommender.load(place / "out.shortlist")
        found = _evaluated(table, recommender.model, train, test)
        choice = recommender.metadata["choice"]
        return {
            "chosen": choice["chosen"],
            "contenders": choice["contenders"],
            "seconds_to_saved": saved,
            **({"seconds": whole} if seed == 0 else {}),
            "figures": found,
            "knows": len(recommender.seen) if recommender.seen is not None else 0,
        }


def _typed(command: list[str], place: Path, measured: bool) -> float:
    """Seconds from the start of the command to "saved". Where it is not to measure its report, it is interrupted then."""
    started, saved, said = time.perf_counter(), 0.0, []
    with subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr or ():
            said.append(line)
            if line.startswith("saved "):
                saved = time.perf_counter() - started
            if line.startswith("measuring ") and not measured:
                running.send_signal(signal.SIGINT)
    if not saved or running.returncode not in (0, 130):
        raise RuntimeError("".join(said))
    return saved


def _evaluated(table: Table, model: Any, train: sl.Dataset, test: sl.Dataset) -> dict[str, float]:
    names, ks = zip(*table.measures, strict=True)
    found = sl.evaluate(model, test, seen=train, ks=sorted(set(ks)), metrics=sorted(set(names)), baselines=())
    return {f"{name}_{k}": found["model"]["seen_out"][f"{name}_{k}"] for name, k in table.measures}


def _baselines(table: Table, train: sl.Dataset, test: sl.Dataset) -> dict[str, Any]:
    """Figures of each baseline that can be had, with standard errors over queries; of others the reason."""
    from shortlist.model import popularity

    missing = left_out(train)
    if "ease" in missing and len(train.candidates) ** 2 <= EASE_WEIGHTS:  # it takes minutes, and this is a benchmark
        del missing["ease"]
    chosen = [name for name in BASELINES if name not in missing]
    names, ks = zip(*table.measures, strict=True)
    model = popularity(train)
    found = sl.evaluate(model, test, seen=train, ks=sorted(set(ks)), metrics=sorted(set(names)), baselines=chosen)
    result: dict[str, Any] = {name: {"reason": missing[name]} for name in BASELINES if name in missing}
    for scorer in chosen:
        result[scorer] = {}
        for name, k in table.measures:
            sums = found.sums[scorer]["seen_out"][f"{name}_{k}"]
            away = sums.numerator - sums.value * sums.denominator
            result[scorer][f"{name}_{k}"] = [sums.value, float(np.sqrt((away**2).sum()) / sums.denominator.sum())]
    return result


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return {"processor": model, "cores": os.cpu_count(), "polars": pl.__version__}


def _write(results: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.choose", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where all data but ml-100k lie")
    parser.add_argument("--tables", metavar="NAMES", help=f"of {', '.join(TABLES)}, by commas; all by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", default="2min")
    parser.add_argument("--afresh", action="store_true", help="forget the results that are there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
