"""What a link no longer needs goes, and what anything needs stays."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import shortlist as sl
from shortlist.recommender.bundle import add_metadata
from shortlist.recommender.cleaning import clean, remaining
from shortlist.recommender.folder import amend
from shortlist.recommender.promotion import promote, rollback
from shortlist.serve.loaded import Loaded
from shortlist.store import using

ROWS = {"reader": [n // 3 for n in range(30)], "book": [n % 7 for n in range(30)]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = sl.Dataset(ROWS, "reader", "book")
    path = tmp_path_factory.mktemp("cleaning") / "one"
    sl.Recommender(sl.popularity(data), seen=data).save(path)
    return path


class Days:
    """Bundles of a link, one a day; ``fails`` of them were not promoted."""

    def __init__(self, bundle: Path, place: Path) -> None:
        self.bundle, self.place, self.link = bundle, place, place / "current"

    def add(self, number: int, promoted: bool = True, **run: Any) -> Path:
        path = Path(shutil.copytree(self.bundle, self.place / f"day-{number}"))
        add_metadata(path, {"run": {"link": "current", **run}})
        import msgspec

        created = f"2026-11-{number:02}T00:00:00+00:00"
        amend(path, lambda manifest: msgspec.structs.replace(manifest, created=created))
        if promoted:
            promote(path, self.link)
        return path

    @property
    def left(self) -> set[str]:
        return {path.name for path in self.place.iterdir() if path.is_dir() and not path.is_symlink()}


@pytest.fixture
def days(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Days:
    monkeypatch.setenv("SHORTLIST_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "models"
    place.mkdir()
    return Days(bundle, place)


def test_the_newest_stay_and_rollback_steps_over_the_gaps(days: Days) -> None:
    for number in range(1, 6):
        days.add(number, promoted=number not in (2, 4))
    stranger = days.add(9, promoted=False)
    add_metadata(stranger, {"run": {"link": "another"}})
    (days.place / "notes").mkdir()
    would = clean(days.link, 2, dry_run=True)
    assert [item.path.name for item in would.removed] == [
        "day-1",
        "day-2",
    ]  # 1, 3 and 5 were promoted; 4 is newer than 3
    assert all(item.bytes > 0 for item in would.removed)
    assert len(days.left) == 7
    done = clean(days.link, 2)
    assert done.removed == would.removed
    assert days.left == {"day-3", "day-4", "day-5", "day-9", "notes"}
    assert clean(days.link, 2).removed == []
    assert [path.name for path, _ in done.kept] == ["day-3", "day-4", "day-5"]
    assert dict(done.kept)[days.place / "day-5"] == "the link points to it"
    shutil.rmtree(days.place / "day-3")
    with pytest.raises(sl.BundleError, match="no bundle to go back to"):
        rollback(days.link)
    assert len(remaining(days.link)) == 1  # of one fingerprint, since all are copies


def test_what_the_link_points_to_stays_even_if_it_is_old(days: Days) -> None:
    for number in range(1, 5):
        days.add(number)
    rollback(days.link)
    rollback(days.link)
    assert os.readlink(days.link) == "day-2"
    clean(days.link, 1)  # days 3 and 4 were taken back; they are newer than what is kept
    assert days.left == {"day-2", "day-3", "day-4"}


def test_what_others_name_or_use_stays(days: Days) -> None:
    for number in range(1, 8):
        days.add(number)
    (days.place / "canary").symlink_to("day-1")
    promote(days.place / "day-2", days.place / "other")
    promote(days.place / "day-7", days.place / "other")
    served = Loaded.read(days.place / "day-3")
    with using(days.place / "day-4"):  # a training that starts from it
        done = clean(days.link, 1)
    assert days.left == {"day-1", "day-2", "day-3", "day-4", "day-7"}
    reasons = {path.name: reason for path, reason in done.kept}
    assert reasons["day-1"] == "the link 'canary' names it"
    assert reasons["day-2"] == "the record of 'other' names it"
    assert reasons["day-3"] == reasons["day-4"] == "a server or a training is using it"
    assert served.state is not None
    del served
    clean(days.link, 1)
    assert days.left == {"day-1", "day-2", "day-7"}


def test_shards_and_checkpoints_go_with_their_last_bundle(days: Days, tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_parquet(tmp_path / "log.parquet")
    places = {
        name: place / "shards" / name
        for name, place in (("old", tmp_path / "cache"), ("both", tmp_path / "cache"), ("used", tmp_path / "cache"))
    }
    places["own"] = tmp_path / "own"
    encoded = {
        name: sl.Shards.encode(tmp_path / "log.parquet", place, query="reader", candidate="book")
        for name, place in places.items()
    }
    runs = {name: tmp_path / f"run-{name}" for name in ("old", "busy")}
    for place in runs.values():
        place.mkdir()
        (place / "checkpoint-000000001.json").write_text("{}")
        (place / "notes.txt").write_text("mine")
    os.utime(runs["old"] / "checkpoint-000000001.json", (0, 0))
    for number, (shards, run) in enumerate(
        [("old", "old"), ("both", "busy"), ("used", None), ("own", None), ("both", None)], start=1
    ):
        days.add(number, shards=str(places[shards]), checkpoints=None if run is None else str(runs[run]))
    with encoded["used"].kept():
        done = clean(days.link, 1)
    assert days.left == {"day-5"}
    found = {item.path for item in done.removed if item.kind != "bundle"}
    assert found == {places["old"], runs["old"]}
    assert not places["old"].exists()
    assert all(
        sl.Shards.load(places[name]) for name in ("both", "used", "own")
    )  # a folder of one's own is not the cache
    assert [path.name for path in runs["old"].iterdir()] == ["notes.txt"]
    assert len(list(runs["busy"].iterdir())) == 2  # written to after its bundle was made: another run has it


def test_refusals(days: Days) -> None:
    with pytest.raises(sl.BundleError, match="there is no link"):
        clean(days.link, 7)
    days.add(1)
    with pytest.raises(sl.ConfigError, match="keep is 0"):
        clean(days.link, 0)


def test_what_cannot_be_removed_is_said(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        days.add(number)

    def refuses(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", refuses)
        with pytest.raises(sl.BundleError, match=r"could not be removed: .*Permission denied"):
            clean(days.link, 1)
    assert len(days.left) == 3
