"""Checkpoints on disk: the newest whole one is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.train.short_run import (
    assert_same,
    stopped,
    trained,
)

import shortlist as sl
from shortlist.store import checksum
from shortlist.train import checkpoint_files


def test_the_newest_stay(tmp_path: Path) -> None:
    trained("plain", checkpoints=sl.Checkpoints(tmp_path, every=5, keep=3))  # 24 batches
    assert checkpoint_files.steps_of(tmp_path) == [10, 15, 20]
    assert len(list(tmp_path.iterdir())) == 6  # two files each, and nothing else


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "altered"])
@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_torn_checkpoint_is_passed_over_for_the_one_before(suffix: str, how: str, tmp_path: Path) -> None:
    stopped("adam", after=9, folder=tmp_path, every=4)  # checkpoints at 4 and 8
    (torn,) = tmp_path.glob(f"checkpoint-000000008*.{suffix}")
    damage(torn, how)
    keeping = sl.Checkpoints(tmp_path, every=4, resume=True)
    if (suffix, how) == ("json", "missing"):  # then there is no checkpoint of 8
        resumed = trained("adam", checkpoints=keeping)
    else:
        with pytest.warns(sl.ShortlistWarning, match=r"checkpoint-000000008: .*one before, of step 4"):
            resumed = trained("adam", checkpoints=keeping)
    assert_same(trained("adam"), resumed)


def test_where_none_is_whole_it_is_said(tmp_path: Path) -> None:
    stopped("plain", after=9, folder=tmp_path, every=4)
    for path in tmp_path.glob("*.safetensors"):
        damage(path, "truncated")
    with pytest.raises(sl.TrainingError, match="none of the checkpoints"):
        trained("plain", checkpoints=sl.Checkpoints(tmp_path, resume=True))


def test_a_checkpoint_of_a_later_format_is_refused_by_its_number(tmp_path: Path) -> None:
    stopped("plain", after=4, folder=tmp_path, every=4)
    path = tmp_path / "checkpoint-000000004.json"
    header = json.loads(path.read_text())
    del header["checksum"]
    header["format"] = 99
    path.write_text(json.dumps({**header, "checksum": checksum(header)}))
    with pytest.raises(sl.TrainingError, match="format 99; this version of shortlist reads up to 1"):
        trained("plain", checkpoints=sl.Checkpoints(tmp_path, resume=True))
