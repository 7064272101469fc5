"""The files of a table: in order, without hidden ones and second ways to one file; and what is refused by name."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

import shortlist as sl
from shortlist.data.listing import first_line, listed


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n1\n")
    return folder


def names_of(source: Path) -> list[str]:
    return [file.name for file in listed(str(source), "log").files]


def test_one_file(tmp_path: Path) -> None:
    (file,) = listed(make(tmp_path, "a.csv") / "a.csv", "log").files
    assert (file.name, file.bytes, file.partitions) == ("a.csv", 4, {})
    assert file.stamp.startswith("4 bytes, changed ")


def test_a_folder_is_in_the_order_of_its_names_part_by_part(tmp_path: Path) -> None:
    make(tmp_path, "b.csv", "a/z.csv", "a-b/c.csv", "a/_SUCCESS.csv", ".hidden/d.csv", "notes.txt")
    assert names_of(tmp_path) == ["a/z.csv", "a-b/c.csv", "b.csv"]
    assert listed(str(tmp_path), "log").notes == ("2 files left out, hidden or staging (such as '.hidden/d.csv')",)


def test_partitions_are_read_off_the_path(tmp_path: Path) -> None:
    make(tmp_path, "day=2024-01-02/city=S%C3%A3o/a.csv", "day=__HIVE_DEFAULT_PARTITION__/city=x/b.csv")
    found = {file.name.rpartition("/")[2]: dict(file.partitions) for file in listed(str(tmp_path), "log").files}
    assert found == {"a.csv": {"day": "2024-01-02", "city": "São"}, "b.csv": {"day": None, "city": "x"}}


def test_patterns(tmp_path: Path) -> None:
    make(tmp_path, "a1.csv", "a2.csv", "b.csv", "deep/a3.csv", "_a4.csv")
    assert names_of(tmp_path / "a*.csv") == ["a1.csv", "a2.csv"]
    assert names_of(tmp_path / "**/a*.csv") == ["a1.csv", "a2.csv", "deep/a3.csv"]
    assert names_of(tmp_path / "_a*.csv") == ["_a4.csv"]  # named so by the user


def test_a_link_to_a_file_that_is_there_is_read_once(tmp_path: Path) -> None:
    make(tmp_path, "a.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    listing = listed(str(tmp_path), "log")
    assert [file.name for file in listing.files] == ["a.csv"]
    assert listing.notes == ("1 file left out, a link to a file that is read already (such as 'b.csv')",)


def test_folders_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    make(tmp_path, "a/b.csv")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    assert names_of(tmp_path) == ["a/b.csv"]


@pytest.mark.parametrize(
    ("made", "asked", "says"),
    [
        ((), "nowhere.csv", "does not exist"),
        ((), "no*.csv", "no file matches"),
        (("a.xlsx",), "a.xlsx", "has the extension '.xlsx'"),
        (("a.csv", "b.jsonl"), "", "holds files of several formats"),
        (("a.csv", "a.csv.gz"), "", "look like one file twice"),
        (("_a.csv",), "", "holds no files but hidden or staging ones, such as '_a.csv'"),
        (("lake/_delta_log/0.json", "a.csv"), "", "holds a table with a log of its own, 'lake'"),
        ((".hoodie/x.json",), "", "is a Hudi table"),
    ],
)
def test_what_is_no_table(made: tuple[str, ...], asked: str, says: str, tmp_path: Path) -> None:
    make(tmp_path, *made)
    with pytest.raises(sl.DataError, match=says):
        listed(str(tmp_path / asked), "log")


def test_parquet_beside_other_files_is_what_is_read(tmp_path: Path) -> None:
    make(tmp_path, "a.parquet", "readme.csv")
    listing = listed(str(tmp_path), "log")
    assert [file.name for file in listing.files] == ["a.parquet"]
    assert listing.notes == ("1 file of another format left out (such as 'readme.csv')",)


def test_anothers_error_is_one_line_without_its_advice() -> None:
    assert first_line(ValueError("bad row, consider setting ignore_errors=True")) == "bad row"
    assert first_line(ValueError("first\nsecond")) == "first"
    assert first_line(ValueError()) == "ValueError"


def test_a_device_or_a_pipe_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(sl.DataError, match="neither a file nor a folder"):
        sl.Dataset("/dev/null", "u", "i")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(sl.DataError, match="neither a file nor a folder"):
        sl.Dataset(tmp_path / "pipe.csv", "u", "i")


def test_an_address_that_does_not_answer_is_said(unused_port: int) -> None:
    with pytest.raises(sl.DataError, match=r"cannot be listed: .*[Cc]onnect"):
        sl.Dataset(f"http://127.0.0.1:{unused_port}/t.parquet", "u", "i")


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class NoCredentialsError(Exception):
    """As botocore has it: neither an OSError nor a ValueError."""


@pytest.mark.parametrize("wrapped", [False, True])
def test_missing_credentials_are_said(wrapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        try:
            raise NoCredentialsError("Unable to locate credentials")
        except NoCredentialsError as error:
            if wrapped:  # as a store that calls a path missing that it may not see
                raise FileNotFoundError("b/x") from error
            raise

    store = SimpleNamespace(find=refuse, info=refuse)
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (store, "b/x"))
    with pytest.raises(sl.DataError) as caught:
        sl.Dataset("s3://b/x", "user", "item")
    assert str(caught.value) == (
        "'s3://b/x' cannot be listed, for no credentials were found: Unable to locate credentials\n"
        "hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    )


def test_another_error_of_a_store_stays_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise RuntimeError("a bug of the store")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (SimpleNamespace(find=refuse), "b/x"))
    with pytest.raises(RuntimeError, match="a bug of the store"):
        sl.Dataset("s3://b/x", "user", "item")


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    """An object store in memory."""
    there = fsspec.filesystem("memory")
    yield there
    if there.exists("/listing"):
        there.rm("/listing", recursive=True)


def put(store: fsspec.AbstractFileSystem, *names: str) -> str:
    for name in names:
        store.pipe_file(f"/listing/{name}", b"a\n1\n")
    return "memory://listing"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (("a.csv", "a.csv.gz"), "look like one file twice"),
        (("a.csv", "b.jsonl"), "files of several formats"),
        (("_a.csv", ".b.csv"), "no files but hidden or staging ones"),
        (("notes.txt",), "no file matches"),
    ],
)
def test_an_object_store_is_refused_what_a_folder_is(
    store: fsspec.AbstractFileSystem, made: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    for source in (put(store, *made), str(make(tmp_path, *made))):
        with pytest.raises(sl.DataError, match=says):
            listed(source, "log")


def test_an_object_store_says_what_it_leaves_out_as_a_folder_does(
    store: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    made = ("a.parquet", "b.csv", "c.csv", "_d.parquet", "deep/e.parquet")
    found, here = (listed(source, "log") for source in (put(store, *made), str(make(tmp_path, *made))))
    assert [file.name for file in found.files] == [file.name for file in here.files] == ["a.parquet", "deep/e.parquet"]
    assert found.notes == here.notes
    assert found.notes == (
        "1 file left out, hidden or staging (such as '_d.parquet')",
        "2 files of another format left out (such as 'b.csv')",
    )


def test_a_hidden_file_of_an_object_store_is_read_where_it_is_named(store: fsspec.AbstractFileSystem) -> None:
    place = put(store, "_a.csv", "b.csv")
    assert [file.name for file in listed(f"{place}/_a.csv", "log").files] == ["_a.csv"]
    assert [file.name for file in listed(place, "log").files] == ["b.csv"]
