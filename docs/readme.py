"""README's figures, made from ``benchmarks/results``: ``python docs/readme.py`` writes them between two comments."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
BETWEEN = re.compile(r"(<!-- figures: python docs/readme\.py -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)
TABLES = {
    "steam": "Steam, recall@10",
    "lastfm": "Last.fm, recall@10",
    "toys": "Amazon Toys, the last item, recall@10",
    "amazon-book": "Amazon-Book, recall@20",
}
OTHERS = (("popularity",), ("transitions", "cooccurrence"), ("ials",), ("ease",))


def read(name: str) -> dict[str, Any]:
    """A file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def fits() -> list[dict[str, Any]]:
    """The tutorial's fit on each processor that measured it."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*/fit.json"))]


def quality(recipe: str) -> float | None:
    """NDCG@100 of a recipe on the last item of MovieLens-1M, or None where it was not measured."""
    try:
        (row,) = read(f"quality/ml-1m-last-{recipe}")["rows"]
    except FileNotFoundError:
        return None
    return float(row["mean"])


def seconds(fit: dict[str, Any], side: str) -> float:
    """The median time of a side in the tutorial's fit."""
    return median(run["seconds"] for run in fit["sides"][side]["runs"])


def line(name: str, values: list[float | None], took: str = "") -> str:
    """A row of the table; the best value is bold."""
    best = max(value for value in values if value is not None)
    cells = ["" if value is None else f"**{value:.3f}**" if value == best else f"{value:.3f}" for value in values]
    return f"| {name} | {cells[0]}{took} | {' | '.join(cells[1:])} |"


def chosen(name: str, shown: str) -> str:
    """The row of a table on which the command chose the model; counts are the better of both kinds."""
    table = read("choose")["tables"][name]
    (metric, k), *_ = table["measures"]
    key = f"{metric}_{k}"
    ours = mean(run["figures"][key] for run in table["runs"].values())
    took = median(run["seconds_to_saved"] for run in table["runs"].values())
    others = [[table["baselines"][one].get(key, [None])[0] for one in kind] for kind in OTHERS]
    best = [max((value for value in kind if value is not None), default=None) for kind in others]
    return line(shown, [ours, *best, None], f" in {took:.0f} s")


def figures() -> str:
    """The table of quality, and the line on time."""
    head = ["| | shortlist | popularity | counts of pairs | ALS | EASE | SASRec |", "|---|---|---|---|---|---|---|"]
    others = [quality(one) for one in ("popularity", "transitions", "ials", "ease")]
    sasrec = [found for one in ("rectools", "replay") if (found := quality(f"{one}-sasrec")) is not None]
    row = [quality("movielens-1m"), *others, max(sasrec, default=None)]
    sequence = line("MovieLens-1M, the last item, ndcg@100", row)
    return "\n".join([*head, *(chosen(*one) for one in TABLES.items()), sequence, "", *speed(fits())]) + "\n"


def speed(measured: Sequence[dict[str, Any]]) -> list[str]:
    """The sentence on time, with a line for each processor."""
    lines = ["The tutorial of TensorFlow Recommenders, five epochs on MovieLens-100k, takes"]
    for fit in measured:
        machine = fit["environment"]
        ours, fastest = seconds(fit, "ours"), min(seconds(fit, side) for side in fit["sides"] if side != "ours")
        name = machine["processor"].split(" (family")[0].replace("(R)", "").replace(" Processor", "")
        lines.append(
            f"{ours:.2f} s here, {seconds(fit, 'tfrs'):.1f} s there and {fastest:.1f} s with the fastest peer "
            f"({machine['usable_cores']} cores, {name})"
        )
    return [lines[0], *(f"{line}," for line in lines[1:-1]), f"{lines[-1]}."]


def page(text: str) -> str:
    """README with its figures as they are now."""
    return BETWEEN.sub(lambda found: found[1] + figures() + found[3], text)


if __name__ == "__main__":
    README.write_text(page(README.read_text("utf-8")), "utf-8")
