"""Clients that connect, ask and leave before their turn: nothing is computed for them, and nobody waits behind them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
from tests.serve.conftest import WRITE
from tests.serve.running import Running
from uvicorn.server import ServerState

from shortlist.serve.leaving import INTERIM, Leaving, sent_before_opening
from shortlist.serve.protocol import Connection

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems tell it later")

GET = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
BODY = b'{"queries":[{"id":"ann"}],"k":1}'
ASK = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
DELETE = b'{"delete":["c"]}'
CHANGE = (
    b"POST /v1/candidates HTTP/1.1\r\nhost: localhost\r\nx-api-key: %s\r\ncontent-length: %d\r\n\r\n%s"
    % (WRITE.encode(), len(DELETE), DELETE)
)  # fmt: skip


def answered(server: Running) -> float:
    """Requests that were computed until now, whether a client was there or not."""
    text = httpx.get(f"{server.url}/metrics").text
    return sum(
        float(count)
        for route, count in re.findall(r'shortlist_requests_total\{route="([^"]+)",status="\d+"\} (\S+)', text)
        if route not in ("/metrics", "/readyz")
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_those_who_leave_are_not_answered_and_those_who_stay_are(bundles: Path, tmp_path: Path, workers: int) -> None:
    """The server is stopped while they come, so that all have left before it looks; each way of leaving 40 times."""
    server = Running(bundles / "one", "--workers", workers, "--state", tmp_path, "--no-log", SHORTLIST_WRITE_KEYS=WRITE)
    pids = [server.process.pid, *children(server.process.pid)]
    try:
        before = answered(server)
        for pid in pids:
            signal_to(pid, signal.SIGSTOP)
        for content in (b"", ASK, ASK * 20, ASK * 300, GET * 1000, ASK.replace(b"/1.1", b"/1.0"), ASK[:-5]):
            for _ in range(40):
                with socket.create_connection(("127.0.0.1", server.port), timeout=60) as one:
                    one.setblocking(False)
                    if content:
                        one.send(content)
        staying = []
        expecting = ASK.replace(b"host", b"expect: 100-continue\r\nhost", 1)
        old = ASK.replace(b"/1.1", b"/1.0")
        for content, closes in ((ASK, False), (ASK, True), (ASK * 3, True), (old, True), (expecting, True)):
            one = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            one.sendall(content)
            if closes:
                one.shutdown(socket.SHUT_WR)
            staying.append(one)
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as one:
            one.sendall(CHANGE)
        for pid in pids:
            signal_to(pid, signal.SIGCONT)
        came = [staying[0].recv(65536)]
        came += [b"".join(iter(lambda one=one: one.recv(65536), b"")) for one in staying[1:]]  # type: ignore[misc]
        for one in staying:
            one.close()
        came = [one.replace(INTERIM, b"") for one in came]
        assert [one.count(b"HTTP/1.1 200 OK\r\n") for one in came] == [1, 1, 3, 1, 1]
        assert [one.count(b"HTTP/1.1 ") for one in came] == [1, 1, 3, 1, 1]
        assert all(one.startswith(b"HTTP/1.1 200 OK\r\n") for one in came)
        assert answered(server) - before <= 8  # seven that stay, and the change
        while listed(server) != ["d"]:  # the change is made a little later than the answers
            continue
    finally:
        for pid in pids:
            signal_to(pid, signal.SIGCONT)
        server.stop()


def listed(server: Running) -> list[str]:
    """The list of ann, who chose a and b."""
    found = httpx.post(f"{server.url}/v1/recommend", content=BODY.replace(b'"k":1', b'"k":4')).json()
    return [item["id"] for item in found["results"][0]["items"]]


def children(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    own = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own + [further for one in own for further in children(one)]


def signal_to(pid: int, what: signal.Signals) -> None:
    """Send a signal to one process of the server, if it is there."""
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_request_whose_client_leaves_while_it_waits_at_the_gate_is_not_begun(
    client: Any, leaves: bool, version: bytes
) -> None:
    """One request has the only place. Whether the client behind it has left, or reads, is found out at its turn."""
    came = b""
    count = 0

    async def talk() -> None:
        nonlocal count, came
        loop, gate = asyncio.get_running_loop(), asyncio.Event()
        answer = client.app.answer

        async def held(scope: Any, receive: Any, write: Any) -> None:
            nonlocal count
            count += 1
            if count == 1:
                await gate.wait()
            await answer(scope, receive, write)

        client.app.answer, client.app.admission.slots = held, 1
        listening, state = await listen(client)
        first = await asyncio.open_connection(*listening.sockets[0].getsockname())
        first[1].write(ASK)
        while not count:
            await asyncio.sleep(0)
        second = socket.create_connection(listening.sockets[0].getsockname(), timeout=60)
        second.sendall(ASK.replace(b"HTTP/1.1", b"HTTP/" + version))
        while not client.app.admission.waiting:
            await asyncio.sleep(0)
        if leaves:
            second.close()
        else:
            second.shutdown(socket.SHUT_WR)
        for _ in range(100):
            await asyncio.sleep(0)
        gate.set()
        await first[0].readuntil(b"\r\n\r\n")
        while state.tasks or client.app.admission.active:
            await asyncio.sleep(0)
        if not leaves:
            came = await loop.run_in_executor(None, lambda: b"".join(iter(lambda: second.recv(65536), b"")))
            second.close()
        first[1].close()
        listening.close()

    client.loop.run_until_complete(talk())
    assert count == (1 if leaves else 2)
    came = came.replace(INTERIM, b"")
    assert came.count(b"HTTP/1.1 200 OK\r\n") == came.count(b"HTTP/1.1 ") == (0 if leaves else 1)
    assert leaves or came.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("times", [3, 2000])
def test_what_was_sent_ahead_is_not_begun_once_its_client_has_left(client: Any, times: int) -> None:
    """Of many requests on one connection the first is being answered when the client leaves."""
    count = 0

    async def talk() -> None:
        nonlocal count
        gate = asyncio.Event()
        answer = client.app.answer

        async def held(scope: Any, receive: Any, write: Any) -> None:
            nonlocal count
            count += 1
            await gate.wait()
            await answer(scope, receive, write)

        client.app.answer = held
        listening, state = await listen(client)
        before = set(Connection.all_open)
        with socket.create_connection(listening.sockets[0].getsockname(), timeout=60) as gone:
            gone.setblocking(False)
            gone.send(ASK * times)
            while not count:
                await asyncio.sleep(0)
        gate.set()
        while state.tasks or Connection.all_open - before:
            await asyncio.sleep(0)
        listening.close()

    client.loop.run_until_complete(talk())
    assert count == 1


async def listen(client: Any) -> tuple[asyncio.Server, ServerState]:
    """Listen with the client's application, in this loop."""
    config = uvicorn.Config(client.app, log_config=None, proxy_headers=False, timeout_keep_alive=75)
    config.load()
    state = ServerState()
    made = lambda: Connection(config=config, server_state=state, app_state={})  # noqa: E731
    return await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0), state


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def ends_its_side(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection over TCP: the server's and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname(), timeout=60)
        ours, _ = listening.accept()
    with ours, client:
        yield ours, client


@pytest.mark.parametrize(
    ("leave", "content", "keeps", "sent"),
    [
        (None, ASK, False, 0),
        (ends_its_side, ASK, False, 1),
        (ends_its_side, ASK[:20], False, 0),
        (ends_its_side, b"", False, None),
        (socket.socket.close, ASK, False, None),
        (socket.socket.close, ASK, True, 0),
        (socket.socket.close, b"", True, None),
        (reset, ASK, False, None),
    ],
)
def test_what_is_sent_before_a_connection_is_opened(
    pair: tuple[socket.socket, socket.socket],
    leave: Callable[[socket.socket], None] | None,
    content: bytes,
    keeps: bool,
    sent: int | None,
) -> None:
    ours, client = pair
    client.sendall(content)
    if leave is not None:
        leave(client)
    assert sent_before_opening(ours, lambda given: keeps) == sent
    if sent is not None and client.fileno() >= 0:
        ends_its_side(ours)
        assert client.recv(10) == b"H" * sent


class Transport:
    """What ``Leaving`` needs of a transport."""

    def __init__(self, taken: socket.socket | None) -> None:
        self.taken, self.written, self.aborted = taken, b"", False

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self.taken

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, content: bytes) -> None:
        self.written += content

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def cycle_of(**values: Any) -> Any:
    """A request as uvicorn has it."""
    scope = {"method": "POST", "raw_path": b"/v1/recommend"}
    given = {"scope": scope, "waiting_for_100_continue": False, "response_started": False, "response_complete": False}
    return SimpleNamespace(**(given | values))


def leaving_of(taken: socket.socket | None, is_change: bool = False) -> Leaving:
    made = Leaving(lambda start: is_change)
    made.attach(Transport(taken))
    return made


@pytest.mark.parametrize(
    ("leave", "unparsed", "replied", "left", "ahead"),
    [
        (None, False, False, False, 0),
        (None, True, False, False, 1),  # the end may be behind bytes that were not read
        (None, True, True, False, 0),
        (ends_its_side, False, True, False, 1),
        (socket.socket.close, False, True, True, 1),
        (reset, False, False, True, 0),
    ],
)
def test_a_doubtful_client_gets_one_byte_and_the_rest_of_the_reply_later(
    pair: tuple[socket.socket, socket.socket],
    leave: Callable[[socket.socket], None] | None,
    unparsed: bool,
    replied: bool,
    left: bool,
    ahead: int,
) -> None:
    ours, client = pair
    leaving = leaving_of(ours)
    if replied:
        leaving.replied()
    if leave is not None:
        leave(client)
    assert leaving.has_left(cycle_of(), unparsed) is left
    assert leaving.ahead == ahead
    assert leaving.rest_of(b"HTTP/1.1 200 OK") == b"HTTP/1.1 200 OK"[ahead:]
    assert leaving.rest_of(b"HTTP/1.1 200 OK") == b"HTTP/1.1 200 OK"  # of the next reply nothing was sent


def test_a_change_and_a_client_that_waits_to_send_its_body_get_no_byte(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, client = pair
    ends_its_side(client)
    for leaving, cycle in (
        (leaving_of(ours, is_change=True), cycle_of()),
        (leaving_of(ours), cycle_of(waiting_for_100_continue=True)),
        (leaving_of(None), cycle_of()),
    ):
        assert leaving.has_left(cycle, True) is False
        assert leaving.ahead == 0


@pytest.mark.parametrize(
    ("cycle", "ahead", "version", "written", "later"),
    [
        (cycle_of(), 0, "1.1", INTERIM, 1),
        (cycle_of(), 0, "1.0", b"", 1),
        (cycle_of(), 1, "1.1", b"", 2),
        (cycle_of(response_started=True), 1, "1.1", b"", 1),
    ],
)
def test_who_has_closed_its_side_is_asked_half_as_often_each_time(
    pair: tuple[socket.socket, socket.socket], cycle: Any, ahead: int, version: str, written: bytes, later: int
) -> None:
    ours, client = pair
    ends_its_side(client)
    calls: list[tuple[Any, ...]] = []
    leaving = leaving_of(ours)
    transport: Any = leaving._transport
    leaving.ahead = ahead
    loop = SimpleNamespace(call_later=lambda *given: calls.append(given))
    flow = SimpleNamespace(write_paused=False)
    connection = SimpleNamespace(loop=loop, cycle=cycle, flow=flow, scope={"http_version": version})
    leaving.watch(connection)
    assert not transport.written
    calls[0][1](*calls[0][2:])
    assert (transport.written, leaving.ahead) == (written, later if ahead else 0)
    assert [given[0] for given in calls] == [0.1, 0.2]
    cycle.response_complete = True
    calls[1][1](*calls[1][2:])
    assert len(calls) == 2
    cycle.response_complete = False  # for the next case; and a client that has gone is forgotten
    reset(client)
    calls[1][1](*calls[1][2:])
    assert transport.aborted
    assert len(calls) == 2
