"""The log of changes: it comes back, a cut end is taken away, anything altered is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.errors import BundleError, ConfigError
from shortlist.serve.journal import Journal, LogGoneError, ShorterLog
from shortlist.store import disk


def record(number: int) -> dict[str, Any]:
    return {"op": "change", "at": float(number), "upsert": [], "delete": [f"i{number}"], "expire": []}


def read(folder: Path) -> list[dict[str, Any]]:
    """What the log in a folder holds."""
    journal = Journal(folder)
    try:
        return list(journal.read())
    finally:
        journal.close()


def test_the_log_comes_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([record(1), record(2)])
    journal.append([record(3)])
    with pytest.raises(ConfigError, match="another server"):
        Journal(tmp_path)
    journal.close()
    again = Journal(tmp_path)
    assert list(again.read()) == [record(1), record(2), record(3)]
    shorter = ShorterLog(again, [record(3)])
    again.append([record(4)])
    shorter.write(lambda: None)
    again.append([record(5)])
    shorter.replace_log()
    again.append([record(6)])
    assert again.weight == 8
    again.close()
    assert read(tmp_path) == [record(3), record(4), record(5), record(6)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changes.log"]


@settings(max_examples=60)
@given(data=st.data())
def test_a_log_cut_anywhere_keeps_what_was_whole_and_an_altered_one_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    journal = Journal(folder)
    ends = [0]
    for number in range(4):
        journal.append([record(number)])
        ends.append(journal.path.stat().st_size)
    journal.close()
    content = journal.path.read_bytes()
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(content)))
        journal.path.write_bytes(content[:cut])
        again = Journal(folder)
        whole = sum(end <= cut for end in ends) - 1
        assert list(again.read()) == [record(number) for number in range(whole)]
        again.append([record(9)])
        again.close()
        assert read(folder) == [*(record(number) for number in range(whole)), record(9)]
    else:
        at = data.draw(st.integers(0, ends[3] - 1))
        bit = 1 << data.draw(st.integers(0, 7))
        journal.path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        with pytest.raises(BundleError, match="was altered"):
            read(folder)


def renamed(path: Path) -> None:
    path.rename(path.with_name("changes.log.1"))


def rotated(path: Path) -> None:
    renamed(path)
    path.touch()


def truncated(path: Path) -> None:
    os.truncate(path, 0)


def copied_over(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def folder_removed(path: Path) -> None:
    shutil.rmtree(path.parent)


AWAY = [Path.unlink, renamed, rotated, truncated, copied_over, folder_removed]


@pytest.mark.parametrize("take_away", AWAY)
def test_a_log_that_is_taken_away_is_noticed_and_put_back(tmp_path: Path, take_away: Callable[[Path], None]) -> None:
    """Before, and between writing and the answer: nothing is written to a file that nobody will find."""
    folder = tmp_path / "state"
    journal = Journal(folder)
    journal.append([record(1)])
    take_away(journal.path)
    with pytest.raises(LogGoneError):
        journal.append([record(2)])
    journal.restore([record(1)])
    journal.append([record(2)])

    whole, fsync = os.fsync, [take_away]

    def taken(file: int) -> None:
        whole(file)
        if fsync:
            fsync.pop()(journal.path)

    os.fsync = taken  # type: ignore[assignment]
    try:
        with pytest.raises(LogGoneError):
            journal.append([record(3)])
    finally:
        os.fsync = whole
    journal.restore([record(1), record(2)])
    journal.append([record(3)])
    with pytest.raises(ConfigError, match="another server"):
        Journal(folder)
    journal.close()
    assert read(folder) == [record(1), record(2), record(3)]


def test_a_file_that_took_the_place_of_the_log_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([record(1)])
    journal.path.unlink()
    journal.path.write_bytes(b"a copy that somebody restored\n")
    journal.restore([record(1)])
    journal.close()
    assert read(tmp_path) == [record(1)]
    assert (tmp_path / "changes.log.aside").read_bytes() == b"a copy that somebody restored\n"


@pytest.mark.parametrize("take_away", [Path.unlink, renamed])
def test_no_second_server_starts_where_the_file_of_the_first_is_gone(
    tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    journal = Journal(tmp_path)
    take_away(journal.path)
    with pytest.raises(ConfigError, match="another server"):
        Journal(tmp_path)
    journal.close()


def test_who_lost_its_folder_to_another_server_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    first = Journal(folder)
    first.append([record(1)])
    shutil.rmtree(folder)
    second = Journal(folder)
    second.append([record(2)])
    with pytest.raises(LogGoneError):
        first.append([record(3)])
    with pytest.raises(BlockingIOError):
        first.restore([record(1)])
    first.close()
    second.close()
    assert read(folder) == [record(2)]


def test_a_shorter_log_that_cannot_be_written_leaves_the_longer_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([record(1), record(2)])

    def stopped() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ShorterLog(journal, [record(2)]).write(stopped)
    shorter = ShorterLog(journal, [record(2)])
    shorter.write(lambda: None)
    journal.path.unlink()
    with pytest.raises(LogGoneError):
        shorter.replace_log()
    journal.restore([record(1), record(2)])
    shorter = ShorterLog(journal, [record(2)])
    shorter.write(lambda: None)
    journal.restore([record(1), record(2)])
    with pytest.raises(LogGoneError):
        shorter.replace_log()
    journal.append([record(3)])
    journal.close()
    assert read(tmp_path) == [record(1), record(2), record(3)]


# Killed, and full disks.


class Killed(BaseException):
    """The process ends here."""


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, names: tuple[str, ...]) -> list[str]:
    """Have the process end at the step with this number, of those that call one of these functions of ``os``."""
    taken: list[str] = []

    def noted(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            taken.append(name)
            if len(taken) > step:
                raise Killed
            return whole(*arguments, **options)

        return call

    for name in names:
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    return taken


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("step", range(9))
def test_a_process_killed_while_it_puts_the_log_back_leaves_one_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, links: bool
) -> None:
    """Never nothing, from which the next start would begin afresh; where a file has one name alone, the new log is whole."""
    journal = Journal(tmp_path)
    journal.append([record(1), record(2)])
    other = journal.path.read_bytes() + b"somebody else's line\n"
    journal.path.write_bytes(other)
    whole = tmp_path / ".changes.log.restoring"

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(95, "Operation not supported")

    with monkeypatch.context() as patched:
        if not links:
            patched.setattr(os, "link", refused)
        taken = at_step(patched, step, ("write", "fsync", "link", "replace", "unlink"))
        try:
            journal.restore([record(1), record(2)])
        except Killed:
            assert len(taken) > step
    journal.close()
    places = (journal.path, tmp_path / "changes.log.aside")
    found = [path.read_bytes() for path in places if path.exists()]
    mine = other.removesuffix(b"somebody else's line\n")
    assert found in ([other], [other, other], [mine, other])
    if not journal.path.exists():
        assert not links
        assert whole.read_bytes() == mine


def test_a_full_disk_while_the_log_is_put_back_leaves_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.append([record(1)])
    with journal.path.open("ab") as file:
        file.write(b"somebody else's line\n")
    before = journal.path.read_bytes()

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            journal.restore([record(1)])
    assert [path.name for path in tmp_path.iterdir()] == ["changes.log"]
    assert journal.path.read_bytes() == before
    journal.restore([record(1)])
    journal.close()
    assert read(tmp_path) == [record(1)]


def test_a_log_that_is_put_back_while_a_shorter_one_is_written_is_not_mixed_with_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([record(1), record(2)])

    def some() -> Iterator[dict[str, Any]]:
        yield record(1)
        journal.path.unlink()
        journal.restore([record(1), record(2)])
        yield record(2)

    shorter = ShorterLog(journal, some())
    shorter.write(lambda: None)
    journal.append([record(3)])
    with pytest.raises(LogGoneError):
        shorter.replace_log()
    journal.check()
    journal.close()
    assert read(tmp_path) == [record(1), record(2), record(3)]
    assert [path.name for path in tmp_path.iterdir()] == ["changes.log"]


def test_what_comes_meanwhile_is_copied_without_being_decoded_until_little_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record arrives at each pause, of which each round has fewer; the journal's own thread copies one chunk at most."""
    monkeypatch.setattr("shortlist.serve.journal.CHUNK", 2000)
    monkeypatch.setattr("shortlist.serve.journal.LINES", 5)
    journal = Journal(tmp_path)
    journal.append([record(number) for number in range(500)])
    arrived = 500
    pauses = 0

    def pause() -> None:
        nonlocal arrived, pauses
        pauses += 1
        journal.append([record(arrived)])
        arrived += 1

    shorter = ShorterLog(journal, [record(number) for number in range(500)])
    with monkeypatch.context() as patched:
        patched.setattr("shortlist.serve.journal._DECODER", None)
        shorter.write(pause)
        read_at, pread = [], os.pread
        patched.setattr(os, "pread", lambda file, size, at: read_at.append(size) or pread(file, size, at))
        shorter.replace_log()
    assert arrived == 500 + pauses > 1000
    assert sum(read_at) <= 2000
    assert journal.weight == 2 * arrived
    journal.append([record(arrived)])
    journal.close()
    assert read(tmp_path) == [record(number) for number in range(arrived + 1)]


@pytest.mark.parametrize("at", ["the digits", "the record"])
def test_a_line_that_was_altered_on_the_disk_gets_no_good_checksum(tmp_path: Path, at: str) -> None:
    journal = Journal(tmp_path)
    journal.append([record(1)])
    shorter = ShorterLog(journal, [record(1)])
    size = journal.size
    journal.append([record(2)])
    with journal.path.open("r+b") as file:
        file.seek(size + (2 if at == "the digits" else 20))
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(b"0" if byte != b"0" else b"1")
    with pytest.raises(OSError, match="altered"):
        shorter.write(lambda: None)
    journal.append([record(3)])  # the journal is as it was
    journal.close()
    assert [path.name for path in tmp_path.iterdir()] == ["changes.log"]


@pytest.mark.parametrize("longer", [False, True])
def test_a_shorter_log_ends_where_the_long_one_was_cut_off(tmp_path: Path, longer: bool) -> None:
    """By `copytruncate`, before the look that finds it; or put back with more than it had."""
    journal = Journal(tmp_path)
    journal.append([record(1)])
    shorter = ShorterLog(journal, [record(1)])
    journal.append([record(2)])
    os.truncate(journal.path, 0)
    if longer:
        journal.restore([record(number) for number in range(9)])
    with pytest.raises(LogGoneError):
        shorter.write(lambda: None)
    journal.close()


@pytest.mark.parametrize("put", ["shortened", "put back"])
def test_the_name_of_the_log_is_on_the_disk_before_a_record_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: str
) -> None:
    """Else a power cut brings back the file that had the name before, without the record."""
    journal = Journal(tmp_path)
    journal.append([record(1), record(1)])
    folder, whole, synced = journal._folder, os.fsync, []

    def failing(file: int) -> None:
        if file == folder:
            raise OSError(5, "Input/output error")
        whole(file)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        if put == "shortened":
            shorter = ShorterLog(journal, [record(1)])
            shorter.write(lambda: None)
            shorter.replace_log()
        else:
            journal.path.unlink()
            journal.restore([record(1)])
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output"):
                journal.append([record(2)])
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(file), whole(file)))
    journal.append([record(3)])
    journal.append([record(4)])
    assert synced == [folder, journal._file, journal._file]
    journal.close()
    assert read(tmp_path) == [record(1), record(3), record(4)]


def test_the_names_of_new_folders_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(disk, "sync", synced.append)
    Journal(tmp_path / "a" / "b").close()
    assert sorted(synced) == [tmp_path, tmp_path / "a"]
    Journal(tmp_path / "a" / "b").close()
    assert len(synced) == 2


def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    for name in (".changes.log.writing", ".changes.log.restoring"):
        (tmp_path / name).write_bytes(b"half a log")
    Journal(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["changes.log"]
