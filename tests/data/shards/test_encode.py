"""An encoding resumes after any stop, and refuses a source or a folder that is not the one it began with."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import polars as pl
import pytest
from tests.data.shards.encoding import encoded

import shortlist as sl


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix == ".npy"}


def test_work_done_once_is_not_done_again(folder: Path, tmp_path: Path) -> None:
    first = encoded(folder, tmp_path / "shards")
    times = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "shards").iterdir()}
    again = encoded(folder, tmp_path / "shards", on_piece=lambda done, total: pytest.fail("encoded again"))
    assert again.fingerprint == first.fingerprint
    assert times == {file.name: file.stat().st_mtime_ns for file in (tmp_path / "shards").iterdir()}


KILLED = """
    import os, sys
    import shortlist as sl
    from shortlist.data.shards import files

    write, left = files.write_array, int(sys.argv[3])

    def dying(path, values):
        global left
        left -= 1
        if left == 0:  # in the middle of a file
            path.with_name(f".{path.name}.writing").write_bytes(b"half")
            os.kill(os.getpid(), 9)
        return write(path, values)

    files.write_array = dying
    sl.Shards.encode(sys.argv[1], sys.argv[2], query="user", candidate="film", timestamp="when", weight="stars",
                     block_rows=32, piece_rows=128)
"""


@pytest.mark.parametrize("after", [1, 4, 13])  # in the tables; in the first piece; in the third
def test_a_killed_run_is_taken_up_where_it_was(folder: Path, tmp_path: Path, after: int) -> None:
    whole = encoded(folder, tmp_path / "whole")
    target = tmp_path / "killed"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(folder), str(target), str(after)]
    assert subprocess.run(command, check=False, capture_output=True, timeout=300).returncode == -9
    with pytest.raises(sl.DataError, match="not finished"):
        sl.Shards.load(target)
    finished = {file.name: file.stat().st_mtime_ns for file in target.iterdir() if file.suffix == ".npy"}
    resumed = encoded(folder, target)
    assert contents(target) == contents(tmp_path / "whole")
    assert resumed.fingerprint == whole.fingerprint
    kept = [name for name, time in finished.items() if (target / name).stat().st_mtime_ns == time]
    assert len(kept) >= {1: 0, 4: 2, 13: 10}[after]  # two counts; and two pieces of four arrays
    assert sorted(file.name for file in target.iterdir()) == sorted(
        file.name for file in (tmp_path / "whole").iterdir()
    )


def test_a_full_disk_leaves_what_is_done_and_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, left = os.fsync, [12]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    target = tmp_path / "shards"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(sl.DataError, match="No space left on device") as failed:
            encoded(folder, target)
    assert "resumes with the first missing piece" in str(failed.value)
    assert not list(target.glob(".*"))
    encoded(folder, target)
    encoded(folder, tmp_path / "whole")
    assert contents(target) == contents(tmp_path / "whole")


def test_a_disk_without_room_is_named_before_anything_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 rows of 20 bytes: two row numbers, a weight and a time. A piece that is there, of 128 rows, needs no more."""
    target, room = tmp_path / "shards", [20_000 - 1]
    monkeypatch.setattr("shortlist.data.shards.encode.free_disk", lambda folder: room[0])
    with pytest.raises(sl.DataError, match=r"the shards of 1,000 rows need 20\.0 kB, and 20\.0 kB are free in"):
        encoded(folder, target, on_piece=lambda done, total: pytest.fail("encoded"))
    assert [file.name for file in target.iterdir()] == ["source.json"]
    room[0] += 1

    def stop(done: int, total: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        encoded(folder, target, on_piece=stop)
    room[0] = 872 * 20 - 1
    with pytest.raises(sl.DataError, match="the shards of 872 rows"):
        encoded(folder, target)
    room[0] += 1
    assert len(encoded(folder, target)) == 1000


def test_a_source_that_changed_is_named(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shards"
    encoded(folder, target)
    pl.read_parquet(folder / "b.parquet").head(100).write_parquet(folder / "b.parquet")
    (folder / "a.parquet").rename(folder / "d.parquet")
    with pytest.raises(sl.DataError) as changed:
        encoded(folder, target)
    for told in ("'d.parquet' is new", "'a.parquet' is gone", "'b.parquet' is changed"):
        assert told in str(changed.value)
    assert len(encoded(folder, target, overwrite=True)) == 750


def test_a_folder_of_something_else_is_left_alone(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.json").write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(sl.DataError, match=r"thesis\.json"):
            encoded(folder, target, overwrite=overwrite)
    assert (target / "thesis.json").read_text() == "{}"


def test_two_at_once_are_refused(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shards"

    def second(done: int, total: int) -> None:
        with pytest.raises(sl.DataError, match="another process"):
            encoded(folder, target)

    encoded(folder, target, on_piece=second)
