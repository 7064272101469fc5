"""``shortlist train`` without a recipe: the best of several models, saved first, measured after, with a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.choosing.tables import blocks, groceries
from tests.cli.typed import Done, shortlist

import shortlist as sl

COLUMNS = ("--query", "who", "--candidate", "what")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("choosing")
    blocks(3000, 150, 90).interactions.write_parquet(place / "log.parquet")
    groceries().interactions.write_parquet(place / "shop.parquet")
    return place


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    words = ("train", "log.parquet", *COLUMNS, "--out", "b.shortlist", "--write-recipe", "chosen.toml", "--json")
    return shortlist(*words, "--budget", "90s", cwd=folder)


def test_the_winner_is_shipped_with_all_rows(done: Done, folder: Path) -> None:
    assert done.returncode == 0, done.stderr
    recommender = sl.Recommender.load(folder / "b.shortlist")
    rows = len(blocks(3000, 150, 90))
    assert int(recommender.towers.catalogue.counts.sum()) == rows
    assert recommender.seen is not None
    assert len(recommender.seen) == rows
    assert recommender.cold_start == "auto"
    assert recommender.recommend([-7], k=3)[0].sources == ["popularity"] * 3


def test_it_says_what_was_tried_and_what_won(done: Done) -> None:
    for words in (
        "choosing a model",
        "popularity",
        "co-occurrence",
        "EASE",
        "ALS",
        "factorization",
        "not tried: history",
    ):
        assert words in done.stderr
    told = json.loads(done.stdout)
    names = {one["name"]: one for one in told["choice"]["contenders"]}
    chosen = names[told["choice"]["chosen"]]
    assert chosen["figure"] > names["popularity"]["figure"]
    assert told["verdict"][0].startswith("chosen: ")
    said = " ".join(done.stderr.split())  # long lines are folded
    for line in told["verdict"]:
        assert line in said
    saved, measured = done.stderr.index("saved b.shortlist"), done.stderr.index("measuring baselines")
    assert saved < measured


def test_the_figures_are_added_to_the_bundle(done: Done, folder: Path) -> None:
    metadata = sl.Recommender.load(folder / "b.shortlist").metadata
    assert metadata["measured"]["evaluation"]["model"]["seen_out"]["top_10"] > 0
    assert metadata["choice"]["chosen"] == json.loads(done.stdout)["choice"]["chosen"]
    assert metadata["verdict"] == json.loads(done.stdout)["verdict"]
    assert "transitions" in metadata["measured"]["left_out"]


def test_the_recipe_repeats_the_bundle_bit_for_bit(done: Done, folder: Path) -> None:
    words = ("train", "log.parquet", *COLUMNS, "--recipe", "chosen.toml", "--test", "0", "--out", "again.shortlist")
    again = shortlist(*words, cwd=folder)
    assert again.returncode == 0, again.stderr
    prints = {sl.Recommender.load(folder / name).fingerprint for name in ("b.shortlist", "again.shortlist")}
    assert len(prints) == 1


def test_no_refit_keeps_the_held_out_rows_out(folder: Path) -> None:
    done = shortlist(
        "train", "log.parquet", *COLUMNS, "--out", "n.shortlist", "--no-refit", "--budget", "3s", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "the model was trained without the held-out rows" in done.stderr
    rows = len(blocks(3000, 150, 90))
    counted = int(sl.Recommender.load(folder / "n.shortlist").towers.catalogue.counts.sum())
    assert counted == rows - round(rows / 10)


def test_a_stop_after_saving_leaves_a_whole_bundle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shortlist.cli.training.figures_of", stop)
    words = ("train", "log.parquet", *COLUMNS, "--out", "s.shortlist", "--budget", "3s")
    done = shortlist(*words, cwd=folder)
    assert done.returncode == 130
    assert "s.shortlist is complete, but without the report's figures" in done.stderr
    recommender = sl.Recommender.load(folder / "s.shortlist")
    assert "measured" not in recommender.metadata
    assert len(recommender.recommend([recommender.query_ids[0]], k=3)[0].ids) == 3


def test_where_people_choose_again_it_says_so(folder: Path) -> None:
    words = ("train", "shop.parquet", *COLUMNS, "--time", "at", "--out", "g.shortlist", "--budget", "20s", "--json")
    done = shortlist(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["choice"]["seen_items_excluded"] is False
    assert told["choice"]["chosen_before"] > 0.8
    assert "exclude_seen=False" in done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--recipe", "auto", "--set", "fit.epochs=1"), "--set concerns the training of one"),
        (
            ("--recipe", "auto", "--warm-start", "b.shortlist", "--test", "0"),
            "--warm-start concerns the training of one",
        ),
        (("--budget", "soon"), "the budget is 'soon'"),
        (("--by", "recal@10"), "no metric 'recal'"),
        (("--by", "auc"), "a metric with a cut-off was expected"),
    ],
)
def test_options_that_cannot_be(done: Done, folder: Path, options: tuple[str, ...], told: str) -> None:
    refused = shortlist("train", "log.parquet", *COLUMNS, "--out", "no.shortlist", *options, cwd=folder)
    assert refused.returncode == 1
    assert told in refused.stderr
    assert "hint: " in refused.stderr
    assert not (folder / "no.shortlist").exists()


def test_options_of_one_recipe_train_one_recipe(folder: Path) -> None:
    words = (
        "train",
        "log.parquet",
        *COLUMNS,
        "--out",
        "one.shortlist",
        "--set",
        "fit.epochs=3",
        "--set",
        "model.dim=8",
    )
    done = shortlist(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "--set concerns the training of one recipe: 'factorization' is trained" in done.stderr
    assert "choosing" not in done.stderr


def test_a_model_that_learned_nothing_is_not_saved(folder: Path) -> None:
    words = ("train", "log.parquet", *COLUMNS, "--out", "bad.shortlist", "--set", "optimizer.learning_rate=1e-12")
    words = (*words, "--set", "fit.pretrain=none")
    done = shortlist(*words, "--set", "fit.epochs=1", cwd=folder)
    assert done.returncode == 1
    assert "the bundle was not saved" in done.stderr
    assert "--force" in done.stderr
    assert not (folder / "bad.shortlist").exists()
    forced = shortlist(*words, "--set", "fit.epochs=1", "--force", cwd=folder)
    assert forced.returncode == 0, forced.stderr
    assert (folder / "bad.shortlist").exists()


def test_a_table_too_small_to_choose_by_still_trains(tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("who,what\n" + "".join(f"u{n % 3},i{n % 5}\n" for n in range(12)))
    done = shortlist("train", "few.csv", *COLUMNS, "--out", "few.shortlist", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "too few to choose a model: everyone gets the most popular" in done.stderr
    assert "nan" not in done.stderr
    assert "of fewer than 20 interactions none are held out" in done.stderr
    assert "--test" not in done.stderr  # which would hold out none either
    assert sl.Recommender.load(tmp_path / "few.shortlist").recommend(["u0"], k=5)[0].ids


@pytest.mark.parametrize(("options", "rows"), [((), 22), (("--no-refit",), 19)])
def test_what_is_too_little_to_choose_by_is_counted_whole(tmp_path: Path, options: tuple[str, ...], rows: int) -> None:
    """Of 22 rows 3 are held out; the rest are fewer than 20."""
    (tmp_path / "few.csv").write_text("who,what\n" + "".join(f"u{n % 6},i{n % 7}\n" for n in range(22)))
    done = shortlist("train", "few.csv", *COLUMNS, "--out", "few.shortlist", "--test", "0.15", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = sl.Recommender.load(tmp_path / "few.shortlist")
    assert int(loaded.towers.catalogue.counts.sum()) == rows


def test_a_report_of_a_chosen_bundle(done: Done, folder: Path) -> None:
    made = shortlist("report", "b.shortlist", "-o", "r.html", cwd=folder)
    assert made.returncode == 0, made.stderr
    assert (folder / "r.html").stat().st_size > 10_000
    evaluated = shortlist("evaluate", "b.shortlist", "log.parquet", "--baselines", cwd=folder)
    assert evaluated.returncode == 0, evaluated.stderr
    assert "baseline left out: transitions: a bundle does not keep the times" in evaluated.stderr


def test_from_disk_what_can_be_is_tried(folder: Path) -> None:
    words = (
        "train",
        "log.parquet",
        *COLUMNS,
        "--out",
        "d.shortlist",
        "--stream",
        "--shards",
        "sh",
        "--budget",
        "2min",
        "--json",
    )
    done = shortlist(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    tried = {one["name"]: one for one in json.loads(done.stdout)["choice"]["contenders"]}
    figures = {name for name, one in tried.items() if one["figure"] is not None}
    assert figures == {"popularity", "ALS", "factorization"}
    assert "memory" in tried["EASE"]["reason"]
    assert np.isfinite(tried["factorization"]["figure"])
