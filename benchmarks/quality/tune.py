"""A search over settings that looks at a part of the training data only, and writes down where it looked.

The space is a TOML file, `searches/NAME.toml`: `[space]` names each key with the list of its values, `[fixed]` the
changes that every trial shares. Up to `trials` points are drawn without repeats, or all of them where there are no more.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import shortlist as sl
from benchmarks import machine
from benchmarks.quality.measures import figures
from benchmarks.quality.problems import Problem
from benchmarks.quality.runs import fitted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SEARCHES = Path(__file__).parent / "searches"


def space_of(search: str) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Returns the values of each key, and the changes that every trial shares."""
    path = Path(search) if search.endswith(".toml") else SEARCHES / f"{search}.toml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in SEARCHES.glob("*.toml")))
        raise sl.ConfigError(f"there is no search {str(path)!r}.", hint=f"known: {known}")
    read = tomllib.loads(path.read_text(encoding="utf-8"))
    return read.get("space", {}), read.get("fixed", {})


def points(space: Mapping[str, list[Any]], trials: int, seed: int) -> list[dict[str, Any]]:
    """Up to ``trials`` points of the grid, drawn without repeats."""
    grid = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    return grid if len(grid) <= trials else random.Random(seed).sample(grid, trials)


def tune(recipe: str, problem: Problem, search: str, trials: int, seed: int = 0) -> dict[str, Any]:
    """Returns every trial on the validation part of the problem's training data, the best first.

    The best is the one with the highest mean of the measures, each divided by its largest value.
    """
    space, fixed = space_of(search)
    validation = problem.validation()
    done = []
    for number, point in enumerate(points(space, trials, seed)):
        started = time.perf_counter()
        found = figures(fitted(recipe, validation, seed, {**fixed, **point}), validation)
        done.append({"changes": point, **found, "seconds": round(time.perf_counter() - started, 1)})
        shown = "  ".join(f"{name} {value:.4f}" for name, value in found.items())
        print(f"{number + 1:>3}  {shown}  {done[-1]['seconds']:.0f} s  {point}", file=sys.stderr, flush=True)
    labels = [measure.label for measure in problem.protocol.measures]
    largest = {label: max(trial[label] for trial in done) or 1.0 for label in labels}
    done.sort(key=lambda trial: -sum(trial[label] / largest[label] for label in labels))
    return {
        "recipe": recipe,
        "space": space,
        "fixed": fixed,
        "seed": seed,
        "train_rows": len(validation.train),
        "validation_rows": len(validation.test),
        "best": done[0]["changes"],
        "trials": done,
        "environment": machine.environment(),
    }


def change_of(text: str) -> tuple[str, Any]:
    """The key and the value of ``KEY=VALUE``, the value read as TOML, or as text where it is none."""
    key, equals, value = text.partition("=")
    if not equals:
        raise sl.ConfigError(f"the change {text!r} is not of the form KEY=VALUE.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
