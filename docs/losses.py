"""The table of ``docs/which-loss.md``, in both languages, made from ``benchmarks/results/losses.json``: ``python -m docs.losses`` writes it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean, stdev

from benchmarks.korean import CODES, in_language, place

RESULT = Path(__file__).parents[1] / "benchmarks" / "results" / "losses.json"
PAGE = Path(__file__).with_name("which-loss.md")
BETWEEN = re.compile(r"(<!-- figures: python -m docs\.losses -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)


def figures() -> str:
    """A row for each loss with its negatives; the best figure of each column is bold."""
    tables = json.loads(RESULT.read_text("utf-8"))["tables"]
    names = list(tables)
    head = [
        "loss, negatives",
        *(f"{name}, recall@{k}" for name in names for k in (10, 100)),
        "processor seconds an epoch",
    ]
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for loss in tables[names[0]]["results"]:
        cells = [_cell(tables[name]["results"], loss, f"recall_{k}") for name in names for k in (10, 100)]
        seconds = " / ".join(f"{mean(tables[name]['results'][loss]['seconds']):.1f}" for name in names)
        rows.append(f"| {loss} | {' | '.join(cells)} | {seconds} |")
    return "\n".join(rows) + "\n"


def _cell(results: dict[str, dict[str, list[float]]], loss: str, key: str) -> str:
    """Mean ± standard deviation over seeds."""
    values = results[loss][key]
    text = f"{mean(values):.3f} ± {stdev(values):.3f}"
    best = max(mean(one[key]) for one in results.values())
    return f"**{text}**" if mean(values) == best else text


def page(text: str, code: str = "en") -> str:
    """The page of a language with its figures as they are now."""
    return BETWEEN.sub(lambda found: found[1] + in_language(figures(), code) + found[3], text)


if __name__ == "__main__":
    for language in CODES:
        of = place(PAGE, language)
        of.write_text(page(of.read_text("utf-8"), language), "utf-8")
