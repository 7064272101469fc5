"""`python -m benchmarks.quality --dataset D --protocol P --recipe R`: train, measure on the public protocol, keep the result.

R is a baseline (popularity, ease, ials, mult-vae, rectools-sasrec, replay-sasrec, recency), a recipe of the package, one of `benchmarks/quality/recipes/`, or the
path of a recipe. Results go to `benchmarks/results/quality/`, after each seed: the same command with more --seeds runs those
that are missing, and --anew all of them. With --tune SEARCH a part of the training data is held out
instead, and every point of `benchmarks/quality/searches/SEARCH.toml` is measured on it: the test part is not touched.
--docs writes `docs/quality.md` from the results.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import shortlist as sl
from benchmarks.quality import page, runs
from benchmarks.quality.problems import load
from benchmarks.quality.tune import change_of, tune


def main() -> int:
    """Returns the exit status: 1 where the run could not be made. A missed bar is a result, not a failure."""
    options = _options()
    if options.docs:
        page.write()
        print(page.PAGE, file=sys.stderr)
        return 0
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    name = f"{options.dataset}-{options.protocol}-{Path(options.recipe).stem}"
    place = options.out or runs.RESULTS / ("tuning" if options.tune else ".") / f"{name}.json"

    def keep(found: dict[str, Any]) -> None:
        runs.write({"command": _command(options, len(found["runs"])), **found}, place)

    try:
        problem = load(options.dataset, options.protocol, options.data_dir)
        changes = dict(map(change_of, options.set))
        if options.tune:
            result = tune(options.recipe, problem, options.tune, options.trials, changes=changes, folder=options.towers)
        else:
            asked = (options.dataset, options.protocol, options.recipe)
            before = json.loads(place.read_text()) if place.is_file() and not options.anew else None
            result = runs.run(*asked, problem, options.seeds, changes, keep, before, options.towers)
    except sl.ShortlistError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    result = {"command": _command(options, max(options.seeds, len(result.get("runs", [])))), **result}
    runs.write(result, place)
    if options.json:
        json.dump(result, sys.stdout, indent=1)
        print()
    else:
        print(json.dumps(result["trials"][0]) if options.tune else runs.table(result))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", help="ml-100k, gowalla, beauty, sports, toys or ml-1m")
    parser.add_argument("--protocol", help="random, random-unseen, last, split or users")
    parser.add_argument("--recipe", help="a baseline, a recipe by name, or its path")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a change to the recipe")
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--anew", action="store_true", help="run the seeds again that the kept result has")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where all data but ml-100k lie")
    parser.add_argument("--tune", metavar="SEARCH", help="search on a part of the training data instead")
    parser.add_argument("--trials", type=int, default=40, metavar="N", help="points of the search, at most")
    parser.add_argument(
        "--towers", type=Path, metavar="DIR", help="keep trained towers here, and take those that are there"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the result here")
    parser.add_argument("--json", action="store_true", help="the whole result on stdout")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of torch")
    parser.add_argument("--docs", action="store_true", help="write docs/quality.md from the results that are there")
    options = parser.parse_args()
    if not options.docs and not (options.dataset and options.protocol and options.recipe):
        parser.error("--dataset, --protocol and --recipe are needed (or --docs)")
    return options


def _command(options: argparse.Namespace, seeds: int) -> str:
    """The command that repeats the result, whatever folder the data lie in."""
    parts = [f"--dataset {options.dataset}", f"--protocol {options.protocol}", f"--recipe {options.recipe}"]
    parts += [f"--set {change}" for change in options.set]
    if options.tune:
        parts += [f"--tune {options.tune}", f"--trials {options.trials}"]
    else:
        parts.append(f"--seeds {seeds}")
    if options.data_dir:
        parts.append("--data-dir DIR")
    return " ".join(["python -m benchmarks.quality", *parts])


if __name__ == "__main__":
    sys.exit(main())
