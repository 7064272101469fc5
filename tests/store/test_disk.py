"""Digests, and files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from shortlist.store import disk

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_digests_are_sha256_in_the_order_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nothing").write_bytes(b"")
    (tmp_path / "abc").write_bytes(b"abc")
    files = [tmp_path / "nothing", tmp_path / "abc", tmp_path / "nothing"]
    assert disk.digest(tmp_path / "abc") == ABC
    assert disk.digests(files) == [NOTHING, ABC, NOTHING]
    monkeypatch.setattr(disk, "CHUNK", 2)  # several are read at a time, in pieces
    assert disk.digests(files) == [NOTHING, ABC, NOTHING]
    assert disk.digests([]) == []


@pytest.mark.parametrize("place", ["block", "replace"])
def test_what_goes_wrong_leaves_what_was_there(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if place == "replace":
        monkeypatch.setattr(os, "replace", full)

    def replaced() -> None:
        with disk.in_one_step(path) as beside:
            beside.write_text("new")
            if place == "block":
                full()

    with pytest.raises(OSError, match="No space left"):
        replaced()
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("file", "old")]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    with disk.in_one_step(tmp_path / "link") as beside:
        os.symlink("first", beside)
    os.symlink("half", tmp_path / ".link.writing")
    with disk.in_one_step(tmp_path / "link") as beside:
        os.symlink("second", beside)
    assert [(one.name, os.readlink(one)) for one in tmp_path.iterdir()] == [("link", "second")]


def test_what_describes_others_is_a_plain_file_of_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        disk.read_file(path)
    path.write_bytes(b"four")
    assert disk.read_file(path, limit=4) == b"four"
    with pytest.raises(disk.DamageError, match="has 4 bytes; at most 3 are read"):
        disk.read_file(path, limit=3)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(disk.DamageError, match="plain file was expected"):
            disk.read_file(tmp_path / name)


def test_the_names_of_folders_that_are_made_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(disk, "sync", synced.append)
    for _ in range(2):
        disk.make_folder(tmp_path / "a" / "b")
        assert sorted(synced) == [tmp_path, tmp_path / "a"]
    assert (tmp_path / "a" / "b").is_dir()

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(disk, "sync", refused)
    disk.make_folder(tmp_path / "c")  # in a folder that may be written to, and not read
    assert (tmp_path / "c").is_dir()


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_result_is_there_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    disk.write_result(path, b"old")
    link = tmp_path / "link.json"
    link.symlink_to("result.json")
    with monkeypatch.context() as context:
        context.setattr(disk, "sync", full)
        for named in (path, link):
            with pytest.raises(OSError, match="No space left"):
                disk.write_result(named, b"new and longer")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"result.json": b"old", "link.json": b"old"}
    path.chmod(0o600)
    disk.write_result(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_result_goes_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    disk.write_result(tmp_path / "pipe", b"result")
    assert os.read(reader, 10) == b"result"
    os.close(reader)
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system has no /proc")
def test_a_result_goes_into_an_open_file(tmp_path: Path) -> None:
    """As /dev/stdout is a link to one: neither the link nor the file behind it is replaced."""
    with (tmp_path / "output").open("w+b") as output:
        (tmp_path / "stdout").symlink_to(f"/proc/self/fd/{output.fileno()}")
        output.write(b"first, ")
        output.flush()
        for place in (tmp_path / "stdout", Path(f"/proc/self/fd/{output.fileno()}")):
            disk.write_result(place, b"result, ")
        output.write(b"last")
        output.flush()
        assert os.path.samestat(os.fstat(output.fileno()), os.stat(tmp_path / "output"))
    assert (tmp_path / "output").read_bytes() == b"first, result, result, last"
    assert (tmp_path / "stdout").is_symlink()


def test_a_file_in_a_folder_that_takes_no_other_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda place, mode: str(place) != str(tmp_path))
    monkeypatch.setattr(os, "replace", full)
    disk.write_result(path, b"new")
    assert path.read_bytes() == b"new"
