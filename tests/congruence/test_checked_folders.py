"""All that is kept in checked folders, against the same faults: kills, a full disk, damage, links, pipes, leftovers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.faults import Calls, Killed, counted, files_up_to, power_cut_safe
from tests.store.users import USERS, User

import shortlist as sl

WRITTEN = Path(__file__).parents[1] / "store" / "written"
every_user = pytest.mark.parametrize("name", USERS)
CHECKED = (
    "bundle",
    "index",
    "shards",
    "grown",
    "checkpoints",
    "cache",
)  # every file of theirs is named with its digest
UNREAD = {"source.json", "tables.json"}  # notes of the encoding, not read by Shards.load


def read(user: User, place: Path) -> int | None:
    """The version that can be read; None where that is refused."""
    try:
        return user.read(place)
    except sl.ShortlistError:
        return None


def tree(place: Path) -> list[str]:
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))


def files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each user a place with version 1, and one with version 2 written over it."""
    root = tmp_path_factory.mktemp("clean")
    for name, user in USERS.items():
        for place in (root / f"{name}-1", root / f"{name}-2"):
            place.mkdir()
            user.write(place, 1)
        user.write(root / f"{name}-2", 2)
    return root


@pytest.fixture
def place(name: str, clean: Path, tmp_path: Path) -> Path:
    """A place with version 1."""
    return Path(shutil.copytree(clean / f"{name}-1", tmp_path / "place", symlinks=True))


@every_user
def test_versions_follow_each_other(name: str, place: Path, clean: Path) -> None:
    user = USERS[name]
    assert read(user, place) == 1
    with power_cut_safe():
        user.write(place, 2)
    assert read(user, place) == 2
    assert tree(place) == tree(clean / f"{name}-2")


@every_user
def test_a_process_killed_at_any_call_leaves_the_old_or_the_new(name: str, clean: Path, tmp_path: Path) -> None:
    user, allowed = USERS[name], {1, 2} if USERS[name].atomic else {1, 2, None}
    at = 0
    while True:
        place = tmp_path / "place"
        shutil.copytree(clean / f"{name}-1", place, symlinks=True)
        calls = Calls(at, kill=True)
        with counted(calls), contextlib.suppress(Killed):
            user.write(place, 2)
        assert read(user, place) in allowed, at
        if not calls.failed:
            break
        user.write(place, 2)
        assert read(user, place) == 2, at
        assert tree(place) == tree(clean / f"{name}-2"), at
        shutil.rmtree(place)
        at += user.every
    assert at >= 6


@every_user
def test_a_full_disk_is_an_error_and_leaves_the_old(name: str, clean: Path, tmp_path: Path) -> None:
    user, allowed = USERS[name], {1, 2} if USERS[name].atomic else {1, 2, None}
    at = 0
    while True:
        place = tmp_path / "place"
        shutil.copytree(clean / f"{name}-1", place, symlinks=True)
        calls, said = Calls(at), ""
        with counted(calls):
            try:
                user.write(place, 2)
            except (sl.ShortlistError, OSError) as error:
                said = str(error)
        assert "No space left" in said if said else not calls.failed or read(user, place) == 2, (at, said)
        assert read(user, place) in allowed, at
        assert not [path for path in tree(place) if "/." in f"/{path}"], at
        if not calls.failed:
            break
        user.write(place, 2)
        assert tree(place) == tree(clean / f"{name}-2"), at
        shutil.rmtree(place)
        at += user.every
    assert at >= 4


@every_user
@pytest.mark.parametrize("size", [0, 100, 200, 600])
def test_a_file_that_the_system_cuts_off_is_an_error_too(name: str, size: int, place: Path) -> None:
    user = USERS[name]
    with files_up_to(size), contextlib.suppress(sl.ShortlistError, OSError):
        user.write(place, 2)
    assert read(user, place) in ({1, 2} if user.atomic else {1, 2, None})
    assert not [path for path in tree(place) if "/." in f"/{path}"]
    user.write(place, 2)
    assert read(user, place) == 2


def harm(path: Path, how: str, elsewhere: Path) -> None:
    content = path.read_bytes()
    places = {"first bit": 0, "middle bit": len(content) // 2, "last bit": len(content) - 1}
    if how in places:
        at = places[how]
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    elif how in ("cut", "half", "empty", "grown"):
        path.write_bytes(
            {"cut": content[:-1], "half": content[: len(content) // 2], "empty": b""}.get(how, content + b"\n")
        )
    else:
        path.unlink()
        if how == "link":
            elsewhere.write_bytes(content)
            path.symlink_to(elsewhere)
        elif how == "pipe":
            os.mkfifo(path)
        elif how == "folder":
            path.mkdir()


@pytest.fixture
def impatient() -> Iterator[None]:
    """Whoever waits for the other end of a pipe is interrupted."""

    def end(*_: object) -> None:
        raise AssertionError("waits for a pipe")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 60)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize(
    "how", ["first bit", "middle bit", "last bit", "cut", "half", "empty", "grown", "gone", "link", "pipe", "folder"]
)
def test_damage_is_refused(name: str, how: str, place: Path, tmp_path: Path, impatient: None) -> None:
    user = USERS[name]
    for number, path in enumerate(files(place / name)):
        if path.name in UNREAD:
            continue
        kept = tmp_path / "kept"
        shutil.copytree(place, kept)
        harm(path, how, tmp_path / f"elsewhere-{number}")
        if how in ("grown", "cut") and path.suffix == ".json" and name in ("index", "checkpoints", "cache"):
            assert read(user, place) in (1, None)  # a blank line behind JSON changes nothing that it says
        else:
            assert read(user, place) is None, path
        if how == "pipe" or how == "folder":  # not to be replaced without asking, nor to be waited for
            with contextlib.suppress(sl.ShortlistError, OSError):
                user.write(place, 2)
        shutil.rmtree(place)
        kept.rename(place)


def test_the_record_of_promotions_may_be_no_pipe(tmp_path: Path, impatient: None) -> None:
    USERS["promotion"].write(tmp_path, 1)
    record = tmp_path / "current.promoted.json"
    for how in ("pipe", "link", "folder", "half"):
        content = record.read_bytes()
        harm(record, how, tmp_path / "elsewhere")
        with pytest.raises(sl.BundleError, match="record of promotions"):
            USERS["promotion"].write(tmp_path, 2)
        assert (tmp_path / "current").resolve().name == "bundle-1"
        shutil.rmtree(record) if record.is_dir() and not record.is_symlink() else record.unlink()
        record.write_bytes(content)


@pytest.mark.parametrize("name", ["bundle", "index", "cache", "checkpoints"])
def test_leftovers_go_with_the_next_write(name: str, place: Path, clean: Path) -> None:
    inside = name in ("index", "checkpoints")
    for role in ("writing", "old") if not inside else ("writing",):
        left = place / name / f".{role}-0123456789ab" if inside else place / f".{name}.{role}-0123456789ab"
        left.mkdir()
        (left / "half").write_bytes(b"x")
    USERS[name].write(place, 2)
    assert tree(place) == tree(clean / f"{name}-2")


@pytest.mark.parametrize("name", [name for name in USERS if name not in ("shards", "grown", "lists")])
def test_writers_at_once_wait_for_each_other(name: str, place: Path) -> None:
    failures: list[BaseException] = []

    def write(version: int) -> None:
        try:
            USERS[name].write(place, version)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(1 + number % 2,)) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert read(USERS[name], place) in (1, 2)


@pytest.mark.parametrize(
    "stored", ["bundle", "cache", "checkpoints", "checkpoints-2", "index", "lists", "promotion", "shards"]
)
def test_what_was_written_before_they_shared_their_code_is_read(stored: str, tmp_path: Path) -> None:
    """ "checkpoints" is format 1, "checkpoints-2" is format 2, with a file for each process."""
    place = Path(shutil.copytree(WRITTEN / stored, tmp_path / "place"))
    if stored == "promotion":
        (place / "current").symlink_to("bundle-1")
    assert USERS[stored.removesuffix("-2")].read(place) == 1


@pytest.mark.parametrize(("name", "stored"), [("index", "index"), ("checkpoints", "checkpoints-2")])
def test_what_is_written_is_the_same_to_the_byte(name: str, stored: str, place: Path) -> None:
    assert tree(place) == tree(WRITTEN / stored)
    for path in files(WRITTEN / stored):
        assert (place / path.relative_to(WRITTEN / stored)).read_bytes() == path.read_bytes()
