"""``shortlist report`` as a person types it."""

import json
import sys
import warnings
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist
from tests.report.conftest import shelf

from shortlist.cli.evaluate import command as evaluate
from shortlist.cli.main import main
from shortlist.cli.report import command as report
from shortlist.cli.train import command as trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle trained by the command, with a part held out, and a table to test on."""
    place = tmp_path_factory.mktemp("report")
    train, test = shelf()
    for name, frame in (("train", train.interactions), ("test", test.interactions), ("books", train.candidates)):
        frame.write_parquet(place / f"{name}.parquet")
    pl.DataFrame({"user": ["r1"], "book": ["b1"]}).write_csv(place / "other.csv")
    done = shortlist(
        "train", "train.parquet", "--query", "reader", "--candidate", "book", "--candidates", "books.parquet",
        "--out", "my.shortlist", "--set", "fit.epochs=25", "--set", "fit.batch_size=64", cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "shortlist report my.shortlist -o report.html" in done.stderr
    return place


def test_the_page_of_what_training_measured(folder: Path) -> None:
    done = shortlist("report", "my.shortlist", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "wrote report.html" in done.stderr
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "Figures kept from training" in page
    assert done.stdout.split(". ")[0] in page  # the verdict


def test_the_page_of_a_test_table(folder: Path) -> None:
    done = shortlist(
        "report", "my.shortlist", "test.parquet", "-o", "t.html", "--baselines", "popularity", "--json", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["report"] == "t.html"
    assert result["bytes"] == (folder / "t.html").stat().st_size
    assert set(result) == {"report", "bytes", "level", "headline", "reason", "findings"}
    assert "on 40 test interactions" in (folder / "t.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("report", "nowhere.shortlist"), 1, "nowhere.shortlist"),
        (("report", "my.shortlist", "other.csv"), 1, "'reader'"),
        (("report", "my.shortlist", "test.parquet", "--baselines", "poularity"), 1, "did you mean 'popularity'"),
        (("report", "my.shortlist", "--map", "tsne"), 1, "pca, pacmap"),
        (("report", "my.shortlist", "-o", "no/where.html"), 1, "could not be written"),
        (("report",), 2, "Missing argument"),
    ],
)
def test_a_mistake_ends_in_a_message_and_a_code(
    folder: Path,
    arguments: tuple[str, ...],
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["shortlist", *arguments])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert end.value.code == code, err
    assert says in err
    assert out == ""


@pytest.mark.filterwarnings("ignore:unseen queries")
def test_a_model_that_reads_histories(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    pl.read_parquet("train.parquet").with_row_index("at").write_parquet("timed.parquet")
    words = "timed.parquet --query reader --candidate book --time at --out h.shortlist --recipe history"
    trained.main([*words.split(), "--set", "fit.epochs=2"], standalone_mode=False)
    report.main(["h.shortlist", "test.parquet", "-o", "h.html"], standalone_mode=False)
    assert "on 40 test interactions" in Path("h.html").read_text(encoding="utf-8")
    capsys.readouterr()
    evaluate.main(["h.shortlist", "test.parquet", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["pairs"] == 40
