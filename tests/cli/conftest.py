"""A table of choices in a folder, and a bundle that the command trained on it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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
