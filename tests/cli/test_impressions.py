"""``shortlist impressions`` and ``shortlist compare-logged``, from a server's log to an estimate."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist
from tests.shown.logged import LOOKED, World

import shortlist as sl
from shortlist.serve.impression_files import FOLDER, Segment


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


def test_the_table_is_the_log(folder: Path) -> None:
    columns = ["query", "candidate", "place", "clicked"]
    table, log = pl.read_parquet(folder / "shown.parquet"), pl.read_parquet(folder / "log.parquet")
    assert table.select(columns).rows() == log.select(columns).rows()


def test_a_bundle_is_estimated_on_it(folder: Path) -> None:
    chances = ",".join(map(str, LOOKED))
    done = shortlist("compare-logged", "new.shortlist", "shown.parquet", "--examination", chances, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "doubly robust" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    options = ("--examination", chances, "--k", 2, "--json")
    done = shortlist("compare-logged", "new.shortlist", "shown.parquet", *options, cwd=folder)
    plain = json.loads(done.stdout)
    direct = sl.off_policy_evaluate(
        folder / "log.parquet", sl.Recommender.load(folder / "new.shortlist"), k=2, examination=LOOKED.tolist()
    )
    assert plain == json.loads(json.dumps(direct.to_dict()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compare-logged", "late.shortlist", "shown.parquet"), "clicked candidates are left out"),
        (("compare-logged", "new.shortlist", "shown.parquet", "--examination", "high"), "numbers were expected"),
        (("compare-logged", "new.shortlist", "shown.parquet", "--clicked", "bought"), "no column 'bought'"),
        (("compare-logged", "new.shortlist", "nowhere.parquet"), "nowhere.parquet"),
        (("impressions", "nowhere", "--out", "x.parquet"), "no impressions were logged"),
        (("impressions", "state", "--out", "x.csv"), "a .parquet file was expected"),
        (("impressions", "state", "--out", "nowhere/x.parquet"), "cannot write"),
    ],
)
def test_what_is_refused(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    done = shortlist(*arguments, cwd=folder)
    assert done.returncode == 1
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (folder / "x.parquet").exists()
