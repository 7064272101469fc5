"""A search over settings that looks at a part of the training data only, and writes down where it looked.

The space is a TOML file, `searches/NAME.toml`: `[space]` names each key with the list of its values, `[fixed]` the
changes that every trial shares. Up to `trials` points are drawn without repeats, or all of them where there are no more.
At each point `[weights]` and `[temperatures]` name sources of a mixture with lists of values, which are all tried: the model is
fitted once for all of them. What the weights leave of 1 belongs to the first towers.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import shortlist as sl
from benchmarks import machine
from benchmarks.quality import ours
from benchmarks.quality.kept import Kept
from benchmarks.quality.measures import figures
from benchmarks.quality.problems import Problem
from benchmarks.quality.runs import fitted
from benchmarks.quality.weighing import weighed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ASKED = 10_000  # queries that weights are tried on, at most
SEARCHES = Path(__file__).parent / "searches"


@dataclass(frozen=True)
class Space:
    """Where a search looks: the values of each key, the changes that every trial shares, and the values of weights."""

    keys: dict[str, list[Any]]
    fixed: dict[str, Any]
    weights: dict[str, list[float]]
    temperatures: dict[str, list[float]]

    @property
    def values(self) -> dict[str, list[Any]]:
        """All values by key."""
        parts = [("weights", self.weights), ("temperatures", self.temperatures)]
        return {**self.keys, **{f"{part}.{name}": values for part, named in parts for name, values in named.items()}}


def space_of(search: str) -> Space:
    """Returns the space of a search by name or of a file."""
    path = Path(search) if search.endswith(".toml") else SEARCHES / f"{search}.toml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in SEARCHES.glob("*.toml")))
        raise sl.ConfigError(f"there is no search {str(path)!r}.", hint=f"known: {known}")
    read = tomllib.loads(path.read_text(encoding="utf-8"))
    return Space(*(read.get(part, {}) for part in ("space", "fixed", "weights", "temperatures")))


def points(space: Mapping[str, list[Any]], trials: int, seed: int) -> list[dict[str, Any]]:
    """Up to ``trials`` points of the grid, drawn without repeats."""
    grid = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    return grid if len(grid) <= trials else random.Random(seed).sample(grid, trials)


def tune(
    recipe: str,
    problem: Problem,
    search: str,
    trials: int,
    seed: int = 0,
    changes: Mapping[str, Any] = MappingProxyType({}),
    folder: Path | None = None,
) -> dict[str, Any]:
    """Returns every trial on the validation part of the problem's training data, the best first.

    The best is the one with the highest mean of the measures, each divided by its largest value.

    changes: to the recipe, which every trial shares.
    folder: of trained towers, which are not trained again.
    """
    space = space_of(search)
    shared = {**space.fixed, **changes}
    validation = problem.validation()
    done: list[dict[str, Any]] = []
    for point in points(space.keys, trials, seed):
        started = time.perf_counter()
        of_point, kept = {**shared, **point}, Kept(folder)
        if space.weights or space.temperatures:
            asked = validation.some(ASKED, seed)
            model = ours.model_of(validation, seed, ours.load(recipe, of_point), kept)
            found = weighed(model, asked, space.weights, space.temperatures)
        else:
            found = [({}, figures(fitted(recipe, validation, seed, of_point, kept), validation))]
        seconds = round((time.perf_counter() - started + kept.saved) / len(found), 1)
        done += [{"changes": {**point, **more}, **measured, "seconds": seconds} for more, measured in found]
        best = _sorted(done, problem)[0]
        print(f"{len(done):>4}  {json.dumps(done[-1])}  best {json.dumps(best)}", file=sys.stderr, flush=True)
    done = _sorted(done, problem)
    return {
        "recipe": recipe,
        "space": space.values,
        "fixed": shared,
        "seed": seed,
        "train_rows": len(validation.train),
        "validation_rows": len(validation.test),
        "best": done[0]["changes"],
        "trials": done,
        "environment": machine.environment(),
    }


def _sorted(done: list[dict[str, Any]], problem: Problem) -> list[dict[str, Any]]:
    """The trials, the best first."""
    labels = [measure.label for measure in problem.protocol.measures]
    largest = {label: max(trial[label] for trial in done) or 1.0 for label in labels}
    return sorted(done, key=lambda trial: -sum(trial[label] / largest[label] for label in labels))


def change_of(text: str) -> tuple[str, Any]:
    """The key and the value of ``KEY=VALUE``, the value read as TOML, or as text where it is none."""
    key, equals, value = text.partition("=")
    if not equals:
        raise sl.ConfigError(f"the change {text!r} is not of the form KEY=VALUE.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
