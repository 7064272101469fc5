"""``shortlist serve`` until it answers: without a standard error that can be written, and with signals that come too soon."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
Start = Callable[..., "subprocess.Popen[bytes]"]


def pause() -> None:
    """A moment between two looks, so that the server has the processor."""
    threading.Event().wait(0.001)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def start(bundles: Path, place: Path) -> Iterator[Start]:
    """Starts a server at a Unix socket by a line of the shell, and returns once the socket's file is there."""
    made: list[subprocess.Popen[bytes]] = []

    def start(workers: int, ending: str = "", error: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        command = f'exec "$0" -m shortlist serve "$1" --unix "$2" --workers {workers} {ending}'
        made.append(
            subprocess.Popen(["sh", "-c", command, sys.executable, str(bundles / "one"), str(place)], stderr=error)
        )
        while not place.exists():
            assert made[-1].poll() is None, "it has ended before it listened"
            pause()
        return made[-1]

    yield start
    for one in made:
        if one.poll() is None:
            one.kill()
            one.wait()


def asked(place: Path) -> bytes:
    """What a server at a Unix socket replies, once it listens."""
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one, contextlib.suppress(ConnectionRefusedError):
            one.settimeout(120)
            one.connect(str(place))
            one.sendall(HEALTH)
            return b"".join(iter(lambda: one.recv(65536), b""))
        pause()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ending", ["2>/dev/full", "2>&-", "<&- >&- 2>&-"])
def test_a_server_whose_lines_cannot_be_written_answers_all_the_same(
    start: Start, place: Path, ending: str, workers: int
) -> None:
    server = start(workers, ending)
    for _ in range(20):
        assert asked(place).startswith(b"HTTP/1.1 200 OK\r\n")
    server.send_signal(signal.SIGTERM)
    assert server.wait(120) == 0
    assert not place.exists()


def workers_of(pid: int) -> set[int]:
    """The processes that a supervisor has started and that answer."""
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.mark.parametrize("ending", ["2>/dev/full", "<&- >&- 2>&-"])
def test_a_worker_that_ends_is_replaced_where_no_line_can_be_written(start: Start, place: Path, ending: str) -> None:
    """What was held back for stderr is in the way of no process."""
    server = start(2, ending)
    assert asked(place).startswith(b"HTTP/1.1 200 OK\r\n")
    while len(before := workers_of(server.pid)) < 2:
        assert server.poll() is None
        pause()
    for one in before:
        os.kill(one, signal.SIGKILL)
    while len(workers_of(server.pid) - before) < 2:
        assert server.poll() is None
        pause()
    assert asked(place).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_closed_is_not_taken_for_standard_error(start: Start, place: Path, workers: int) -> None:
    """Whatever is opened later would get the number 2, and lines of the log: a connection, or the log of changes."""
    server = start(workers, "2>&-")
    assert asked(place).startswith(b"HTTP/1.1 200 OK\r\n")
    assert os.readlink(f"/proc/{server.pid}/fd/2") == os.devnull


@pytest.mark.parametrize("workers", [1, 2])
def test_one_that_is_stopped_as_soon_as_it_listens_leaves_no_socket(start: Start, place: Path, workers: int) -> None:
    server = start(workers)
    server.send_signal(signal.SIGTERM)
    assert server.wait(120) == 0
    assert not place.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_one_that_is_to_look_again_as_soon_as_it_listens_goes_on(start: Start, place: Path, workers: int) -> None:
    server = start(workers)
    server.send_signal(signal.SIGHUP)
    assert asked(place).startswith(b"HTTP/1.1 200 OK\r\n")
    for one in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
        server.send_signal(one)
    assert server.wait(120) == 0
    assert not place.exists()
