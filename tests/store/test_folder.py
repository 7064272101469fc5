"""Folders that are replaced in one step or added to, with every call of the file system failing in turn."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.store.faults import Calls, Killed, counted, power_cut_safe

from shortlist.store import disk
from shortlist.store import folder as rooms
from shortlist.store.disk import DamageError, Entry
from shortlist.store.seals import read_json

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def replace(place: Path, text: str) -> None:
    with rooms.new_folder(place / "folder") as scratch:
        (scratch / "inner").mkdir()
        (scratch / "inner" / "text").write_text(text)


def add(place: Path, text: str) -> None:
    with rooms.Additions(place / "folder") as new:
        (new.scratch / "text").write_text(text)
        entry = new.add(new.scratch / "text", "text", ".txt")
        new.publish("record.json", {"file": entry.to_dict()})
        new.remove(re.compile(r"^text-"), [entry.name])


def rewrite(place: Path, text: str) -> None:
    (place / "folder").mkdir(exist_ok=True)
    disk.write_file(place / "folder" / "file", text.encode())


def read(place: Path) -> str | None:
    folder = place / "folder"
    if (folder / "record.json").exists():
        file = read_json(folder / "record.json", 1)["file"]
        rooms.check(folder, {file["name"]: Entry(bytes=file["bytes"], sha256=file["sha256"])})
        return (folder / str(file["name"])).read_text()
    for path in (folder / "inner" / "text", folder / "file"):
        if path.exists():
            return path.read_text()
    return None


@pytest.mark.parametrize("write", [replace, add, rewrite])
@pytest.mark.parametrize("swaps", [True, False])
@pytest.mark.parametrize("kill", [True, False])
def test_any_call_may_fail(
    write: Callable[[Path, str], None], swaps: bool, kill: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not swaps:
        monkeypatch.setattr(rooms, "_swapped", lambda *_: False)
    at, failed = 0, True
    while failed:
        place = tmp_path / str(at)
        place.mkdir()
        write(place, "old")
        calls = Calls(at, kill)
        with counted(calls), contextlib.suppress(Killed, OSError):
            write(place, "new")
        failed = calls.failed
        left = {"old", "new"} | ({None} if kill and not swaps else set())
        assert read(place) in left, at
        if not kill:
            assert [path.name for path in place.rglob(".*")] == [], at
        write(place, "newer")
        assert read(place) == "newer"
        assert [path.name for path in place.rglob(".*")] == [], at
        assert sum(path.is_file() for path in place.rglob("*")) == (2 if write is add else 1), at
        at += 1
    assert at > 4


@pytest.mark.parametrize("write", [replace, add, rewrite])
@pytest.mark.parametrize("swaps", [True, False])
def test_nothing_takes_its_place_before_it_is_on_the_disk(
    write: Callable[[Path, str], None], swaps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not swaps:
        monkeypatch.setattr(rooms, "_swapped", lambda *_: False)
    with power_cut_safe():
        for text in ("old", "new"):
            write(tmp_path, text)
            assert read(tmp_path) == text


def test_a_folder_set_aside_is_put_back(tmp_path: Path) -> None:
    replace(tmp_path, "old")
    (tmp_path / "folder").rename(tmp_path / ".folder.old-0123456789ab")
    assert [path.name for path in rooms.set_aside(tmp_path / "folder")] == [".folder.old-0123456789ab"]
    with pytest.raises(ZeroDivisionError), rooms.new_folder(tmp_path / "folder"):
        _ = 1 / 0
    assert read(tmp_path) == "old"
    assert rooms.set_aside(tmp_path / "folder") == []


def test_what_is_no_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(NotADirectoryError), rooms.new_folder(tmp_path / name) as scratch:
            (scratch / "text").write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_links_are_not_stored(tmp_path: Path) -> None:
    with pytest.raises(DamageError, match="plain file was expected"), rooms.new_folder(tmp_path / "a") as scratch:
        (scratch / "link").symlink_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with rooms.locked(tmp_path), pytest.raises(BlockingIOError), rooms.locked(tmp_path, wait=False):
        pytest.fail("held twice")
    with rooms.locked(tmp_path, wait=False):
        pass
    with pytest.raises(FileNotFoundError), rooms.locked(tmp_path / "nowhere"):
        pytest.fail("locked nothing")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"abc": Entry(bytes=3, sha256=ABC)}, None),
        ({"abc": Entry(bytes=1234, sha256=ABC)}, r"abc' has 3 bytes; 1,234 were saved"),
        ({"abc": Entry(bytes=3, sha256="0" * 64)}, r"abc' was altered: its sha256 differs"),
        ({"other": Entry(bytes=3, sha256=ABC)}, r"other' is missing"),
        ({"link": Entry(bytes=3, sha256=ABC)}, r"link' is a link or a special file; a plain file was expected"),
        ({"inner": Entry(bytes=3, sha256=ABC)}, r"inner' is a link or a special file"),
        ({"../abc": Entry(bytes=3, sha256=ABC)}, "names '../abc', which is outside the folder"),
        ({"/etc/hostname": Entry(bytes=3, sha256=ABC)}, "is outside the folder"),
        ({"inner\\abc": Entry(bytes=3, sha256=ABC)}, "is outside the folder"),
        ({"": Entry(bytes=3, sha256=ABC)}, "is outside the folder"),
    ],
)
def test_each_file_is_compared(entry: dict[str, Entry], says: str | None, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "abc").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("abc")
    with pytest.raises(DamageError, match=says) if says else contextlib.nullcontext():
        rooms.check(tmp_path, entry)


def test_what_is_not_read_is_compared_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abd")
    pauses: list[int] = []
    rooms.check(tmp_path, {"abc": Entry(bytes=3, sha256=ABC)}, lambda name: name != "abc")
    with pytest.raises(DamageError, match="sha256"):
        rooms.check(tmp_path, {"abc": Entry(bytes=3, sha256=ABC)}, pause=lambda: pauses.append(1))
    assert pauses == [1]


def test_a_folder_may_hold_what_its_manifest_names_alone(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("manifest", "inner/abc"):
        (tmp_path / name).write_bytes(b"abc")
    assert rooms.entries_of(tmp_path / "inner") == {"abc": Entry(bytes=3, sha256=ABC)}
    rooms.check_names(tmp_path, ["inner/abc"], "manifest")
    with pytest.raises(DamageError, match="holds 'inner/abc', which its manifest does not name"):
        rooms.check_names(tmp_path, [], "manifest")
    shutil.rmtree(tmp_path / "inner")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DamageError, match="special file"):
        rooms.check_names(tmp_path, [], "manifest")


def test_entries_that_are_known_are_not_worked_out_again(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("known", "inner/new"):
        (tmp_path / name).write_text("abc")
    known = Entry(bytes=3, sha256="0" * 64)
    assert rooms.entries_of(tmp_path, {"known": known}) == {"known": known, "inner/new": Entry(bytes=3, sha256=ABC)}
    assert rooms.entries_of(tmp_path)["known"] == Entry(bytes=3, sha256=ABC)


def test_room_for_something_new_is_tried_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for path in (tmp_path / "new", tmp_path / "there"):
        rooms.check_writable(path)
    rooms.check_writable_file(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    with pytest.raises(IsADirectoryError):
        rooms.check_writable_file(tmp_path / "there")
    for path in (tmp_path / "none" / "new", tmp_path / ("x" * 300)):
        for check in (rooms.check_writable, rooms.check_writable_file):
            with pytest.raises(OSError, match=r"No such file|too long"):
                check(path)


def test_a_disk_that_refuses_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="Read-only"):
        rooms.check_writable(tmp_path / "new")


def test_what_is_in_use_is_seen(tmp_path: Path) -> None:
    """By several at a time; a file too; of what is missing nothing is in use."""
    assert not rooms.in_use(tmp_path)
    with rooms.using(tmp_path):
        assert rooms.in_use(tmp_path)
        with rooms.using(tmp_path):
            pass
        assert rooms.in_use(tmp_path)
    assert not rooms.in_use(tmp_path)
    (tmp_path / "file").touch()
    with rooms.using(tmp_path / "file"):
        assert rooms.in_use(tmp_path / "file")
        assert not rooms.in_use(tmp_path)
    with rooms.using(tmp_path / "nowhere"):
        assert not rooms.in_use(tmp_path / "nowhere")


@pytest.mark.parametrize("failing", ["second file", "record"])
def test_what_was_added_and_not_published_takes_no_room(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, "old")
    before = sorted(path.name for path in (tmp_path / "folder").iterdir())

    def adding(again: str, new: str) -> None:
        with rooms.Additions(tmp_path / "folder") as folder:
            for text in (again, new):
                (folder.scratch / "text").write_text(text)
                entry = folder.add(folder.scratch / "text", "text", ".txt")
                if text == new and failing == "second file":
                    raise OSError(errno.ENOSPC, "No space left on device")
            monkeypatch.setattr(rooms, "in_one_step", full)
            folder.publish("record.json", {"file": entry.to_dict()})

    @contextlib.contextmanager
    def full(*_: object) -> Iterator[Path]:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield tmp_path

    with pytest.raises(OSError, match="No space left"):
        adding("old", "new")  # the first is in use already
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == before
    assert read(tmp_path) == "old"


def test_files_of_a_record_that_is_in_place_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails after that, nobody knows whether the record is on it; its files must be."""
    synced = disk.sync

    def fails_for_the_folder(path: Path) -> None:
        if path == tmp_path / "folder" and (path / "record.json").exists():
            raise OSError(errno.EIO, "Input/output error")
        synced(path)

    monkeypatch.setattr(disk, "sync", fails_for_the_folder)
    with pytest.raises(OSError, match="Input/output error"):
        add(tmp_path, "new")
    assert read(tmp_path) == "new"


def test_a_pipe_is_a_place_for_a_result_and_a_folder_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    rooms.check_writable_file(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("elsewhere/file")
    for place in (tmp_path, tmp_path / "link", tmp_path / "none" / "file"):
        with pytest.raises((IsADirectoryError, FileNotFoundError)):
            rooms.check_writable_file(place)
    (tmp_path / "elsewhere").mkdir()
    rooms.check_writable_file(tmp_path / "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "link", "pipe"]
