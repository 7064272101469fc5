"""``shortlist train`` by a recipe that solves, and by one that joins."""

import json
from pathlib import Path

import pytest
from tests.cli.typed import shortlist

BOTH = """
[model]
dim = 8
[fit]
epochs = 3
[[joined]]
weight = 0.7
[joined.als]
"""


def test_train_solves_and_joins(bundle: Path, folder: Path) -> None:
    """Sweeps are no steps to be few; of two models the lines are those of the first."""
    asked = ("train", "choices.csv", "--query", "reader", "--candidate", "book", "--test", "0")
    done = shortlist(*asked, "--recipe", "als", "--set", "fit.epochs=4", "--out", "als.shortlist", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "epoch 4/4" in done.stderr
    assert "(chance 1.0000)" in done.stderr
    assert "training steps" not in done.stderr
    (folder / "both.toml").write_text(BOTH, encoding="utf-8")
    done = shortlist(*asked, "--recipe", "both.toml", "--out", "both.shortlist", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "2 models are trained one after another and joined; these lines belong to the first" in done.stderr
    assert done.stderr.count("epoch 3/3") == 1
    for name in ("als", "both"):
        done = shortlist("recommend", f"{name}.shortlist", 0, "--k", 1, "--json", cwd=folder)
        assert json.loads(done.stdout)[0]["items"][0]["id"] == "b0"


STAGED = """
towers = "popularity"
[ranker]
epochs = 2
depth = 10
"""


def test_train_learns_a_second_stage(folder: Path) -> None:
    """By a recipe of a file with changes: the bundle has it, recommends by it, and cannot be trained from."""
    (folder / "staged.toml").write_text(STAGED, encoding="utf-8")
    asked = (
        "train",
        "choices.csv",
        "--query",
        "reader",
        "--candidate",
        "book",
        "--recipe",
        "staged.toml",
        "--test",
        "0",
    )
    done = shortlist(*asked, "--set", "ranker.folds=3", "--force", "--out", "staged.shortlist", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "the first stage is trained 4 times, for [ranker]; these lines belong to the first" in done.stderr
    manifest = json.loads((folder / "staged.shortlist/manifest.json").read_text(encoding="utf-8"))
    assert manifest["stage"]["depth"] == 10
    done = shortlist("recommend", "staged.shortlist", 0, "--k", 3, "--json", cwd=folder)
    assert len(json.loads(done.stdout)[0]["items"]) == 3
    for options, says in (
        (("--warm-start", "staged.shortlist", "--again"), "for [ranker]; that does not support warm start"),
        (
            ("--warm-start", "staged.shortlist", "--only-new"),
            "this recipe counts choices and would forget all earlier ones",
        ),
        (("--stream",), "a recipe with [ranker] is trained in memory"),
        (("--set", "ranker.folds=1"), "Ranker got folds=1"),
        (("--set", "ranker.fold=3"), "folds"),
    ):
        done = shortlist(*asked, *options, "--out", "other.shortlist", cwd=folder)
        assert done.returncode in (1, 2), done.stderr
        assert says in " ".join(done.stderr.split()), done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--out", "x" * 300), "too long"),
        (("--out", "none/new"), "does not exist"),
        (("--out", "choices.csv"), "is not a bundle"),
        (("--out", "choices.csv", "--overwrite"), "is not a bundle"),
        (("--out", "/proc/new"), "/proc"),
        (("--out", "new", "--write-recipe", "."), "Is a directory"),
        (("--out", "new", "--write-recipe", "none/new.toml"), "No such file"),
        (("--out", "new", "--write-recipe", "x" * 300), "too long"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_anything_is_read(
    folder: Path, options: tuple[str, ...], says: str
) -> None:
    done = shortlist("train", "absent.csv", "--query", "reader", "--candidate", "book", *options, cwd=folder)
    assert done.returncode == 1
    assert says in done.stderr
    assert "absent.csv" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "new").exists()
