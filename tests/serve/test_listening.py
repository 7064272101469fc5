"""Ports and Unix sockets: taken, left over, and given back."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from shortlist.errors import ConfigError
from shortlist.serve import listening as module
from shortlist.serve.listening import Place, complete_no_more, listening, someone_waits


def test_any_free_port() -> None:
    with listening(Place("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert Place("127.0.0.1", 0).address(port) == f"http://127.0.0.1:{port}/"
        with pytest.raises(ConfigError, match="cannot listen on"), listening(Place("127.0.0.1", port)):
            pass
    with listening(Place("127.0.0.1", port)):
        pass  # it was given back


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("10.1.2.3", "10.1.2.3")]
)
def test_how_clients_reach_it(host: str, shown: str) -> None:
    assert Place(host, 0).address(80) == f"http://{shown}:80/"


def test_a_unix_socket_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    place = Place("127.0.0.1", 0, path)
    assert place.address(None) == f"unix:{path}"
    with listening(place):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        with pytest.raises(ConfigError, match="another server listens"), listening(place):
            pass
        assert path.exists()
    assert not path.exists()


def test_a_socket_that_a_killed_server_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.exists()
    with listening(Place("127.0.0.1", 0, path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_the_socket_of_the_next_server_is_left_alone(tmp_path: Path) -> None:
    path, place = tmp_path / "socket", Place("127.0.0.1", 0, tmp_path / "socket")
    with listening(place):
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems cannot")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "unix"])
def test_nobody_connects_once_it_is_to_complete_no_more(tmp_path: Path, host: str) -> None:
    """One that waits is accepted, and its connection works. One that comes later does not connect."""
    unix = tmp_path / "socket" if host == "unix" else None
    kind = socket.AF_UNIX if unix is not None else socket.AF_INET6 if ":" in host else socket.AF_INET
    with listening(Place(host, 0, unix)) as taken, socket.socket(kind) as before, socket.socket(kind) as after:
        before.connect(taken.getsockname())
        assert complete_no_more(taken)
        after.setblocking(False)
        with pytest.raises((BlockingIOError, FileNotFoundError)):
            after.connect(taken.getsockname())
        accepted, _ = taken.accept()
        before.sendall(b"x")
        assert accepted.recv(1) == b"x"
        accepted.close()
        assert before.recv(1) == b""
        taken.setblocking(False)
        with pytest.raises(BlockingIOError):
            taken.accept()


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="is not a socket"), listening(Place("127.0.0.1", 0, path)):
        pass
    assert path.read_text() == "mine"
    gone = tmp_path / "nowhere" / "socket"
    with pytest.raises(ConfigError, match="cannot listen on"), listening(Place("127.0.0.1", 0, gone)):
        pass
    long = tmp_path / ("x" * 200)
    with pytest.raises(ConfigError, match="cannot listen on"), listening(Place("127.0.0.1", 0, long)):
        pass


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_answers_at_its_path(bundles: Path, tmp_path: Path, workers: int) -> None:
    path = tmp_path / "socket"
    command = [sys.executable, "-m", "shortlist", "serve", bundles / "one", "--unix", path, "--workers", workers]
    process = subprocess.Popen([str(one) for one in command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any(f"unix:{path}" in line for line in lines)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://any.name", timeout=120) as client:
        assert client.get("/readyz").status_code == 200
        said = client.post("/v1/recommend", json={"queries": [{"id": "ann"}], "k": 2})
        assert [item["id"] for item in said.json()["results"][0]["items"]] == ["c", "d"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    process.stderr.close()
    assert not path.exists()


@pytest.mark.parametrize("first", ["binds", "finds no socket"])
def test_of_two_servers_that_find_the_socket_of_a_killed_one_one_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """The second starts when the first has removed that socket, and has not made its own."""
    path = tmp_path / "socket"
    place, clear = Place("127.0.0.1", 0, path), module._clear
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    refused: list[str] = []

    def cleared(at: Path) -> None:
        clear(at)
        monkeypatch.setattr(module, "_clear", clear)
        with pytest.raises(ConfigError, match="another server listens") as error, listening(place):
            pass
        refused.append(str(error.value))
        if first != "binds":
            raise FileNotFoundError(2, "the folder is gone")

    monkeypatch.setattr(module, "_clear", cleared)
    if first == "binds":
        with listening(place), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    else:
        with pytest.raises(ConfigError, match="cannot listen on"), listening(place):
            pass
    assert len(refused) == 1
    assert list(tmp_path.iterdir()) == []
    with listening(place):
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("again", [False, True])
def test_who_waits_for_a_lock_that_is_removed_meanwhile_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """The other server has opened the file next to the socket before this one removes it, and locks it after that."""
    place, opened = Place("127.0.0.1", 0, tmp_path / "socket"), os.open

    def late(path: Any, *options: Any, **more: Any) -> int:
        handle = opened(path, *options, **more)
        if str(path).endswith(".lock"):
            os.unlink(path)
            if again:
                os.close(opened(path, *options, **more))  # and a third one has made it again
        return handle

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(ConfigError, match="another server listens"), listening(place):
        pass
    assert not (tmp_path / "socket").exists()


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="other systems give files no descriptor without opening"
)
@pytest.mark.parametrize("ended", ["by itself", "by another process"])
def test_the_next_servers_socket_is_left_alone_whatever_its_inode_is(tmp_path: Path, ended: str) -> None:
    """It is made while the one before answers its last requests; file systems give the number of a removed file to the next."""
    path = tmp_path / "socket"
    with contextlib.ExitStack() as others:
        with listening(Place("127.0.0.1", 0, path)) as taken:
            if ended == "by itself":
                complete_no_more(taken)
            else:
                os.unlink(path)
            taken.close()
            for number in range(20):
                other = others.enter_context(socket.socket(socket.AF_UNIX))
                other.bind(str(path if number == 0 else tmp_path / str(number)))
        assert path.exists()


def test_a_server_that_accepts_nobody_is_still_there(tmp_path: Path) -> None:
    """Its queue is full: to connect would wait for ever."""
    path = tmp_path / "socket"
    with contextlib.ExitStack() as all_of:
        full = all_of.enter_context(socket.socket(socket.AF_UNIX))
        full.bind(str(path))
        full.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                client = all_of.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
        with pytest.raises(ConfigError, match="another server listens"), listening(Place("127.0.0.1", 0, path)):
            pass
        assert path.exists()


@pytest.mark.parametrize("unix", [False, True])
def test_whether_someone_waits(tmp_path: Path, unix: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(Place("127.0.0.1", 0, tmp_path / "socket" if unix else None)) as taken:
        assert not someone_waits(taken)
        with socket.socket(taken.family) as client:
            client.connect(taken.getsockname())
            assert someone_waits(taken)
            taken.accept()[0].close()
        assert not someone_waits(taken)
        monkeypatch.delattr(select, "poll")
        assert someone_waits(taken)  # where the system does not say, an attempt does
