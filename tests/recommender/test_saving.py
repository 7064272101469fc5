"""A save happens whole or not at all; see also tests/congruence/test_checked_folders.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shortlist as sl
from shortlist import store
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


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_place_is_checked_before_the_work(bundle: Path, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(bundle)
    (tmp_path / "dangling").symlink_to("nowhere")
    for name, says in {
        "file": "is not a bundle",
        "folder": "is not a bundle",
        "link": "is a link",
        "dangling": "is a link",
        "none/new": "does not exist",
        "x" * 300: "too long",
        "new": None,
    }.items():
        if says is None:
            room.check_place(tmp_path / name, overwrite)
            continue
        with pytest.raises(BundleError, match=says):
            room.check_place(tmp_path / name, overwrite)
    if overwrite:
        room.check_place(bundle, overwrite)
    else:
        with pytest.raises(BundleError, match="already exists"):
            room.check_place(bundle, overwrite)
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("exchange", [True, False])
def test_a_loaded_recommender_can_replace_its_own_bundle(
    bundle: Path, recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(store.folder, "_swapped", lambda *_: False)
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


def test_a_bundle_that_answers_differently_is_not_kept(
    recommender: sl.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = room.sealed

    def spoil(manifest: Any) -> bytes:
        for answer in manifest.golden:
            answer.rows.reverse()
        return sealed(manifest)

    monkeypatch.setattr(room, "sealed", spoil)
    with pytest.raises(BundleError):
        recommender.save(tmp_path / "b")
    assert names(tmp_path) == []


@pytest.mark.parametrize("file", ["vectors.safetensors", "model/weights.safetensors", "index/vectors"])
def test_what_came_to_the_disk_otherwise_than_it_is_in_memory_is_not_kept(
    recommender: sl.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """A number that changed on its way, before anything was worked out of the file; no stored request is asked for it."""
    from shortlist.index import storage
    from shortlist.recommender import contents

    monkeypatch.setattr("shortlist.recommender.golden.QUERIES", 1)
    write, array = contents.write_tensors, storage.Writer.array

    def other(values: Any) -> Any:
        changed = np.array(values)
        changed.reshape(-1)[-1:] += 1
        return changed

    def write_tensors(path: Path, arrays: Any) -> None:
        name = "unknown" if path.name == "vectors.safetensors" else next(iter(arrays))
        write(path, {**arrays, name: other(arrays[name])} if path.as_posix().endswith(file) else arrays)

    def write_array(self: Any, role: str, values: Any) -> None:
        array(self, role, other(values) if f"index/{role}" == file else values)

    monkeypatch.setattr(contents, "write_tensors", write_tensors)
    monkeypatch.setattr(storage.Writer, "array", write_array)
    if file == "model/weights.safetensors":  # of which nothing is left where all rows are vectors
        data = sl.Dataset({"who": ["ann"], "what": ["a"]}, "who", "what")
        model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
        model.prepare(data)
        recommender = sl.Recommender(model.eval(), index=sl.BruteForce(), cold_start="refuse")
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


def test_a_bundle_that_a_killed_save_had_set_aside_is_named_and_put_back(
    bundle: Path, recommender: sl.Recommender
) -> None:
    aside = bundle.rename(bundle.parent / ".tiny.shortlist.old-0123456789ab")
    with pytest.raises(BundleError, match="a save was cut off; the bundle that was there is") as refused:
        sl.Recommender.load(bundle)
    assert repr(str(aside)) in str(refused.value)
    with pytest.raises(BundleError, match="already exists"):
        recommender.save(bundle)
    assert sl.Recommender.load(bundle).recommend(ASK) == recommender.recommend(ASK)
    assert names(bundle.parent) == ["tiny.shortlist"]


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


def test_names_with_signs_of_patterns(recommender: sl.Recommender, tmp_path: Path) -> None:
    path = tmp_path / "a[1]*?.shortlist"
    recommender.save(path)
    recommender.save(path, overwrite=True)
    assert names(tmp_path) == [path.name]
    assert os.path.isdir(path)
