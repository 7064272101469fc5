"""The benchmark of kills: killed twice, a training ends as if nothing had been; one that ends otherwise is found out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import resume

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_kills_of_the_real_thing(tmp_path: Path) -> None:
    """In a process of its own: it forks, which one with the threads of other tests must not."""
    words = [sys.executable, "-m", "benchmarks.resume", "--kills", "2", "--rows", "2000"]
    words += ["--out", str(tmp_path / "found.json")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["kills"], found["ended_otherwise"], found["first_different"]) == (2, 0, [])
    assert sum(int(kills) * runs for kills, runs in found["runs_by_their_kills"].items()) == 2


def test_the_record_is_of_fifty_kills_of_all_kinds() -> None:
    found = json.loads(resume.RESULT.read_text())
    assert (found["kills"], found["ended_otherwise"]) == (50, 0)
    assert set(found["by_kind"]) == set(resume.KINDS)
    assert min(found["by_kind"].values()) >= 16
    before = found["killed_before_a_checkpoint"]
    assert before + sum(found["kills_by_newest_checkpoint"].values()) == 50


def test_a_run_that_ends_otherwise_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with a checkpoint of step 40, then without one; the first run ends as it should, the second does not."""
    outcomes = iter(["ended", "killed", "ended", "killed", "ended"])
    steps = iter(["checkpoint-000000040.json", None])

    def attempt(arguments: list[str], checkpoints: Path, kind: str | None, moment: float) -> tuple[str, str, float]:
        how = next(outcomes)
        checkpoints.mkdir(exist_ok=True)
        if how == "ended":
            Path(arguments[arguments.index("--out") + 1]).mkdir()
        if how == "killed" and (name := next(steps)) is not None:
            (checkpoints / name).touch()
        return how, "what it said", 1.0

    endings = iter([{"steps": 7, "x": 1}, {"steps": 7, "x": 1}, {"steps": 7, "x": 2}])
    monkeypatch.setattr(resume, "attempt", attempt)
    monkeypatch.setattr(resume, "ending", lambda out: next(endings))
    found = resume.measure(2, 100)
    assert (found["kills"], found["runs_by_their_kills"], found["ended_otherwise"]) == (2, {1: 2}, 1)
    assert found["first_different"] == [{"found": {"steps": 7, "x": 2}, "messages": "what it said"}]
    assert (found["killed_before_a_checkpoint"], found["kills_by_newest_checkpoint"]) == (1, {"40": 1})
