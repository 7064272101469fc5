"""docs/serving.md says what the results say."""

import argparse
from pathlib import Path

from benchmarks.serving import page, quiet
from benchmarks.serving.attackers import NAMES


def test_the_figures_are_those_of_the_results() -> None:
    assert page.figures() in page.PAGE.read_text(encoding="utf-8")


def test_what_is_measured_on_a_quiet_machine_is_on_the_page() -> None:
    options = argparse.Namespace(bundles=[Path("demo.shortlist"), Path("made")], attack="")
    names = [name for name, _, _ in quiet.steps(options)]
    assert set(names) <= set(page.ROWS)
    assert len(names) == len(set(names))
    (attacked,) = [own for name, _, own in quiet.steps(options) if name == "attacks"]
    assert all(any(part in name for part in attacked.attack.split("|")) for name in NAMES)
