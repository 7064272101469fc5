"""The benchmark of scale works on a few rows, and docs/scale.md holds what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks.scale import __main__ as bench
from benchmarks.scale import data, page

from benchmarks import korean


@pytest.mark.parametrize("code", korean.CODES)
def test_the_page_is_what_the_results_say(code: str) -> None:
    made = page.page(page.read(), code)
    assert korean.place(page.PLACE, code).read_text(encoding="utf-8") == made, "python -m benchmarks.scale page"


def test_the_results_have_their_korean() -> None:
    made = page.parts(page.read())
    assert [phrase for part in made.values() for phrase in korean.missing(part)] == [], "benchmarks/ko.po"


@pytest.mark.slow
def test_a_quick_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for module in (data, bench):
        monkeypatch.setattr(module, "PLACE", tmp_path)
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "none.json")
    monkeypatch.setattr(sys, "argv", ["benchmarks.scale", "ratio", "--quick"])
    bench.main()
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], len(found["ratios"])) == (20_000, 3)
    assert all(ratio > 0 for ratio in found["ratios"])
    assert not (tmp_path / "none.json").exists()


def run(processes: int, largest: int, **more: object) -> dict:
    """A run of which the first process takes ``largest`` at the end and the others 10 less; one alone 20 in an index, 30 in saving."""
    first = dict.fromkeys(page.TRAINING, 10) | {"end": largest}
    others = [{"data": 5, "end": largest - 10} for _ in range(processes - 1)]
    phases = [first | ({"index": 20, "save": 30} if processes == 1 else {}), *others]
    return {"processes": processes, "tables": 30, "state": 50, "phases": phases, **more}


def test_memory_is_that_of_the_largest_process_against_one() -> None:
    """80 of 100 are tables and state; two processes take 60 and four 35; saving takes 30."""
    found = [run(1, 100), run(2, 60), run(4, 35), run(1, 40, dtype="bfloat16", optimizer="RowwiseAdagrad")]
    notes = page.memory_notes(found)
    assert "At dim 96 tables and state are 80% of the peak of one process" in notes
    assert "0.60 of it with 2 and 0.35 of it with 4" in notes
    assert "0.30, 0.75 times" in notes
    assert page.memory(found).splitlines()[3].startswith("| float32, Adagrad | 96 | 2 | 0 MB")
    assert "| bfloat16, RowwiseAdagrad | 96 | 1 |" in page.memory(found)
