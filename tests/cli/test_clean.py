"""``shortlist clean`` as a person types it, and collections in a Milvus that is embedded in a file."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from tests.cli.typed import shortlist

import shortlist as sl
from shortlist.recommender.promotion import promote


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Three bundles of different data, promoted one after another."""
    for number in (1, 2, 3):
        rows = {"reader": [n // 3 for n in range(30)], "book": [n % (4 + number) for n in range(30)]}
        data = sl.Dataset(rows, "reader", "book")
        model = sl.TwoTower(sl.Tower(sl.IntegerLookup("reader"), dim=4), sl.Tower(sl.IntegerLookup("book"), dim=4))
        sl.fit(model, data, epochs=1, seed=number)
        path = tmp_path / f"day-{number}.shortlist"
        sl.Recommender(model, index=sl.BruteForce()).save(path, metadata={"run": {"link": "current"}})
        promote(path, tmp_path / "current")
    return tmp_path


def test_what_is_old_is_listed_and_then_removed(days: Path) -> None:
    would = shortlist("clean", "current", "--keep", "2", "--dry-run", cwd=days)
    assert would.returncode == 0, would.stderr
    assert "would remove bundle" in would.stderr
    assert (days / "day-1.shortlist").is_dir()
    done = shortlist("clean", "current", "--keep", "2", "--json", cwd=days)
    assert done.returncode == 0, done.stderr
    (removed,) = json.loads(done.stdout)["removed"]
    assert removed["kind"] == "bundle"
    assert removed["path"].endswith("day-1.shortlist")
    assert not (days / "day-1.shortlist").exists()
    again = shortlist("clean", "current", "--keep", "2", cwd=days)
    assert "nothing to remove" in again.stderr
    back = [shortlist("rollback", "current", cwd=days).returncode for _ in range(2)]
    assert back == [0, 1]


def test_refusals(days: Path) -> None:
    for words, message in (
        (("clean", "nowhere"), "there is no link"),
        (("clean", "current", "--keep", "0"), "keep is 0"),
        (("clean", "current", "--collections", "x.db"), "belong together"),
    ):
        done = shortlist(*words, cwd=days)
        assert done.returncode == 1
        assert message in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("milvus_lite") is None, reason="milvus-lite is not installed")
def test_collections_of_bundles_that_are_gone_are_dropped(days: Path) -> None:
    """Not the one that the alias leads to, nor those of bundles that stay, nor other people's."""
    from pymilvus import MilvusClient

    for number in (1, 2, 3):
        done = shortlist("index", f"day-{number}.shortlist", "--to", "books.db", "--name", "books", cwd=days)
        assert done.returncode == 0, done.stderr
    fingerprints = [sl.Recommender.load(days / f"day-{number}.shortlist").fingerprint[:16] for number in (1, 2, 3)]
    client = MilvusClient(str(days / "books.db"))
    client.create_collection("books_mine", dimension=4)
    words = ("clean", "current", "--keep", "2", "--collections", "books.db", "--name", "books")
    would = shortlist(*words, "--dry-run", cwd=days)
    assert f"would remove collection books_{fingerprints[0]}" in would.stderr
    done = shortlist(*words, cwd=days)
    assert done.returncode == 0, done.stderr
    left = {f"books_{one}" for one in fingerprints[1:]} | {"books_mine"}
    assert set(client.list_collections()) == left
    shutil.rmtree(days / "day-2.shortlist")
    shortlist(*words, cwd=days)
    assert set(client.list_collections()) == left - {f"books_{fingerprints[1]}"}
