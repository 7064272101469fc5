"""Options for rules of whole lists, of ``shortlist recommend`` and ``shortlist recommend-all``."""

import json
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist


def test_rules_of_a_list(bundle: Path, folder: Path) -> None:
    plain = shortlist("recommend", bundle, 2, "--k", 3, "--json", cwd=folder)
    best = [item["id"] for item in json.loads(plain.stdout)[0]["items"]]
    pinned = shortlist(
        "recommend", bundle, 2, "--k", 3, "--pin", 2, "b17", "--boost", f"book = '{best[0]}'", -2, "--json", cwd=folder
    )
    assert pinned.returncode == 0, pinned.stderr
    items = json.loads(pinned.stdout)[0]["items"]
    assert (items[1]["id"], items[1]["source"]) == ("b17", "pinned")
    assert items[0]["id"] == best[1]
    table = shortlist("recommend", bundle, 2, "--k", 3, "--pin", 2, "b17", "--pin", 3, "none", cwd=folder)
    assert "warning: pin: the catalogue does not have 'none' (1 of 2 are missing)" in " ".join(table.stderr.split())
    assert "b17" in table.stdout.splitlines()[2]
    assert table.stdout.splitlines()[2].endswith("pinned")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--diversify", "2"), "from 0 to 1"),
        (("--at-most", "genre", "2"), "no column 'genre'"),
        (("--pin", "1", "b1", "--pin", "1", "b2"), "--pin was given twice for 1"),
        (("--boost", "book", "nan"), "from -100 to 100"),
        (("--boost", "boook = 'b1'", "1"), "boook"),
        (("--explore", "0.5"), "without a rule"),
    ],
)
def test_rules_that_cannot_be_are_refused(bundle: Path, folder: Path, options: tuple[str, ...], words: str) -> None:
    done = shortlist("recommend", bundle, 2, *options, cwd=folder)
    assert done.returncode != 0
    assert done.stdout == ""
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_everybodys_lists_take_the_same_rules(bundle: Path, folder: Path, tmp_path: Path) -> None:
    done = shortlist("recommend-all", bundle, "-o", tmp_path / "all", "--k", 3, "--pin", 2, "b17", cwd=folder)
    assert done.returncode == 0, done.stderr
    table = pl.concat(pl.read_parquet(file) for file in (tmp_path / "all").glob("lists-*.parquet"))
    assert table.filter(pl.col("book") == "b17").select("rank", "source").unique().rows() == [(2, "pinned")]
    wrong = shortlist("recommend-all", bundle, "-o", tmp_path / "new", "--at-most", "genre", 2, cwd=folder)
    assert (wrong.returncode, (tmp_path / "new").exists()) == (1, False)
    assert "no column 'genre'" in " ".join(wrong.stderr.replace("│", " ").split())
