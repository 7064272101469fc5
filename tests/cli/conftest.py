"""A table of choices in a folder, and a bundle that the command trained on it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist
from tests.shown.logged import LOOKED, World

import shortlist as sl
from shortlist.serve.impression_files import FOLDER, Segment


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


@pytest.fixture(scope="session")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three lists for each of 120 queries, a bundle trained before it, and one that learned from it."""
    place = tmp_path_factory.mktemp("impressions")
    log = World.of(queries=120, candidates=4, k=4, seed=0).log(3, seed=0)
    lists = log.with_columns(number=pl.int_range(pl.len()) // len(LOOKED)).group_by("number", maintain_order=True)
    segment = Segment(place / "state" / FOLDER)
    for (number,), rows in lists:
        items = [{"candidate": row["candidate"], "place": row["place"]} for row in rows.to_dicts()]
        query, at = int(rows["query"][0]), float(number) * 10
        clicks = [{"query": query, "candidate": c, "at": at + 5} for c in rows.filter("clicked")["candidate"]]
        shown = {"op": "shown", "at": at, "query": query, "bundle": "old", "items": items}
        segment.append([shown, {"op": "events", "at": at, "events": clicks}])
    segment.close()
    before = pl.DataFrame({"query": [0, 1, 2, 3, 4, 5, 6], "candidate": [3, 3, 3, 2, 2, 1, 0]})
    sl.Recommender(sl.popularity(sl.Dataset(before, "query", "candidate"))).save(place / "new.shortlist")
    clicked = sl.Dataset(log.filter("clicked").select("query", "candidate"), "query", "candidate")
    sl.Recommender(sl.popularity(clicked), seen=clicked).save(place / "late.shortlist")
    log.write_parquet(place / "log.parquet")
    done = shortlist("impressions", "state", "--out", "shown.parquet", "--within", 6, "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "rows": 1440, "queries": 120, "clicked": int(log["clicked"].sum()), "out": "shown.parquet",
    }  # fmt: skip
    return place
