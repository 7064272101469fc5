"""How many connections are open: idle ones make room for others, those idle for longest first; logged once."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.serve.running import Running

from shortlist.errors import ConfigError
from shortlist.serve import connection_limit
from shortlist.serve.connection_limit import ASKED, AT_ONCE, LATE, YOUNG, ConnectionLimit, check_limit, raise_limit
from shortlist.serve.logs import Log
from shortlist.serve.protocol import Connection


class Idler:
    has_asked = False
    unread = 0

    def __init__(self, idle_since: float, idle: bool = True, waiting_since: float | None = None) -> None:
        self.idle_since, self.idle, self.waiting_since, self.reason = idle_since, idle, waiting_since, ""

    def buffered(self) -> int:
        return self.unread

    def abort(self, reason: str) -> None:
        self.reason = reason


def test_those_idle_for_longest_make_room(client: Any) -> None:
    log = client.app.service.log = Log(io.StringIO())
    limit = ConnectionLimit(client.app, 10)
    idlers = [Idler(float(number), number % 2 == 0) for number in range(4 * AT_ONCE)]
    assert limit.close_some(idlers)
    assert [one for one in idlers if one.reason] == idlers[: 2 * AT_ONCE : 2]
    assert not limit.close_some([])
    (line,) = map(json.loads, log._out.getvalue().splitlines())
    assert (line["event"], line["most"]) == ("connections_full", 10)


def test_thousands_of_connections_are_not_looked_at_again_and_again(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is idle, there is one look in half a second however many want to connect; of idle ones a share is closed."""
    now, looks = [1000.0], [0]
    monkeypatch.setattr(connection_limit, "time", SimpleNamespace(perf_counter=lambda: now[0], monotonic=None))
    many = [Idler(float(number), False) for number in range(6400)]

    class All(list[Idler]):
        def __iter__(self) -> Iterator[Idler]:
            looks[0] += 1
            return super().__iter__()

    monkeypatch.setattr(Connection, "all_open", All(many))
    limit = ConnectionLimit(client.app, 6400, lambda: now[0])
    for _ in range(100):
        assert not limit.has_room()
        assert not limit.make_room()
    assert looks == [1]
    now[0] += 0.5
    for one in many[100:]:
        one.idle = True
    assert not limit.has_room()
    assert looks == [1]  # whether there is room is a question, and closes nothing
    assert limit.make_room()
    assert looks == [2]
    assert [one for one in many if one.reason] == many[100:200]


def test_clients_that_have_asked_keep_their_connections_next_to_those_that_say_nothing(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that has just connected, or was just answered, is about to ask. Before, the order was that of idleness alone."""
    now = [1000.0]
    monkeypatch.setattr(connection_limit, "time", SimpleNamespace(perf_counter=lambda: now[0], monotonic=None))
    limit = ConnectionLimit(client.app, 10, lambda: now[0])
    silent = [Idler(1000.0 - 0.25 - number / 1000) for number in range(AT_ONCE)]
    asked, past = [Idler(1000.0 - ASKED) for _ in range(3)], [Idler(1000.0 - ASKED - 1) for _ in range(2)]
    new = [Idler(1000.0 - YOUNG / 2) for _ in range(3)]
    for one in (*asked, *past, new[0]):
        one.has_asked = True
    everybody = [*new, *asked, *silent, *past]
    assert limit.close_some(everybody)
    assert [one.reason for one in past] == ["idle"] * 2
    assert [one.reason for one in silent] == [""] * 2 + ["idle"] * (AT_ONCE - 2)
    assert {one.reason for one in (*asked, *new)} == {""}
    assert limit.close_some([*new, *asked])
    assert [one.reason for one in asked] == ["idle"] * 3
    assert not limit.close_some(new)
    monkeypatch.setattr(Connection, "all_open", new)
    now[0] += YOUNG / 2
    assert not limit.make_room()  # it does not look again and again
    now[0] += YOUNG
    assert limit.make_room()


@pytest.mark.parametrize(
    ("silent", "new", "slow", "closed"),
    [(0, 0, 0, 3), (2, 0, 0, 0), (0, 1, 0, 0), (2, 1, 0, 0), (0, 0, 2, 0), (2, 1, 2, 0)],
)
def test_clients_between_two_requests_make_room_only_where_all_have_asked(
    client: Any, monkeypatch: pytest.MonkeyPatch, silent: int, new: int, slow: int, closed: int
) -> None:
    """A silent one that has just connected will soon make room for the next. Before, the others' pause was too long."""
    now = [1000.0]
    monkeypatch.setattr(connection_limit, "time", SimpleNamespace(perf_counter=lambda: now[0], monotonic=None))
    limit = ConnectionLimit(client.app, 10, lambda: now[0])
    between = [Idler(1000.0 - ASKED / 2) for _ in range(3)]
    for one in between:
        one.has_asked = True
    others = [*(Idler(999.0) for _ in range(silent)), *(Idler(1000.0) for _ in range(new))]
    others += [Idler(0.0, False, 1000.0 - LATE) for _ in range(slow)]
    monkeypatch.setattr(Connection, "all_open", [*others, *between])
    assert limit.make_room() == (silent > 0 or slow > 0 or new == 0)
    assert [one.reason for one in between] == ["idle"] * closed + [""] * (3 - closed)
    assert sum(one.reason == "idle" for one in others) == silent
    assert sum(one.reason == "slow" for one in others) == slow
    assert not limit.make_room()  # few were closed: it does not look at all again at once


@pytest.mark.parametrize("idle", [0, 5, AT_ONCE, 3 * AT_ONCE])
def test_slow_senders_make_room_where_too_few_are_idle(client: Any, monkeypatch: pytest.MonkeyPatch, idle: int) -> None:
    """The slowest first, none that sends for less than a second, and none that waits for its reply. Before, none was closed."""
    monkeypatch.setattr(connection_limit, "time", SimpleNamespace(perf_counter=lambda: 1000.0, monotonic=None))
    limit = ConnectionLimit(client.app, 10, lambda: 1000.0)
    slow = [Idler(0.0, False, 1000.0 - LATE - number) for number in range(2 * AT_ONCE)]
    others = [Idler(0.0, False, 1000.1 - LATE), Idler(0.0, False)]
    resting = [Idler(float(number), True, float(number)) for number in range(idle)]
    assert limit.close_some([*others, *slow, *resting])
    assert [one.reason for one in resting] == ["idle" if number < AT_ONCE else "" for number in range(idle)]
    least = 2 * AT_ONCE - max(0, AT_ONCE - idle)
    assert [one.reason for one in slow] == ["slow" if number >= least else "" for number in range(2 * AT_ONCE)]
    assert [one.reason for one in others] == ["", ""]
    assert not limit.close_some(others)


@pytest.mark.parametrize("idle", [0, 1])
def test_a_look_at_many_takes_a_small_part_of_the_time(client: Any, monkeypatch: pytest.MonkeyPatch, idle: int) -> None:
    """Each look takes 40 ms, and closes some of 6,400 slow senders. Before, the next one came at once."""
    now, looks = [1000.0], [0]
    monkeypatch.setattr(connection_limit, "time", SimpleNamespace(perf_counter=lambda: now[0], monotonic=None))

    class All(list[Idler]):
        def __iter__(self) -> Iterator[Idler]:
            looks[0] += 1
            now[0] += 0.04
            return super().__iter__()

    slow = [Idler(0.0, False, float(number) / 100) for number in range(6400)]
    monkeypatch.setattr(Connection, "all_open", All(slow))
    limit = ConnectionLimit(client.app, 6400, lambda: now[0])
    while now[0] < 1010.0:
        Connection.all_open[:idle] = [Idler(0.0) for _ in range(idle)]  # one for each look
        limit.make_room()
        now[0] += 0.002
    assert looks[0] <= 10 / (0.04 * 11) + 1
    assert {one.reason for one in slow[idle:99]} == {"slow"}  # a share of all, not some only


def test_a_connection_whose_reply_is_on_its_way_makes_no_room(client: Any) -> None:
    limit = ConnectionLimit(client.app, 10)
    sending = Idler(0.0)
    sending.unread = 1
    assert not limit.close_some([sending])
    assert sending.reason == ""


def test_the_limit_is_raised_to_what_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: asked.append(limits))
    for limits in ((1024, 4096), (4096, 4096), (1024, resource.RLIM_INFINITY), (resource.RLIM_INFINITY,) * 2):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, limits=limits: limits)
        raise_limit()
    assert asked == [(4096, 4096), (65_536, resource.RLIM_INFINITY)]


def test_idle_connections_do_not_block_others(bundles: Path) -> None:
    """64 files, of which the server needs some itself: 60 connections that ask nothing, and a probe is answered."""
    command = f"ulimit -n 64; exec {sys.executable} -m shortlist serve {bundles / 'one'} --port 0 --no-log"
    server = Running.of(["bash", "-c", command])
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
            text = httpx.get(f"{server.url}/metrics", timeout=60).text
            assert 'connections_cut_total{reason="idle"} 0.0' not in text
    finally:
        server.stop()
    assert sum("connections_full" in line for line in server.lines) == 1


@pytest.mark.parametrize(
    ("workers", "allowed", "needed"),
    [(1, 63, 64), (1, 64, None), (2, 69, 70), (2, 70, None), (256, 831, 832), (256, 832, None), (256, -1, None)],
)
def test_too_few_files_are_refused_and_as_many_as_are_needed_are_not(
    monkeypatch: pytest.MonkeyPatch, workers: int, allowed: int, needed: int | None
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (allowed, allowed))
    if needed is None:
        check_limit(workers)
        return
    with pytest.raises(
        ConfigError, match=f"needs {needed} open files at least; the system allows this process {allowed}"
    ):
        check_limit(workers)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("allowed", [12, 20, 24, 28])
def test_a_server_that_may_open_too_few_files_says_so_and_ends(bundles: Path, allowed: int, workers: int) -> None:
    """Where the bundle could not be opened, where the event loop could not be made, and where it could barely start."""
    command = f'ulimit -n {allowed}; exec "$0" -m shortlist serve "$1" --port 0 --no-log --workers {workers}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, str(bundles / "one")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    needed = 64 if workers == 1 else 70
    assert done.stderr.startswith(
        f"error: the server needs {needed} open files at least; the system allows this process {allowed}."
    )
    assert "ulimit -n" in done.stderr


def test_a_limit_that_may_be_raised_is_raised_before_anything_is_opened(bundles: Path) -> None:
    command = f"ulimit -S -n 20; exec {sys.executable} -m shortlist serve {bundles / 'one'} --port 0 --no-log"
    server = Running.of(["bash", "-c", command])
    assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
    assert server.stop() == 0
