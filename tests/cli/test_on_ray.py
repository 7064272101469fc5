"""Training and lists on a Ray cluster of this machine: the same as without it, and complaints that arrive whole."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from tests.train.processes import choices

import shortlist as sl
from shortlist.cli.main import cli
from shortlist.recommender import everyone

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
PLAN = ["--set", "fit.batch_size=64", "--set", "fit.epochs=2", "--index", "exact"]


@pytest.fixture
def local_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two processors of this machine."""
    import ray

    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root / "src"), os.environ.get("PYTHONPATH", "")]))
    quiet = ray.LoggingConfig(log_level="ERROR")
    options: dict[str, Any] = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80_000_000}
    for last in (False, True):
        try:
            ray.init(logging_level=logging.ERROR, logging_config=quiet, **options)
            break
        except Exception as error:  # Ray gives its own processes 30 seconds, which a busy machine may not have
            ray.shutdown()
            if "timed out during startup" not in str(error):
                raise
            if last:
                pytest.skip("no Ray cluster could be started here in time, twice")
    yield
    ray.shutdown()


def bundle(folder: Path) -> tuple[Path, dict[str, Any]]:
    """What two workers of Ray Train trained, and what the command said of it."""
    choices().interactions.write_parquet(folder / "choices.parquet")
    arguments = [str(folder / "choices.parquet"), "--query", "reader", "--candidate", "book", *PLAN]
    out = folder / "books.shortlist"
    done = CliRunner().invoke(
        cli, ["train", *arguments, "--out", str(out), "--on", "local", "--workers", "2", "--json"]
    )
    assert done.exit_code == 0, done.output + repr(done.exception)
    return out, json.loads(done.stdout)


def check_training(out: Path, said: dict[str, Any]) -> None:
    """Ray Train runs the same loop."""
    assert said["workers"] == 2
    plan = sl.recipes.load("factorization", PLAN[1:4:2])
    split = sl.split_random(sl.Dataset(choices().interactions, "reader", "book"), test=0.1)
    model, history = plan.train(split.train, validation=split.test, device="cpu")
    assert [epoch["loss"] for epoch in said["training"]] == pytest.approx([e.loss for e in history], rel=1e-5)
    vectors = model.candidate_vectors(model.catalogue.candidates)
    assert sl.Recommender.load(out).index.vectors == pytest.approx(vectors, abs=1e-5)


def check_lists(out: Path, tmp_path: Path) -> None:
    """Ray Data writes the same lists, and goes on where it was."""
    options = ["recommend-all", str(out), "--k", "4", "--vectors"]
    words = [*options, "-o", str(tmp_path / "ray"), "--on", "local", "--json"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert json.loads(done.stdout)["found"] == 0
    here = sl.Recommender.load(out).recommend_all(tmp_path / "here", 4, vectors=True)
    assert here.parts == 2
    for name in ("lists-00000.parquet", "candidates-00000.parquet"):
        assert pl.read_parquet(tmp_path / "ray" / name).equals(pl.read_parquet(tmp_path / "here" / name))
    assert json.loads((tmp_path / "ray" / everyone.MANIFEST).read_text())["rows"] == here.rows

    (tmp_path / "ray" / "lists-00000.parquet").unlink()
    again = CliRunner().invoke(cli, words)
    assert json.loads(again.stdout)["found"] == 1
    assert (tmp_path / "ray" / "lists-00000.parquet").exists()


def check_complaints(out: Path, tmp_path: Path) -> None:
    """What is wrong there is said here, whole."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    done = CliRunner().invoke(cli, ["recommend-all", str(out), "-o", str(tmp_path / "mine"), "--on", "local"])
    assert isinstance(done.exception, sl.BundleError)
    assert "is not empty and holds no lists" in done.exception.message
    assert done.exception.hint == "choose another folder"


def test_the_real_engines_do_what_is_done_without_them(local_cluster: None, tmp_path: Path) -> None:
    """One test, since a cluster takes longer to start than all of this."""
    out, said = bundle(tmp_path)
    check_training(out, said)
    check_lists(out, tmp_path)
    check_complaints(out, tmp_path)


def test_the_complaint_of_the_worker_that_stopped_by_itself_is_told() -> None:
    from shortlist.cli.on_ray import _first_complaint

    failed = RuntimeError("worker group")
    reason = sl.DataError("there is no column 'x'", hint="did you mean 'y'?")
    after = sl.TrainingError("rank 0 stopped: there is no column 'x'; rank 1 of 2 stops too.")
    failed.worker_failures = {1: after, 0: reason}  # type: ignore[attr-defined]
    assert _first_complaint(failed) is reason
    assert "worker group" in _first_complaint(RuntimeError("worker group")).message


def test_errors_pass_between_processes() -> None:
    for error in (
        sl.DataError("came", hint="do"),
        sl.DownloadError("came"),
        sl.UnknownQueryError("came", hint="do"),
        sl.MissingExtraError("ray", "ray", "--on"),
    ):
        other = pickle.loads(pickle.dumps(error))
        assert (type(other), other.message, other.hint, str(other)) == (
            type(error),
            error.message,
            error.hint,
            str(error),
        )


def test_workers_without_a_cluster_are_refused() -> None:
    done = CliRunner().invoke(
        cli, ["train", "x.csv", "--query", "a", "--candidate", "b", "--out", "o", "--workers", "2"]
    )
    assert isinstance(done.exception, sl.ConfigError)
    assert "--workers was given without --on" in done.exception.message
