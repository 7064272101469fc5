"""``shortlist impressions``: a server's log as one table."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist
from tests.store.faults import files_up_to


def test_the_table_is_the_log(logged: Path) -> None:
    columns = ["query", "candidate", "place", "clicked"]
    table, log = pl.read_parquet(logged / "shown.parquet"), pl.read_parquet(logged / "log.parquet")
    assert table.select(columns).rows() == log.select(columns).rows()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("impressions", "nowhere", "--out", "x.parquet"), "no impressions were logged"),
        (("impressions", "state", "--out", "x.csv"), "a .parquet file was expected"),
        (("impressions", "state", "--out", "nowhere/x.parquet"), "cannot write"),
    ],
)
def test_what_is_refused(logged: Path, arguments: tuple[str, ...], words: str) -> None:
    done = shortlist(*arguments, cwd=logged)
    assert done.returncode == 1
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (logged / "x.parquet").exists()


def test_a_full_disk_leaves_the_table_that_was_there(logged: Path, tmp_path: Path) -> None:
    out = tmp_path / "shown.parquet"
    out.write_bytes(b"old")
    with files_up_to(512):
        done = shortlist("impressions", "state", "--out", out, cwd=logged)
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "cannot write" in said
    assert "File too large" in said
    assert "Traceback" not in said
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("shown.parquet", b"old")]
