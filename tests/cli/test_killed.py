"""``shortlist train`` killed after it said "saved": the bundle is whole, at every line that follows."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.choosing.tables import blocks
from tests.cli.typed import shortlist

import shortlist as sl
from shortlist.recommender.bundle import add_metadata

LINES = ("saved ", "chosen: ", "measuring ")


class Steps:
    """Lets so many calls pass, and stops the next one."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            if self.allowed == 0:
                raise KeyboardInterrupt
            self.allowed -= 1
            return call(*arguments, **more)

        return counted


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("killed") / "log.parquet"
    blocks(3000, 150, 90).interactions.write_parquet(place)
    return place


@pytest.mark.parametrize("line", LINES)
def test_a_killed_training_leaves_a_whole_bundle(log: Path, tmp_path: Path, line: str) -> None:
    words = ("train", log, "--query", "who", "--candidate", "what", "--out", tmp_path / "b.shortlist", "--budget", "5s")
    command = [sys.executable, "-u", "-m", "shortlist", *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TERM": "dumb"}) as running:
        assert running.stderr is not None
        for said in running.stderr:
            if said.startswith(line):
                running.send_signal(signal.SIGKILL)
                break
        else:
            pytest.fail(f"the command never said {line!r}")
    assert running.returncode == -signal.SIGKILL
    recommender = sl.Recommender.load(tmp_path / "b.shortlist")
    assert len(recommender.recommend([recommender.query_ids[0]], k=3)[0].ids) == 3
    assert recommender.metadata["choice"]["chosen"]


def test_a_stop_at_any_step_of_adding_figures_leaves_a_whole_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = blocks(600, 30, 20)
    path = tmp_path / "b.shortlist"
    sl.Recommender(sl.popularity(data), seen=data).save(path, metadata={"training": []})
    outcomes = []
    for number in range(20):
        steps = Steps(number)
        with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
            for owner, name in ((os, "fsync"), (os, "replace"), (Path, "write_bytes")):
                patched.setattr(owner, name, steps.before(getattr(owner, name)))
            add_metadata(path, {"figures": number})
        metadata = sl.Recommender.load(path).metadata
        assert metadata["training"] == []
        outcomes.append(metadata.get("figures"))
        if outcomes[-1] == number:
            break
    assert outcomes[0] is None  # stopped at the first step: nothing was added
    assert outcomes[-1] == len(outcomes) - 1  # and where nothing stops it, the figures are there


def test_a_disk_that_is_full_after_saving_leaves_a_whole_bundle(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sl.BundleError("the manifest could not be written: no space left on device.")

    monkeypatch.setattr("shortlist.recommender.bundle.add_metadata", full)
    words = ("train", log, "--query", "who", "--candidate", "what", "--out", "b.shortlist", "--budget", "3s")
    done = shortlist(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "no space left" in done.stderr
    assert "b.shortlist is complete, but without the report's figures" in " ".join(done.stderr.split())
    assert sl.Recommender.load(tmp_path / "b.shortlist").metadata["choice"]["chosen"]
