"""The benchmark of scale works on a few rows, and docs/scale.md holds what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks.scale import __main__ as bench
from benchmarks.scale import data, page


def test_the_page_is_what_the_results_say() -> None:
    assert page.PLACE.read_text() == page.page(page.read()), "python -m benchmarks.scale page"


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
