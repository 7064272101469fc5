"""A recipe over several seeds: rows of mean and spread beside the bar, kept as JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import shortlist as sl
from benchmarks import machine
from benchmarks.quality import ours
from benchmarks.quality.baselines import BASELINES, SEEDED
from benchmarks.quality.kept import Kept
from benchmarks.quality.measures import Scorer, figures
from benchmarks.quality.problems import Problem
from benchmarks.quality.protocols import Measure

RESULTS = Path(__file__).parents[1] / "results" / "quality"


def fitted(recipe: str, problem: Problem, seed: int, changes: Mapping[str, Any], kept: Kept | None = None) -> Scorer:
    """Returns the scorer of a baseline or of one of our recipes, learnt from the problem's training data.

    kept: where trained towers are kept.
    """
    if recipe in BASELINES:
        try:
            return BASELINES[recipe](problem, seed, **changes)
        except TypeError as error:
            raise sl.ConfigError(f"baseline {recipe} got an option it does not have: {error}.") from None
    if recipe not in ours.names() and not recipe.endswith(".toml"):
        known = [*BASELINES, *ours.names()]
        raise sl.ConfigError(f"there is no recipe {recipe!r}.", hint=f"known: {', '.join(known)}")
    return ours.trained(problem, seed, recipe, changes, kept)


def run(
    dataset: str,
    protocol: str,
    recipe: str,
    problem: Problem,
    seeds: int,
    changes: Mapping[str, Any],
    keep: Callable[[dict[str, Any]], None] = lambda result: None,
    before: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Returns the result of at least `seeds` runs, seeds 0, 1, 2, …; one run where the outcome depends on no seed.

    keep: is given the result so far after each seed, so that a run that is broken off is not lost.
    before: an earlier result of the same settings, whose seeds are not run again; ConfigError where settings differ.
    folder: of trained towers, which are not trained again; the seconds that they took count.
    """
    if recipe in BASELINES and recipe not in SEEDED:
        seeds = 1
    settings = dict(changes) if recipe in BASELINES else ours.load(recipe, changes).to_dict()
    runs = _runs_before(before, settings)
    result = dict(before or {})
    for seed in sorted({*range(seeds)} - {each["seed"] for each in runs}):
        started = time.perf_counter()
        kept = Kept(folder)
        found = figures(fitted(recipe, problem, seed, changes, kept), problem)
        seconds = round(time.perf_counter() - started + kept.saved, 1)
        runs = sorted([*runs, {"seed": seed, **found, "seconds": seconds}], key=lambda each: each["seed"])
        shown = "  ".join(f"{name} {value:.4f}" for name, value in found.items())
        print(f"seed {seed}  {shown}  {seconds:.0f} s", file=sys.stderr, flush=True)
        mixed = is_mixture(settings)
        rows = [_row(dataset, protocol, recipe, measure, runs, mixed) for measure in problem.protocol.measures]
        result = {"rows": rows, "runs": runs, "settings": settings, "environment": machine.environment()}
        keep(result)
    return result


def is_mixture(settings: Mapping[str, Any]) -> bool:
    """Whether a recipe's settings name other sources than its towers, or a second stage."""
    others = bool(settings.get("sources")) or isinstance(settings.get("neighbours"), Mapping)
    return others or isinstance(settings.get("ranker"), Mapping)


def _runs_before(before: Mapping[str, Any] | None, settings: dict[str, Any]) -> list[dict[str, Any]]:
    if before is None:
        return []
    if not _within(before["settings"], json.loads(json.dumps(settings))):
        raise sl.ConfigError(
            "the result that is there was made with other settings; its seeds cannot be counted with new ones.",
            hint="run with --anew, which writes over it, or with --out FILE",
        )
    return list(before["runs"])


def _within(old: Any, new: Any) -> bool:
    """Whether ``new`` says all that ``old`` says; it may know of options that came since."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and _within(value, new[key]) for key, value in old.items())
    return bool(old == new)


def _row(
    dataset: str, protocol: str, recipe: str, measure: Measure, runs: list[dict[str, Any]], mixed: bool
) -> dict[str, Any]:
    """Mean and spread of one measure over the runs, beside its bar."""
    bar, aim = measure.goals(mixed)
    values = [each[measure.label] for each in runs]
    mean = statistics.fmean(values)
    return {
        "dataset": dataset,
        "protocol": protocol,
        "recipe": recipe,
        "metric": measure.label,
        "mean": mean,
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "seeds": len(values),
        "bar": bar,
        "aim": aim,
        "holds": None if bar is None else mean >= bar,
    }


def write(result: Mapping[str, Any], path: Path) -> None:
    """Writes a result as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(path)


def table(result: Mapping[str, Any]) -> str:
    """The rows as text."""
    lines = []
    for row in result["rows"]:
        verdict = {True: "holds", False: "missed", None: ""}[row["holds"]]
        bar = "" if row["bar"] is None else f"bar {row['bar']:.4f} {verdict}"
        lines.append(
            f"{row['dataset']} {row['protocol']}  {row['recipe']:<16}{row['metric']:<12}"
            f"{row['mean']:.4f} ± {row['std']:.4f}  ({row['seeds']} seeds)  {bar}"
        )
    return "\n".join(lines)
