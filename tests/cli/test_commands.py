"""The commands as a person types them: each runs in its own process."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest


def shortlist(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shortlist", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty readers in two camps: even readers chose books 0 to 9, odd readers 10 to 19, each all but one."""
    place = tmp_path_factory.mktemp("cli")
    rows = [
        {"reader": reader, "book": f"b{book}", "at": reader * 10 + book}
        for reader in range(40)
        for book in range(10 * (reader % 2), 10 * (reader % 2) + 10)
        if book % 10 != reader % 7
    ]
    pl.DataFrame(rows).write_csv(place / "choices.csv")
    pl.DataFrame({"reader": [0, 1], "book": ["b0", "b11"]}).write_csv(place / "test.csv")
    return place


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    done = shortlist(
        "train", "choices.csv", "--query", "reader", "--candidate", "book", "--out", "my.shortlist",
        "--set", "fit.epochs=30", "--set", "fit.batch_size=64", "--json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["bundle"] == "my.shortlist"
    assert len(result["training"]) == 30
    assert set(result["evaluation"]["model"]) == {"seen_in", "seen_out"}
    assert "held out 36 interactions" in done.stderr
    return folder / "my.shortlist"


def test_recommend_prints_the_missing_book_first(bundle: Path, folder: Path) -> None:
    done = shortlist("recommend", bundle, 2, "--k", 3, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert answer["query"] == 2
    assert answer["known"] is True
    assert len(answer["items"]) == 3
    camp = {f"b{book}" for book in range(10)}
    assert answer["items"][0]["id"] in camp  # what an even reader has not chosen of the even readers' books


def test_recommend_marks_an_unknown_id(bundle: Path, folder: Path) -> None:
    done = shortlist("recommend", bundle, 999, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["known"] is False
    plain = shortlist("recommend", bundle, 999, cwd=folder)
    assert "unknown to the model: 999" in plain.stderr


def test_evaluate_reports_both_scorers(bundle: Path, folder: Path) -> None:
    done = shortlist("evaluate", bundle, "test.csv", "--k", "1,20", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["pairs"] == 2
    assert result["candidates"] == 20
    assert result["model"]["seen_in"]["top_20"] == 1.0
    assert result["popularity"]["seen_in"]["top_20"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("recommend", "nowhere.shortlist", "1"), 1, "nowhere.shortlist"),
        (("recommend", "my.shortlist", "seven"), 1, "'seven' came"),
        (("recommend", "my.shortlist"), 2, "Missing argument"),
        (("recommend", "my.shortlist", "1", "--k", "0"), 1, "at least 1"),
        (("evaluate", "my.shortlist", "test.csv", "--k", "ten"), 1, "whole numbers"),
        (
            ("train", "choices.csv", "--query", "raeder", "--candidate", "book", "--out", "x"),
            1,
            "did you mean 'reader'",
        ),
        (("train", "none.csv", "--query", "a", "--candidate", "b", "--out", "x"), 1, "none.csv"),
        (
            ("train", "choices.csv", "--query", "reader", "--candidate", "book", "--out", "my.shortlist"),
            1,
            "--overwrite",
        ),
        (
            ("train", "choices.csv", "--query", "reader", "--candidate", "book", "--out", "x", "--recipe", "tutorail"),
            1,
            "did you mean 'tutorial'",
        ),
        (("frobnicate",), 2, "frobnicate"),
    ],
)
def test_a_mistake_ends_in_a_message_and_a_code(
    bundle: Path, folder: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = shortlist(*arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (folder / "x").exists()


def test_no_arguments_show_five_commands_and_an_example(folder: Path) -> None:
    done = shortlist(cwd=folder)
    assert done.returncode == 0
    for name in ("demo", "train", "evaluate", "recommend"):
        assert f"shortlist {name}" in done.stdout


def test_help_imports_neither_torch_nor_polars(folder: Path) -> None:
    code = (
        "import sys; sys.argv = ['shortlist', '--help']\n"
        "from shortlist.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'polars', 'numpy'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=folder)
