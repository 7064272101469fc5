"""A save happens whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import shortlist as sl
from shortlist.errors import BundleError, ConfigError
from shortlist.recommender import folder as room

ASK = ["ann", "bob", "cat", "eve"]


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


@pytest.fixture
def other(model: sl.TwoTower) -> sl.Recommender:
    """A recommender that answers differently."""
    return sl.Recommender(model, index=sl.BruteForce(), cold_start="popularity")


def test_what_is_there_stays_unless_told(bundle: Path, other: sl.Recommender) -> None:
    before = sl.Recommender.load(bundle).recommend(ASK)
    with pytest.raises(BundleError, match="already exists"):
        other.save(bundle)
    assert sl.Recommender.load(bundle).recommend(ASK) == before
    other.save(bundle, overwrite=True)
    assert sl.Recommender.load(bundle).recommend(ASK) == other.recommend(ASK) != before
    assert names(bundle.parent) == ["tiny.shortlist"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_loaded_recommender_can_replace_its_own_bundle(
    bundle: Path, recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(room, "_exchanged", lambda *_: False)
    loaded = sl.Recommender.load(bundle)
    loaded.save(bundle, overwrite=True, metadata={"again": 1})
    assert loaded.recommend(ASK) == recommender.recommend(ASK)
    assert sl.Recommender.load(bundle).metadata == {"again": 1}
    assert names(bundle.parent) == ["tiny.shortlist"]


def test_what_is_no_bundle_is_never_replaced(recommender: sl.Recommender, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "manifest.json").write_text('{"name": "an extension"}')
    (tmp_path / "link").symlink_to(bundle)
    for name in ("file", "folder", "link"):
        with pytest.raises(BundleError, match="not a bundle"):
            recommender.save(tmp_path / name, overwrite=True)
    with pytest.raises(BundleError, match="does not exist"):
        recommender.save(tmp_path / "no" / "such")
    assert names(tmp_path) == ["file", "folder", "link", "tiny.shortlist"]


@pytest.mark.parametrize("place", ["write_tensors", "sync", "_write_parquet", "_put", "index", "digests"])
def test_a_full_disk_leaves_the_old_bundle(
    bundle: Path, other: sl.Recommender, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    before = sl.Recommender.load(bundle).recommend(ASK)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if place == "index":
        monkeypatch.setattr(other.index, "save", full)
    else:
        owner = room if hasattr(room, place) else sl.recommender.bundle  # type: ignore[attr-defined]
        monkeypatch.setattr(owner, place, full)
    with pytest.raises(BundleError, match="No space left"):
        other.save(bundle, overwrite=True)
    with pytest.raises(BundleError, match="No space left"):
        other.save(bundle.parent / "new")
    monkeypatch.undo()
    assert names(bundle.parent) == ["tiny.shortlist"]
    assert sl.Recommender.load(bundle).recommend(ASK) == before


def test_a_file_that_the_system_cuts_off_leaves_nothing(bundle: Path) -> None:
    code = (
        "import sys, resource, shortlist as sl\n"
        "from shortlist.errors import BundleError\n"
        "loaded = sl.Recommender.load(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "try: loaded.save(sys.argv[1] + '2')\n"
        "except BundleError as error: sys.exit(0 if 'large' in str(error).lower() else str(error))\n"
        "sys.exit('saved')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert names(bundle.parent) == ["tiny.shortlist"]


def test_a_bundle_that_answers_differently_is_not_kept(
    recommender: sl.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = room._seal

    def spoil(folder: Path, manifest: Any, tensors: Any) -> None:
        for answer in manifest.golden:
            answer.rows.reverse()
        put(folder, manifest, tensors)

    monkeypatch.setattr(room, "_seal", spoil)
    with pytest.raises(BundleError):
        recommender.save(tmp_path / "b")
    assert names(tmp_path) == []


def test_a_model_trained_further_is_not_saved_beside_old_vectors(
    recommender: sl.Recommender, model: sl.TwoTower, tmp_path: Path
) -> None:
    for table in model.query.tables.values():
        table.weight.mul_(2)
    with pytest.raises(ConfigError, match="trained further"):
        recommender.save(tmp_path / "b")


def test_a_changed_index_is_not_saved(recommender: sl.Recommender, tmp_path: Path) -> None:
    recommender.index.delete([0])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="index was changed"):
        recommender.save(tmp_path / "b")


KILLED = """
import os, signal, sys
import shortlist as sl
import shortlist.recommender
from shortlist.recommender import folder as room
path, exchange = sys.argv[1], sys.argv[2] == "exchange"
if not exchange:
    room._exchanged = lambda *_: False

def forked(task):  # this process itself never uses Polars, whose threads do not survive a fork
    child = os.fork()
    if child == 0:
        try:
            task()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]

def save():
    loaded = sl.Recommender.load(path)
    left = point
    def counting(function):
        def counted(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return counted
    for name in ("fsync", "rename", "rmdir", "mkdir", "unlink"):
        setattr(os, name, counting(getattr(os, name)))
    loaded.save(path, overwrite=True, metadata={"point": point})

def load():
    if os.path.exists(path):
        sl.Recommender.load(path).recommend(["ann"])
        return
    assert not exchange, point
    try:
        sl.Recommender.load(path)
    except sl.BundleError as error:
        assert "a save was cut off; the bundle that was there is" in str(error), error
        os.rename(str(error).rsplit("'", 2)[1], path)
        sl.Recommender.load(path).recommend(["ann"])
    else:
        raise AssertionError(point)

point = 0
while (status := forked(save)) != 0:
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    assert forked(load) == 0, point
    point += 1
print(point)
"""


@pytest.mark.parametrize("way", ["exchange", "aside"])
def test_a_killed_save_never_leaves_its_user_without_a_bundle(bundle: Path, way: str) -> None:
    command = [sys.executable, "-c", KILLED, str(bundle), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20  # points at which it was killed
    assert names(bundle.parent) == ["tiny.shortlist"]  # the last save removed what the killed ones left
    assert sl.Recommender.load(bundle).metadata == {"point": int(done.stdout)}


def test_a_save_killed_at_any_moment_leaves_the_old_bundle(bundle: Path, recommender: sl.Recommender) -> None:
    code = (
        "import sys, shortlist as sl\n"
        "loaded = sl.Recommender.load(sys.argv[1])\n"
        "print('saving', flush=True)\n"
        "while True: loaded.save(sys.argv[1], overwrite=True)"
    )
    for moment in (0.0, 0.013, 0.031):
        child = subprocess.Popen([sys.executable, "-c", code, str(bundle)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        threading.Event().wait(moment)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert sl.Recommender.load(bundle).recommend(ASK) == recommender.recommend(ASK)
    recommender.save(bundle, overwrite=True)
    assert names(bundle.parent) == ["tiny.shortlist"]


def test_saves_into_one_place_wait_for_each_other(recommender: sl.Recommender, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def save() -> None:
        try:
            recommender.save(tmp_path / "b", overwrite=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(tmp_path) == ["b"]
    assert sl.Recommender.load(tmp_path / "b").recommend(ASK) == recommender.recommend(ASK)


def test_names_with_signs_of_patterns(recommender: sl.Recommender, tmp_path: Path) -> None:
    path = tmp_path / "a[1]*?.shortlist"
    recommender.save(path)
    recommender.save(path, overwrite=True)
    assert names(tmp_path) == [path.name]
    assert os.path.isdir(path)
