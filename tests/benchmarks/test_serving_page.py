"""docs/serving.md says what the results say."""

import argparse
from pathlib import Path

import pytest
from benchmarks.serving import page, quiet
from benchmarks.serving.attackers import NAMES

from benchmarks import korean


@pytest.mark.parametrize("code", korean.CODES)
def test_the_figures_are_those_of_the_results(code: str) -> None:
    made = korean.in_language(page.figures(), code)
    assert made in korean.place(page.PAGE, code).read_text(encoding="utf-8"), "python -m benchmarks.serving docs"


def test_the_figures_and_attacks_have_their_korean() -> None:
    assert korean.missing("\n".join([page.figures(), *NAMES])) == [], "benchmarks/ko.po"


def test_what_is_measured_on_a_quiet_machine_is_on_the_page() -> None:
    options = argparse.Namespace(bundles=[Path("demo.shortlist"), Path("made")], attack="")
    names = [name for name, _, _ in quiet.steps(options)]
    assert set(names) <= set(page.ROWS)
    assert len(names) == len(set(names))
    (attacked,) = [own for name, _, own in quiet.steps(options) if name == "attacks"]
    assert all(any(part in name for part in attacked.attack.split("|")) for name in NAMES)
