"""The guide's figures on several processes, and on lists for everybody, are those on record."""

import json

from benchmarks.report import DOCS, RESULTS

GUIDE = " ".join((DOCS / "guides" / "cluster.md").read_text().split())


def test_processes() -> None:
    runs = json.loads((RESULTS / "ranks.json").read_text())["runs"]["matrix factorisation"]
    one, two, four = (run["examples_per_processor_second"] for run in runs)
    assert f"two processes train {two / one:.0%} of the examples" in GUIDE
    assert f"and four {four / one:.0%} (`" in GUIDE
    assert [run["ranks"] for run in runs] == [1, 2, 4]


def test_losses_are_those_of_one_process() -> None:
    for runs in json.loads((RESULTS / "ranks.json").read_text())["runs"].values():
        losses = [run["loss"] for run in runs]
        assert max(losses) - min(losses) < 1e-4


def test_lists_are_written_at_half_the_speed_of_search_at_least() -> None:
    sizes = json.loads((RESULTS / "everyone.json").read_text())["sizes"]
    ratios = [run["ratio"] for size in sizes for run in size["runs"]]
    assert min(ratios) >= 0.5
    assert f"takes {1 / max(ratios):.2f} to {1 / min(ratios):.2f} times as long as exact search alone" in GUIDE
