"""Files of the impression log: what was acknowledged is read back, what was cut off is not, damage is found."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.test_journal import AWAY

import shortlist as sl
from shortlist.serve import impression_files
from shortlist.serve.impression_files import Segment, prune, records_of, segments
from shortlist.serve.journal import LogGoneError

ONE, TWO, THREE = ({"op": "shown", "at": float(n), "text": "ü" * n} for n in (1, 2, 3))


def written(folder: Path, *batches: list[dict[str, Any]]) -> Path:
    segment = Segment(folder)
    for batch in batches:
        segment.append(batch)
    segment.close()
    return segment.path


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    path = written(tmp_path / "log", [ONE, TWO], [THREE])
    assert list(records_of(path)) == [ONE, TWO, THREE]
    assert path.stat().st_mode & 0o077 == 0


def test_each_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    first, second = Segment(tmp_path), Segment(tmp_path)
    first.append([ONE])
    second.append([TWO])
    assert [[*records_of(path)] for path in segments(tmp_path)] == [[ONE], [TWO]]
    first.close()
    second.close()
    (tmp_path / "notes.log").write_text("not ours")
    assert written(tmp_path, [THREE]) == segments(tmp_path)[-1]
    assert len(segments(tmp_path)) == 3


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_last_line_that_was_cut_off_was_never_acknowledged(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path, [ONE, TWO])
    os.truncate(path, path.stat().st_size - cut)
    assert list(records_of(path)) == [ONE]


@pytest.mark.parametrize("damage", ["flip", "lose", "swap", "letters"])
def test_a_file_that_was_altered_is_refused(tmp_path: Path, damage: str) -> None:
    path = written(tmp_path, [ONE, TWO, THREE])
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "flip":
        lines[1] = lines[1].replace(b"2.0", b"5.0")
    elif damage == "lose":
        del lines[0]
    elif damage == "swap":
        lines.reverse()
    else:
        lines[1] = b"x\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(sl.BundleError, match="was altered at byte"):
        list(records_of(path))


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = Segment(tmp_path)
    segment.append([ONE])
    real = os.pwrite

    def full(file: int, content: bytes, place: int) -> int:
        real(file, content[:5], place)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            segment.append([TWO])
    segment.append([THREE])
    segment.close()
    assert list(records_of(segment.path)) == [ONE, THREE]


def test_the_oldest_files_go_first_and_files_in_use_stay(tmp_path: Path) -> None:
    old, kept = written(tmp_path, [ONE]), written(tmp_path, [TWO])
    held = Segment(tmp_path)
    held.append([THREE])
    assert prune(tmp_path, kept.stat().st_size + held.size) == 1
    assert segments(tmp_path) == [kept, held.path]
    assert not old.exists()
    assert prune(tmp_path, 0) == 1
    assert segments(tmp_path) == [held.path]
    held.close()
    assert prune(tmp_path, 10**9) == 0


def test_a_file_that_cannot_be_kept_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request makes another one then: files would run out."""
    closed, close = [], os.close

    def fails(folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(impression_files, "sync", fails)
    monkeypatch.setattr(os, "close", lambda file: closed.append(file) or close(file))
    for _ in range(5):
        with pytest.raises(OSError, match="Input/output"):
            Segment(tmp_path)
    assert len(closed) == 5
    assert segments(tmp_path) == []


@pytest.mark.parametrize("deleted", [False, True])
def test_a_new_file_that_another_process_looks_at_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    """It looks which files are in use, and may delete those that are not."""
    lock, looks = impression_files._lock, []

    def looked_at(file: int) -> None:
        looks.append(file)
        if len(looks) == 1 and deleted:
            (tmp_path / "00000001.log").unlink()
        elif len(looks) == 1:
            raise BlockingIOError
        lock(file)

    monkeypatch.setattr(impression_files, "_lock", looked_at)
    segment = Segment(tmp_path)
    segment.append([ONE])
    segment.close()
    assert segment.path.name == "00000002.log"
    assert [record for path in segments(tmp_path) for record in records_of(path)] == [ONE]


def test_a_file_that_another_process_has_deleted_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [written(tmp_path, [one]) for one in (ONE, TWO, THREE)]
    monkeypatch.setattr(impression_files, "segments", lambda folder: paths)
    paths[0].unlink()
    assert prune(tmp_path, paths[2].stat().st_size) == 1
    assert [path.exists() for path in paths] == [False, False, True]


@pytest.mark.parametrize("take_away", AWAY)
def test_a_file_that_is_taken_away_is_noticed(tmp_path: Path, take_away: Callable[[Path], None]) -> None:
    """Before the next record, and between writing and the answer."""
    segment = Segment(tmp_path / "log")
    segment.append([ONE])
    assert segment.whole
    take_away(segment.path)
    assert not segment.whole
    segment.close()
    segment = Segment(tmp_path / "log")
    segment.append([ONE])
    whole, taken = os.fsync, [take_away]

    def fsync(file: int) -> None:
        whole(file)
        if taken:
            taken.pop()(segment.path)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(LogGoneError):
            segment.append([TWO])
    segment.close()


@pytest.mark.parametrize("place", ["lock", "folder"])
def test_a_file_that_cannot_be_begun_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """No descriptor and no empty file, however often it is tried: without locks, and without a descriptor for the folder."""

    def refused(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(impression_files, "_lock" if place == "lock" else "sync", refused)
    held: list[int] = []
    whole = os.open
    monkeypatch.setattr(os, "open", lambda *options: held.append(whole(*options)) or held[-1])
    for _ in range(3):
        with pytest.raises(OSError, match="No locks"):
            Segment(tmp_path)
    assert len(held) >= 3
    for one in held:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(one)
    assert segments(tmp_path) == []


def test_files_that_another_process_deletes_meanwhile_are_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process deletes the oldest when it begins a file: before the look at the size, and after it."""
    old, kept = written(tmp_path, [ONE]), written(tmp_path, [TWO])
    whole = os.open

    def opened(path: Path, *options: Any) -> int:
        Path(path).unlink()
        return whole(path, *options)

    monkeypatch.setattr(impression_files, "segments", lambda folder: [folder / "00000000.log", old, kept])
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", opened)
        assert prune(tmp_path, kept.stat().st_size) == 1
    assert kept.exists()


@pytest.mark.parametrize("error", [24, 13])
def test_a_file_that_cannot_be_looked_at_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Without a descriptor nobody knows whether another process writes to it."""
    held = Segment(tmp_path)
    held.append([ONE])

    def refused(*_: Any) -> int:
        raise OSError(error, "no")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refused)
        assert prune(tmp_path, 0) == 0
    held.append([TWO])
    held.close()
    assert list(records_of(held.path)) == [ONE, TWO]
