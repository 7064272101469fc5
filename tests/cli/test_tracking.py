"""A training that was stopped goes on in the same MLflow run and the same TensorBoard folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from tests.train.test_callbacks import Recorder, stand_in  # noqa: F401  (a fixture)

import shortlist as sl
from shortlist.cli.tracking import TRACKING
from shortlist.cli.train import command


class StoppedError(Exception):
    """What ends a run in these tests."""


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """A training of twelve batches in three epochs, a checkpoint after every second batch."""
    rows = pl.DataFrame({"user": [n % 7 for n in range(64)], "item": [n % 11 for n in range(64)]})
    rows.write_parquet(tmp_path / "rows.parquet")
    words = [
        str(tmp_path / "rows.parquet"),
        "--query",
        "user",
        "--candidate",
        "item",
        "--test",
        "0",
        "--index",
        "exact",
    ]
    words += ["--set", "fit.batch_size=16", "--set", "fit.epochs=3", "--out", str(tmp_path / "made.shortlist")]
    return [*words, "--checkpoint-dir", str(tmp_path / "run"), "--checkpoint-every", "2steps", "--resume"]


def stopped(words: list[str], monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Runs until so many batches are done."""
    from shortlist.train.run import Run

    step, done = Run.step, []

    def some(self: Run, *arguments: Any) -> None:
        if len(done) == batches:
            raise StoppedError
        done.append(None)
        step(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "step", some)
        assert isinstance(CliRunner().invoke(command, words).exception, StoppedError)


def test_the_same_run_of_mlflow(
    asked: list[str],
    stand_in: None,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [*asked, "--mlflow", "films"]
    stopped(words, monkeypatch, 7)
    first = list(Recorder.told)
    assert first[-1] == ("end", "r1", "FAILED")
    assert json.loads((tmp_path / "run" / TRACKING).read_text()) == {"mlflow": {"experiment": "films", "run_id": "r1"}}
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    assert "continuing the MLflow run r1" in done.output
    assert ("update", "r1", "RUNNING") in Recorder.told
    assert not [told for told in Recorder.told if told[0] in ("experiment", "run")]
    epochs = [step for told in (first, Recorder.told) for name, step in logged(told) if name == "train/loss"]
    assert epochs == [1, 2, 3]
    assert Recorder.told[-1] == ("end", "r1", "FINISHED")


def logged(told: list[tuple[Any, ...]]) -> list[tuple[str, int]]:
    """Name and step of every figure."""
    return [one for kind, *rest in told if kind == "batch" for one in rest[1]]


def test_another_experiment_is_another_run(asked: list[str], stand_in: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    stopped([*asked, "--mlflow", "films"], monkeypatch, 3)
    done = CliRunner().invoke(command, [*asked, "--mlflow", "books"])
    assert done.exit_code == 0, done.output
    assert ("experiment", "books") in Recorder.told


def test_a_note_that_cannot_be_read_is_told(asked: list[str], stand_in: None, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / TRACKING).write_text("[]")
    done = CliRunner().invoke(command, [*asked, "--mlflow", "films"])
    assert isinstance(done.exception, sl.ConfigError)
    assert "does not name the MLflow run" in done.exception.message


def test_the_same_folder_of_tensorboard(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = [*asked, "--tensorboard", str(tmp_path / "curves")]
    stopped(words, monkeypatch, 7)
    done = CliRunner().invoke(command, [*words, "--json"])
    assert done.exit_code == 0, done.output
    events = accumulator.EventAccumulator(str(tmp_path / "curves"))
    events.Reload()
    losses = {event.step: event.value for event in events.Scalars("train/loss")}
    told = json.loads(done.stdout)["training"]
    assert losses == pytest.approx({epoch["epoch"]: epoch["loss"] for epoch in told}, rel=1e-6)
    assert len(list((tmp_path / "curves").glob("events.out.*"))) == 2
