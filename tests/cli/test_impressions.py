"""``shortlist impressions``: a server's log as one table."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist


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
