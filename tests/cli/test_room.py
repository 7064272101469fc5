"""A run that would not fit is refused by the commands before it begins."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist

import shortlist as sl
from shortlist.cli import training
from shortlist.cli.outcome import Outcome
from shortlist.cli.training_data import TrainingData
from shortlist.train import room

ASKED = ("--query", "reader", "--candidate", "book", "--recipe", "factorization", "--set", "fit.epochs=1")


@pytest.fixture
def place(folder: Path, tmp_path: Path) -> Path:
    """A folder of its own with the choices."""
    shutil.copy(folder / "choices.csv", tmp_path)
    return tmp_path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A machine on which the training fits, but not its index: a process of 300 MB, and 100 kB for all of the model."""
    there = {"memory": 300_100_000, "disk": 10**12}
    monkeypatch.setattr(room, "available_memory", lambda: there["memory"])
    monkeypatch.setattr(room, "held_memory", lambda: 0)
    monkeypatch.setattr(room, "free_disk", lambda folder: there["disk"])
    return there


def test_als_counts_without_an_optimizer(place: Path, small: dict[str, int]) -> None:
    asked = (
        "train",
        "choices.csv",
        "--query",
        "reader",
        "--candidate",
        "book",
        "--recipe",
        "als",
        "--out",
        "new.shortlist",
    )
    small["memory"] = 1000
    done = shortlist(*asked, cwd=place)
    assert done.returncode == 1
    assert "this run does not fit" in done.stderr


def test_what_would_not_fit_is_refused_before_training(place: Path, small: dict[str, int]) -> None:
    asked = ("train", "choices.csv", *ASKED, "--set", "model.dim=512", "--out", "new.shortlist")
    done = shortlist(*asked, cwd=place)
    assert done.returncode == 1
    assert "error: this run does not fit: the phase 'save' needs" in done.stderr
    assert "or --force to start anyway" in done.stderr
    assert "epoch" not in done.stderr
    assert not (place / "new.shortlist").exists()
    forced = shortlist(*asked, "--force", cwd=place)
    assert forced.returncode == 0, forced.stderr
    assert "warning: this run does not fit: the phase 'save' needs" in forced.stderr
    assert (place / "new.shortlist").exists()
    small |= {"memory": 10**12, "disk": 1000}
    done = shortlist(
        *asked, "--overwrite", "--force", "--checkpoint-dir", "runs", "--checkpoint-every", "1step", cwd=place
    )
    assert done.returncode == 0, done.stderr
    assert "there is no room for checkpoints; this run writes none" in done.stderr
    assert not (place / "runs").exists()
    full = shortlist(*asked, "--out", "other.shortlist", cwd=place)
    assert full.returncode == 1
    assert "in the phase 'save' to the disk of" in full.stderr


def test_a_chosen_model_is_checked_before_its_index_and_bundle(
    place: Path, small: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = sl.recipes.load("factorization", ["model.dim=512", "fit.epochs=1"])

    def chosen(given: TrainingData, *_: object) -> Outcome:
        model, _ = recipe.train(given.train)
        return Outcome(model, model, recipe, given.train, given.seen)

    monkeypatch.setattr(training, "chosen_outcome", chosen)
    monkeypatch.setattr(training, "LEAST", 1)
    asked = ("train", "choices.csv", "--query", "reader", "--candidate", "book", "--recipe", "auto")
    done = shortlist(*asked, "--out", "new.shortlist", cwd=place)
    assert done.returncode == 1
    assert "error: this run does not fit: the phase 'save' needs" in done.stderr
    assert not (place / "new.shortlist").exists()
    forced = shortlist(*asked, "--out", "new.shortlist", "--force", cwd=place)
    assert "warning: this run does not fit: the phase 'save' needs" in forced.stderr
    assert (place / "new.shortlist").exists()


def test_a_log_is_looked_at_before_it_is_encoded(place: Path, small: dict[str, int]) -> None:
    small["memory"] = 1000
    (place / "log").mkdir()
    pl.read_csv(place / "choices.csv").write_parquet(place / "log" / "1.parquet")
    done = shortlist("train", "log", *ASKED, "--shards", "shards", "--out", "new.shortlist", cwd=place)
    assert done.returncode == 1
    assert "this run does not fit" in done.stderr
    assert not (place / "shards").exists()


def test_a_day_that_would_not_fit_says_so(place: Path, small: dict[str, int]) -> None:
    small["memory"] = 1000
    lines = ['link = "models/current"', "[train]", 'interactions = "choices.csv"', 'query = "reader"']
    lines += ['candidate = "book"', 'recipe = "factorization"']
    (place / "daily.toml").write_text("\n".join(lines), encoding="utf-8")
    done = shortlist("daily", "daily.toml", cwd=place)
    assert done.returncode == 1
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["status"] == "failed"
    assert "this run does not fit" in said["error"]
    assert not list((place / "models").glob("*.shortlist"))
