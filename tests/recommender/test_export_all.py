"""Lists for everybody: the same as one by one, whole or not at all, and going on after a kill."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from tests.cli.typed import shortlist

import shortlist as sl
from shortlist.recommender import export_all


@pytest.fixture(scope="module")
def recommender() -> sl.Recommender:
    generator = np.random.default_rng(0)
    user, film = generator.integers(0, 50, 600), generator.integers(0, 30, 600)
    films = {"film": [f"f{number}" for number in range(30)], "year": list(range(1990, 2020))}
    data = sl.Dataset({"user": user, "film": [f"f{number}" for number in film]}, "user", "film", candidates=films)
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=4), sl.Tower(sl.StringLookup("film"), dim=4))
    sl.fit(model, data, epochs=3, batch_size=64)
    return sl.Recommender(model, seen=data, fallback=())


@pytest.fixture
def small_parts(monkeypatch):
    """Seven queries a file, three at a time."""
    monkeypatch.setattr(export_all, "QUERIES_PER_PART", 7)
    monkeypatch.setattr(export_all, "QUERIES_AT_A_TIME", 3)


def read(folder) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(file) for file in sorted(folder.glob("lists-*.parquet")))


@pytest.mark.parametrize("options", [{}, {"exclude_seen": False}, {"where": "year >= 2005"}])
def test_lists_are_those_of_recommend(recommender, tmp_path, small_parts, options):
    done = recommender.recommend_all(tmp_path / "all", 5, **options)
    table = read(tmp_path / "all")
    users = recommender.query_ids.to_list()
    expected = [
        (found.query, item.id, rank, item.score)
        for found in recommender.recommend(users, 5, **options)
        for rank, item in enumerate(found, start=1)
    ]
    assert table.rows() == expected
    assert table.columns == ["user", "film", "rank", "score"]
    assert (done.queries, done.rows, done.parts, done.found) == (len(users), len(expected), -(-len(users) // 7), 0)


RULES = sl.Rerank(
    diversify=0.3, at_most={"year": 1}, pin={2: "f3"}, boost={"year > 2010": 0.5}, explore=0.4, explore_rarer_than=25
)


def test_lists_by_rules_are_those_of_recommend(recommender, tmp_path, small_parts):
    recommender.recommend_all(tmp_path / "all", 5, rerank=RULES)
    table = read(tmp_path / "all")
    users = recommender.query_ids.to_list()
    expected = [
        (found.query, item.id, rank, np.float32(item.score), item.source)
        for found in recommender.recommend(users, 5, rerank=RULES)
        for rank, item in enumerate(found, start=1)
    ]
    assert table.rows() == expected
    assert {*table["source"]} == {"model", "pinned", "explored"}
    assert table.columns == ["user", "film", "rank", "score", "source"]
    assert recommender.recommend_all(tmp_path / "all", 5, rerank=RULES).found == -(-len(users) // 7)
    with pytest.raises(sl.BundleError, match="other options"):
        recommender.recommend_all(tmp_path / "all", 5)
    for wrong in (sl.Rerank(at_most={"genre": 1}), sl.Rerank(boost={"genre = 'x'": 1}), sl.Rerank(pin=[7])):
        with pytest.raises(sl.DataError):
            recommender.recommend_all(tmp_path / "new", 5, rerank=wrong)
    assert not (tmp_path / "new").exists()
    with pytest.warns(sl.ShortlistWarning, match="pin: the catalogue does not have 'none'"):
        recommender.recommend_all(tmp_path / "none", 1, rerank=sl.Rerank(pin=["none"]))


def test_vectors_come_along(recommender, tmp_path, monkeypatch):
    monkeypatch.setattr(export_all, "VECTORS_PER_PART", 7)
    recommender.recommend_all(tmp_path / "all", 2, vectors=True)
    assert len(list((tmp_path / "all").glob("candidates-*"))) == 5  # of seven, but for the last
    table = pl.concat(pl.read_parquet(file) for file in sorted((tmp_path / "all").glob("candidates-*")))
    assert table["film"].to_list() == recommender.candidate_ids.to_list()
    np.testing.assert_array_equal(table["vector"].to_numpy(), recommender.index.vectors)


def test_goes_on_where_it_was(recommender, tmp_path, small_parts, monkeypatch):
    whole = tmp_path / "whole"
    recommender.recommend_all(whole, 5)
    cut, calls = tmp_path / "cut", []

    def stop(done: int, total: int) -> None:
        calls.append((done, total))
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recommender.recommend_all(cut, 5, on_part=stop)
    assert len(list(cut.glob("lists-*"))) == 3
    assert not (cut / "manifest.json").exists()  # which says that all is there
    before = {file.name: file.stat().st_mtime_ns for file in cut.glob("lists-*")}
    done = recommender.recommend_all(cut, 5)
    assert done.found == 3
    told = json.loads((cut / "manifest.json").read_text())
    assert told["rows"] == done.rows == sum(file["rows"] for file in told["files"].values())
    assert {name: (cut / name).stat().st_size for name in told["files"]} == {
        name: file["bytes"] for name, file in told["files"].items()
    }
    assert all((cut / name).stat().st_mtime_ns == time for name, time in before.items())
    assert read(cut).equals(read(whole))


def test_a_part_is_whole_or_not_there(recommender, tmp_path, small_parts, monkeypatch):
    def full(self, file):
        with open(file, "wb") as half:
            half.write(b"PAR1")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(pl.DataFrame, "write_parquet", full)
        with pytest.raises(sl.BundleError, match="No space left") as caught:
            recommender.recommend_all(tmp_path / "all", 5)
    assert "run it again" in caught.value.hint
    assert sorted(file.name for file in (tmp_path / "all").iterdir()) == ["plan.json"]
    recommender.recommend_all(tmp_path / "all", 5)


def test_other_lists_are_never_mixed_in(recommender, tmp_path):
    recommender.recommend_all(tmp_path / "all", 5)
    with pytest.raises(sl.BundleError, match="other options"):
        recommender.recommend_all(tmp_path / "all", 6)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(sl.BundleError, match="not empty"):
        recommender.recommend_all(tmp_path / "mine", 5)


def test_a_bundle_trained_anew_is_another_one(recommender, tmp_path):
    recommender.recommend_all(tmp_path / "all", 5)
    data = sl.Dataset({"user": [1, 1, 2], "film": ["f1", "f2", "f1"]}, "user", "film")
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=4), sl.Tower(sl.StringLookup("film"), dim=4))
    sl.fit(model, data, epochs=1)
    with pytest.raises(sl.BundleError, match="another bundle"):
        sl.Recommender(model, seen=data).recommend_all(tmp_path / "all", 5)


def test_bad_requests(recommender, tmp_path):
    with pytest.raises(sl.SearchError):
        recommender.recommend_all(tmp_path / "all", 0)
    with pytest.raises(sl.ShortlistError, match="yeer"):
        recommender.recommend_all(tmp_path / "all", 5, where="yeer > 1")
    assert not (tmp_path / "all").exists()


def test_the_command(recommender, tmp_path):
    recommender.save(tmp_path / "b.shortlist")
    for expected in ("wrote 150 rows for 50 queries", "(1 of 1 file there already)"):
        done = shortlist(
            "recommend-all", "b.shortlist", "-o", "o", "--k", "3", "--pin", "2", "f4", "--json", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stderr
    table = read(tmp_path / "o")
    assert len(table) == 3 * len(recommender.query_ids)
    assert (table.filter(pl.col("film") == "f4").select("rank", "source").unique().rows()) == [(2, "pinned")]


def swapped(one: sl.Recommender) -> None:
    """One film goes and another comes, so that there are as many."""
    one.delete(["f1"])
    one.upsert({"film": ["new"], "year": [2019]})


def aged(one: sl.Recommender) -> None:
    one.upsert({"film": ["f20"], "year": [1950]})


@pytest.mark.parametrize(
    ("change", "options"),
    [(swapped, {}), (aged, {"where": "year >= 2005"}), (aged, {"rerank": sl.Rerank(boost={"year > 2005": 1.0})})],
)
def test_lists_of_before_a_change_are_never_taken_for_those_of_after(recommender, tmp_path, change, options):
    """Neither by the recommender that changed, nor by the bundle that it saved; vectors and sizes are the same."""
    changed = sl.Recommender(recommender.served)
    change(changed)
    changed.save(tmp_path / "a.shortlist")
    assert changed.index.size == recommender.index.size
    recommender.recommend_all(tmp_path / "all", 5, **options)
    for one in (changed, sl.Recommender.load(tmp_path / "a.shortlist")):
        with pytest.raises(sl.BundleError, match="another bundle, or made with other options"):
            one.recommend_all(tmp_path / "all", 5, **options)
    again = recommender.recommend_all(tmp_path / "all", 5, **options)
    assert again.found == again.parts


def test_lists_without_what_others_have_seen_are_not_taken_for_ones_own(recommender, tmp_path):
    pairs = recommender.seen.interactions
    films = [f"f{(int(one[1:]) + 1) % 30}" for one in pairs["film"]]
    seen = sl.Dataset({"user": pairs["user"].to_list(), "film": films}, "user", "film")
    other = sl.Recommender(recommender.model, seen=seen, fallback=())
    assert len(other.served.state.seen.values) == len(recommender.served.state.seen.values)
    recommender.recommend_all(tmp_path / "all", 5)
    with pytest.raises(sl.BundleError, match="another bundle, or made with other options"):
        other.recommend_all(tmp_path / "all", 5)
    recommender.recommend_all(tmp_path / "seen", 5, exclude_seen=False)
    assert other.recommend_all(tmp_path / "seen", 5, exclude_seen=False).found == 1  # which does not depend on it


def test_a_folder_that_does_not_name_its_tables_is_finished(recommender, tmp_path):
    """As version 0.2.0 wrote it."""
    recommender.recommend_all(tmp_path / "all", 5)
    plan = json.loads((tmp_path / "all/plan.json").read_text())
    del plan["tables"]
    (tmp_path / "all/plan.json").write_text(json.dumps(plan))
    assert recommender.recommend_all(tmp_path / "all", 5).found == 1
