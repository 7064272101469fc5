"""Large arrays in files without a name."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from shortlist.store import mapped, mapped_zeros, roomy_zeros


def full(handle: int, start: int, size: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_array_in_a_file_is_zeros_that_can_be_written(tmp_path: Path) -> None:
    array = mapped_zeros((3, 2), np.float32, str(tmp_path))
    assert (array.shape, array.dtype, array.tolist()) == ((3, 2), np.float32, [[0, 0], [0, 0], [0, 0]])
    array[1] = 7
    assert array.tolist() == [[0, 0], [7, 7], [0, 0]]
    assert list(tmp_path.iterdir()) == []
    assert mapped_zeros((0, 2), np.int64).shape == (0, 2)


def test_a_disk_without_room_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        mapped_zeros((3, 2), np.float32, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_large_arrays_are_in_files_and_in_memory_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = mapped_zeros
    monkeypatch.setattr(mapped, "mapped_zeros", lambda *given: made.append(given[0]) or real(*given))
    for rows in (2, 3):  # 16 and 24 bytes
        assert roomy_zeros((rows, 2), np.float32, str(tmp_path), large=24).tolist() == [[0, 0]] * rows
    assert made == [(3, 2)]
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    assert roomy_zeros((3, 2), np.float32, str(tmp_path), large=24).tolist() == [[0, 0]] * 3


def test_a_system_that_cannot_reserve_looks_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    assert mapped_zeros((3, 2), np.float32, str(tmp_path)).tolist() == [[0, 0]] * 3
    monkeypatch.setattr(os, "fstatvfs", lambda handle: SimpleNamespace(f_bavail=3, f_frsize=8))
    assert mapped_zeros((3, 2), np.float32, str(tmp_path)).tolist() == [[0, 0]] * 3
    with pytest.raises(OSError, match="No space left"):
        mapped_zeros((25, 1), np.uint8, str(tmp_path))
    assert list(tmp_path.iterdir()) == []
