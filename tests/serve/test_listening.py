"""Ports and Unix sockets: taken, left over, and given back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from shortlist.errors import ConfigError
from shortlist.serve.listening import Place, complete_no_more, listening


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
