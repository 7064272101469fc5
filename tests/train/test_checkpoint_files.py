"""Checkpoints on disk: the newest whole one is read."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.short_run import (
    assert_same,
    stopped,
    trained,
)

import shortlist as sl
from shortlist.model.storage import Part
from shortlist.store import checksum
from shortlist.train import checkpoint_files
from shortlist.train.processes import Alone


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
    with pytest.raises(sl.TrainingError, match="format 99; this version of shortlist reads up to 2"):
        trained("plain", checkpoints=sl.Checkpoints(tmp_path, resume=True))


def test_a_checkpoint_of_format_1_is_taken_up(tmp_path: Path) -> None:
    """It names one file, of whole tables."""
    stopped("adam", after=9, folder=tmp_path, every=4)
    for path in tmp_path.glob("*.json"):
        header = json.loads(path.read_text())
        del header["checksum"]
        (file,) = header.pop("files")
        header |= {"format": 1, "file": file}
        path.write_text(json.dumps({**header, "checksum": checksum(header)}))
    resumed = trained("adam", checkpoints=sl.Checkpoints(tmp_path, every=4, resume=True))
    assert_same(trained("adam"), resumed)


class Several(Alone):
    """One of several processes; threads stand for them."""

    def __init__(self, rank: int, said: list[Any], met: threading.Barrier) -> None:
        self.rank, self.size, self.first, self.part = rank, len(said), rank == 0, Part(rank, len(said))  # type: ignore[misc]
        self._said, self._met = said, met

    def gathered(self, value: Any) -> list[Any]:
        self._said[self.rank] = value
        self._met.wait(30)
        everyone = list(self._said)
        self._met.wait(30)
        return everyone


TABLE = torch.arange(14.0).view(7, 2)


def written_by(size: int, folder: Path, step: int = 1) -> list[str]:
    """A checkpoint of a table, and of a layer that the first process writes; the error of each, or none."""
    said, met = [None] * size, threading.Barrier(size)

    def write(rank: int) -> str:
        own = {"table": TABLE[rank::size]} | ({} if rank else {"layer": torch.ones(1, dtype=torch.bfloat16)})
        try:
            checkpoint_files.write(folder, step, {"processes": size}, own, 2, Several(rank, said, met))
        except OSError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(write, range(size)))


@pytest.mark.parametrize("writers", [1, 2, 3, 9])
@pytest.mark.parametrize("readers", [1, 2, 3, 9])
def test_any_number_of_processes_finds_its_rows_in_the_parts_of_any_other(
    writers: int, readers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "ROWS", 2)
    assert written_by(writers, tmp_path) == [""] * writers
    assert len(list(tmp_path.iterdir())) == writers + 1
    saved = checkpoint_files.newest(tmp_path)
    assert saved is not None
    assert [len(part["table"]) for part in saved.parts] == [len(range(rank, 7, writers)) for rank in range(writers)]
    assert torch.equal(saved.tensors["layer"], torch.ones(1, dtype=torch.bfloat16))
    for rank in range(readers):
        own = torch.zeros(len(range(rank, 7, readers)), 2)
        saved.copy("table", own, Part(rank, readers))
        assert torch.equal(own, TABLE[rank::readers])


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_where_one_process_cannot_write_the_last_good_checkpoint_stays(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_by(3, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    real = checkpoint_files.write_tensors

    def full(path: Path, tensors: Any) -> None:
        if path.name == f"tensors-{failing}":
            raise OSError(28, "No space left on device")
        real(path, tensors)

    monkeypatch.setattr(checkpoint_files, "write_tensors", full)
    assert written_by(3, tmp_path, step=2) == [f"rank {failing} of 3: [Errno 28] No space left on device"] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_folder_that_the_first_process_cannot_make_is_an_error_of_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    errors = written_by(2, tmp_path / "file" / "run")
    assert len(set(errors)) == 1
    assert "Not a directory" in errors[0]


def test_one_part_that_is_damaged_damages_the_checkpoint(tmp_path: Path) -> None:
    written_by(2, tmp_path)
    written_by(2, tmp_path, step=2)
    (torn,) = tmp_path.glob("checkpoint-000000002-2of2-*.safetensors")
    damage(torn, "altered")
    with pytest.warns(sl.ShortlistWarning, match="checkpoint-000000002: .*one before, of step 1"):
        saved = checkpoint_files.newest(tmp_path)
    assert saved is not None
    assert saved.step == 1
