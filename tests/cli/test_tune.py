"""``shortlist tune`` as a person types it."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.cli.typed import Done, shortlist

import shortlist as sl
from shortlist.index.scann import scann_trouble

pytestmark = pytest.mark.skipif(scann_trouble() is not None, reason="ScaNN cannot run here")


def tune(*arguments: object, cwd: Path) -> Done:
    return shortlist("tune", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tune")
    rng = np.random.default_rng(0)
    rows = [(reader, int(book)) for reader in range(50) for book in rng.permutation(300)[:9]]
    table = pl.DataFrame(rows, schema=["reader", "book"], orient="row")
    train = sl.Dataset(table.filter(pl.int_range(pl.len()) % 9 < 8), "reader", "book")
    model = sl.TwoTower(
        query=sl.Tower(sl.IntegerLookup("reader"), dim=8), candidate=sl.Tower(sl.IntegerLookup("book"), dim=8)
    )
    sl.fit(model, train, optimizer=sl.Adagrad(0.5), epochs=3, batch_size=64)
    sl.Recommender(model, index=sl.BruteForce(), seen=train).save(place / "my.shortlist", metadata={"by": "hand"})
    table.filter(pl.int_range(pl.len()) % 9 == 8).write_parquet(place / "test.parquet")
    return place


def test_a_bundle_is_tuned_in_place(folder: Path) -> None:
    done = tune("my.shortlist", "--recall", 0.9, "--k", 10, "--backend", "scann", "--test", "test.parquet",
                "--json", cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["chosen"]["backend"] == "scann"
    assert [entry["k"] for entry in result["chosen"]["recalls"]] == [10, 100]
    assert 0 <= result["accuracy"]["index"]["top_10"] <= 1
    assert "built in" in done.stderr
    loaded = sl.Recommender.load(folder / "my.shortlist")
    assert type(loaded.index) is sl.ScaNN
    assert loaded.metadata["by"] == "hand"
    written = json.loads((folder / "my.shortlist.tuning.json").read_text())
    assert written["chosen"] == result["chosen"]
    assert len(written["points"]) >= len(written["curves"]["scann"]) >= 1
    assert (folder / "my.shortlist.tuning.svg").read_text().startswith("<svg")


def test_another_place_leaves_the_bundle_and_the_text_says_what_was_chosen(folder: Path) -> None:
    before = (folder / "my.shortlist" / "manifest.json").read_bytes()
    done = tune("my.shortlist", "--backend", "exact", "--out", "other.shortlist", "--curve", "picture", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("exact search · ")
    assert "(promised)" in done.stdout
    assert (folder / "my.shortlist" / "manifest.json").read_bytes() == before
    assert type(sl.Recommender.load(folder / "other.shortlist").index) is sl.BruteForce
    assert (folder / "picture.json").is_file()
    assert (folder / "picture.svg").is_file()
    again = tune("my.shortlist", "--out", "other.shortlist", cwd=folder)
    assert again.returncode == 1
    assert "already exists" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nothing.shortlist"], 1, "no bundle"),
        (["my.shortlist", "--recall", "1.5"], 1, "at most 1"),
        (["my.shortlist", "--k", "0"], 1, "k is 0"),
        (["my.shortlist", "--backend", "scan"], 1, "did you mean 'scann'"),
        (["my.shortlist", "--curve", "nowhere/curve"], 1, "No such file or directory"),
        (["my.shortlist", "--minutes", "-1"], 1, "--minutes"),
        (["my.shortlist", "--k", "many"], 2, "many"),
    ],
)
def test_mistakes_end_in_a_message(folder: Path, arguments, code, says) -> None:
    done = tune(*arguments, cwd=folder)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
