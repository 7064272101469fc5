"""``shortlist train`` on a folder of Parquet: from disk when asked, or when memory would not do."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist

from shortlist.cli import training_data
from shortlist.cli.training_data import should_stream
from shortlist.data import shards as shards_room
from shortlist.errors import ConfigError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Forty readers in two camps, in two files; even readers chose books 0 to 9, odd ones 10 to 19, each all but one."""
    rows = [
        {"reader": reader, "book": f"b{book}", "at": book}
        for reader in range(40)
        for book in range(10 * (reader % 2), 10 * (reader % 2) + 10)
        if book % 10 != reader % 7
    ]
    (tmp_path / "log").mkdir()
    pl.DataFrame(rows[:100]).write_parquet(tmp_path / "log" / "1.parquet")
    pl.DataFrame(rows[100:]).write_parquet(tmp_path / "log" / "2.parquet")
    return tmp_path / "log"


def test_a_folder_trains_from_disk_and_answers(log: Path) -> None:
    """With an hour of each choice, which the query tower reads."""
    place = log.parent
    for file in log.iterdir():
        frame = pl.read_parquet(file)
        frame.with_columns(hour=pl.col("at") % 24, unread=1).write_parquet(file)
    train = (
        "train",
        "log",
        "--set",
        'query.features=[{kind = "Category", column = "hour"}]',
        "--query",
        "reader",
        "--candidate",
        "book",
        "--out",
        "my.shortlist",
        "--set",
        "fit.epochs=30",
        "--set",
        "loss.mask_known=false",
    )
    first = shortlist(*train, "--set", "fit.batch_size=64", "--shards", "shards", "--json", cwd=place)
    assert first.returncode == 0, first.stderr
    assert "encoded Shards(360 interactions · 40 queries · 20 candidates · 2 shards)" in first.stderr
    result = json.loads(first.stdout)
    assert set(result["evaluation"]["model"]) == {"seen_in", "seen_out"}
    assert shards_room.Shards.load(place / "shards").manifest.header.context == ["hour"]
    asked = shortlist("recommend", "my.shortlist", 2, "--k", 1, "--json", cwd=place)
    (answer,) = json.loads(asked.stdout)
    assert answer["items"][0]["id"] in {f"b{book}" for book in range(10)}
    times = {file.name: file.stat().st_mtime_ns for file in (place / "shards").iterdir()}
    again = shortlist(*train, "--set", "fit.epochs=1", "--shards", "shards", "--overwrite", "--time", "at", cwd=place)
    assert again.returncode == 1  # times were not encoded
    assert "encoded with other options" in again.stderr
    assert times == {file.name: file.stat().st_mtime_ns for file in (place / "shards").iterdir()}


def test_shards_go_to_the_cache_and_are_found_there(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORTLIST_CACHE", str(log.parent / "cache"))
    columns = {"query": "reader", "candidate": "book", "timestamp": "at", "weight": None}
    columns |= {"queries": None, "candidates": None}
    given = training_data.training_data(f"file://{log}", columns, 0.2, None, None)
    assert given.held_out is not None
    assert len(given.held_out) + len(given.train) == 360
    assert given.seen is not None
    assert len(given.seen) == len(given.train)
    (made,) = (log.parent / "cache" / "shards").iterdir()
    time = (made / "manifest.json").stat().st_mtime_ns
    again = training_data.training_data(f"file://{log}", columns, 0.0, None, None)
    assert (made / "manifest.json").stat().st_mtime_ns == time
    assert again.held_out is None
    assert len(again.train) == 360


def test_what_fits_in_memory_is_trained_from_there(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not should_stream(str(log))
    assert not should_stream(str(log / "nothing.csv"))
    assert should_stream("s3://bucket/log/")
    # a row: an integer, a short string and an integer, twice; and 40 bytes of row numbers
    monkeypatch.setattr(shards_room, "available_memory", lambda: 2 * 360 * (2 * (8 + 40 + 8) + 40))
    assert not should_stream(str(log))
    monkeypatch.setattr(shards_room, "available_memory", lambda: 2 * 360 * (2 * (8 + 40 + 8) + 40) - 2)
    assert should_stream(str(log))
    with pytest.raises(ConfigError, match="--in-memory"):
        training_data.training_data(str(log), {}, 0.1, False, log)


def test_few_steps_of_training_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    training_data.warn_of_few_steps(rows=1025, epochs=5, batch_size=1024)  # two batches an epoch
    assert capsys.readouterr().err == (
        "hint: 10 training steps are few; for a small table try --set fit.batch_size=64 --set fit.epochs=20\n"
    )
    training_data.warn_of_few_steps(rows=100_000, epochs=5, batch_size=1024)
    training_data.warn_of_few_steps(rows=100, epochs=5, batch_size=64)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--set", "neighbours.kind=transitions"), "a recipe with [neighbours] is trained in memory"),
        (("--set", "fit.pretrain=als"), 'the recipe has pretrain = "als" in [fit]'),
    ],
)
def test_what_cannot_be_trained_from_disk_is_told_before_anything_is_encoded(
    asked: tuple[str, ...], told: str, log: Path
) -> None:
    words = ("train", "log", "--query", "reader", "--candidate", "book", "--out", "my.shortlist", "--shards", "shards")
    done = shortlist(*words, *asked, cwd=log.parent)
    assert done.returncode == 1
    assert f"error: {told}" in done.stderr
    assert "hint: " in done.stderr
    assert not (log.parent / "shards").exists()


def test_every_recipe_trains_from_disk() -> None:
    from shortlist.train import recipes

    for name in recipes.names():
        recipes.load(name).check_from_disk()


def test_a_sequence_and_a_column_of_negatives_train_from_disk(log: Path) -> None:
    """The columns are encoded because the recipe names them."""
    for file in log.iterdir():
        pl.read_parquet(file).with_columns(skipped=pl.concat_list(pl.lit("b3"), pl.lit("b12"))).write_parquet(file)
    words = ("train", "log", "--query", "reader", "--candidate", "book", "--time", "at", "--out", "my.shortlist")
    small = {
        "model.dim": "4",
        "history.layers": "1",
        "fit.epochs": "1",
        "loss.negative_column": "skipped",
        "loss.mined": "2",
    }
    options = [f"--set={key}={value}" for key, value in small.items()]
    done = shortlist(*words, "--recipe", "sequence", *options, "--force", "--shards", "shards", cwd=log.parent)
    assert done.returncode == 0, done.stderr
    assert list((log.parent / "shards").glob("*.negatives.npy"))
    assert (log.parent / "my.shortlist" / "manifest.json").is_file()
