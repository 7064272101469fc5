"""One connection: each request is answered, refused or given up; the connection rests after a refusal and ends when idle."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests.serve.conftest import WRITE
from tests.serve.paces import Steady, watched
from tests.serve.running import Running
from tests.serve.wires import ASKED, BODY, CHUNKED, GET, POST, Late, Wire, asked, chunked, connected, settled
from uvicorn.server import ServerState

from shortlist.serve import Settings
from shortlist.serve.admission import PROBES
from shortlist.serve.at_once import FEW
from shortlist.serve.batching import INLINE
from shortlist.serve.protocol import Connection
from shortlist.serve.scrapes import Scrapes
from shortlist.serve.settings import Limits
from shortlist.serve.sockets import Peer
from shortlist.serve.turns import TURN


def outside_of_tasks(client: Any, work: Callable[[], Any]) -> Any:
    """The value of a call from the client's loop, as its sockets make."""
    found: list[Any] = []

    async def wait() -> None:
        client.loop.call_soon(lambda: found.append(work()))
        while not found:
            await asyncio.sleep(0)

    client.loop.run_until_complete(wait())
    return found[0]


@pytest.mark.parametrize("body", [{}, {"k": 2, "exclude_seen": False}, {"columns": ["kind"]}, {"k": "no number"}])
def test_a_request_that_is_alone_is_answered_in_the_turn_that_reads_it(client: Any, body: dict[str, Any]) -> None:
    """And no other thread is let in before its reply is written."""
    turns = client.app.service.turns
    kept_out = []

    class Watched(Wire):
        def write(self, data: bytes) -> None:
            kept_out.append(not turns._free.is_set())
            super().write(data)

    def ask() -> bytes:
        wire = Watched()
        connection = connected(client, wire)
        for _ in range(2):  # a head that occurs again is not parsed
            connection.data_received(asked(**body))
        found = wire.written
        connection.connection_lost(None)
        return found

    assert outside_of_tasks(client, ask).count(b"HTTP/1.1 ") == 2
    assert all(kept_out)


@pytest.mark.parametrize(
    ("behind", "status"),
    [
        (GET + b"\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", b"200"),
        (b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n", b"404"),
        (asked(), b"200"),
        (asked()[:-3], b"200"),
        (chunked(b'{"queries":[{"id":"bob"}]}'), b"200"),
        (chunked(b"{")[:-4], b"400"),
    ],
    ids=["probe", "figures", "nothing", "list", "body that comes later", "chunks", "chunks that come later"],
)
def test_a_request_that_was_read_with_one_of_unknown_length_is_answered_behind_it(
    client: Any, behind: bytes, status: bytes
) -> None:
    """It begins while the reply of the other one is written, within a task that was begun at once."""
    app, wire, made = client.app, Wire(), []

    def ask() -> None:
        made.append(connected(client, wire))
        made[0].data_received(chunked(b'{"queries":[{"id":"bob"}]}') + behind)

    outside_of_tasks(client, ask)

    async def rest() -> None:
        if behind == asked()[:-3]:
            made[0].data_received(asked()[-3:])
        elif behind == chunked(b"{")[:-4]:
            made[0].data_received(chunked(b"{")[-4:])
        await settled(made[0])

    client.loop.run_until_complete(asyncio.wait_for(rest(), 60))
    found = re.findall(rb"HTTP/1.1 (\d+)", wire.written)
    assert found == [b"200", status]
    client.loop.run_until_complete(asyncio.sleep(0))
    assert (app.admission.active, app._under_way, app.service.turns._quick, len(app._in_progress)) == (0, 0, 0, 0)
    made[0].connection_lost(None)


class Odd(BaseException):
    """What native code may raise: no Exception."""


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        MemoryError(),
        RecursionError(),
        StopIteration(),
        asyncio.TimeoutError(),
        GeneratorExit(),
        Odd(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("place", ["answer", "route", "write"])
def test_whatever_goes_wrong_a_request_is_answered_or_its_connection_ends(
    client: Any, place: str, error: BaseException, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its place is free again, whether it was begun in the turn that read it or not."""
    app, wire, made = client.app, Wire(), []
    client.loop.set_exception_handler(lambda *_: None)

    def fail(*arguments: Any) -> Any:
        raise error

    async def fail_later(*arguments: Any, **options: Any) -> Any:
        raise error

    if place == "answer":
        monkeypatch.setattr(app.service.batcher, "_answer", fail)
    elif place == "route":
        monkeypatch.setattr(app.service.batcher, "ask", fail_later)
    else:
        wire.write = fail  # type: ignore[method-assign]
    monkeypatch.setattr(app.alone, "begins", lambda loop: at_once)

    def ask() -> None:
        made.append(connected(client, wire))
        made[0].data_received(asked())

    async def rest() -> None:
        while made[0].tasks:
            await asyncio.wait(made[0].tasks)
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    outside_of_tasks(client, ask)
    client.loop.run_until_complete(asyncio.wait_for(rest(), 60))
    status = b"503" if isinstance(error, MemoryError) else b"500"
    assert re.findall(rb"HTTP/1.1 (\d+)", wire.written) == ([] if place == "write" else [status])
    assert wire.closed == (place == "write")
    assert (app.admission.active, app._under_way, app.service.turns._quick, len(app._in_progress)) == (0, 0, 0, 0)
    made[0].connection_lost(None)


def test_such_a_request_is_given_up_when_its_client_leaves(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service, made = client.app.service, []
    answered = service.batcher.ask
    asks: list[Any] = []

    async def ask(*arguments: Any, **options: Any) -> None:
        asks.append(arguments)
        if len(asks) > 1:
            await asyncio.Event().wait()
        await answered(*arguments, **options)

    monkeypatch.setattr(service.batcher, "ask", ask)

    def begin() -> None:
        made.append(connected(client, Wire()))
        made[0].data_received(chunked(b'{"queries":[{"id":"bob"}]}') + asked())

    outside_of_tasks(client, begin)

    async def leave() -> None:
        while len(asks) < 2:
            await asyncio.sleep(0)
        made[0].connection_lost(None)
        await asyncio.wait_for(asyncio.gather(*made[0].tasks, return_exceptions=True), 60)

    client.loop.run_until_complete(leave())
    assert client.app.admission.active == 0


def test_many_requests_that_meet_are_answered_together(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shortlist.serve.at_once.CROWDED", 60.0)  # however slow the machine
    rounds, count = FEW, 5
    batches: list[float] = []
    client.app.service.metrics.batch.observe = batches.append

    async def ask() -> None:
        connections = [connected(client, Wire()) for _ in range(count)]
        for _ in range(rounds):
            for one in connections:
                client.loop.call_soon(one.data_received, asked())
            await asyncio.sleep(0)
            while any(not one.cycle.response_complete for one in connections):
                await asyncio.sleep(0)
        for one in connections:
            one.connection_lost(None)

    client.loop.run_until_complete(ask())
    assert sum(batches) == rounds * count
    assert len(batches) < rounds * count / 2


@pytest.mark.parametrize(
    ("content", "writes"),
    [
        (GET + b"\r\n", 1),
        (GET.replace(b"GET", b"HEAD") + b"\r\n", 1),
        (b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 1),
        (b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n", 2),  # its body is not copied behind its head
    ],
)
def test_a_reply_is_written_in_one_call_unless_it_is_long(
    client: Any, content: bytes, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.serve.protocol.JOINED", 16_384)

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        connection.data_received(content)
        await settled(connection)
        head, _, body = wire.written.partition(b"\r\n\r\n")
        assert wire.writes == writes
        assert len(body) == (0 if content[:4] == b"HEAD" else int(re.findall(rb"content-length: (\d+)", head)[0]))
        assert (b"\r\nconnection: close" in head) == wire.closed == (b"connection: close" in content)
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())


def test_nothing_is_answered_or_read_while_a_reply_is_unread(client: Any) -> None:
    """Three requests for the page's script, of 10 kB, at once: one reply, and the next when it was taken."""

    async def talk() -> None:
        wire = Wire(read=False)
        connection = connected(client, wire)
        connection.data_received(b"GET /app.js HTTP/1.1\r\nhost: localhost\r\n\r\n" * 3)
        for replies in (1, 2, 3):
            await settled(connection)
            assert wire.written.count(b"HTTP/1.1 200") == replies
            assert not wire.reading
            connection.resume()  # what was refused before is read again, but not this
            assert not wire.reading
            assert client.app.unsent.total == wire.unread > 4096
            wire.take()
        assert wire.reading
        assert client.app.unsent.total == 0
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())


def test_who_reads_nothing_is_cut_off_and_counted(client: Any) -> None:
    async def talk() -> None:
        wire = Wire(read=False)
        connection = connected(client, wire)
        connection.data_received(b"GET /app.js HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await settled(connection)
        client.app.unsent.check(client.loop.time() + 9)
        assert not wire.closed
        client.app.unsent.check(client.loop.time() + 11)
        assert wire.closed
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())
    assert 'shortlist_connections_cut_total{reason="unread"} 1.0' in client.get("/metrics").text


def test_empty_lines_do_not_keep_an_idle_connection(client: Any) -> None:
    """After a reply the same clock ticks on, whatever empty lines come, and it counts from the last reply or refusal."""

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        connection.data_received(GET + b"\r\n")
        await asyncio.gather(*connection.tasks)
        clock = connection.timeout_keep_alive_task
        assert clock is not None
        for line in (b"\r\n", b"\n", b"\r", b"\r\n" * 100):
            connection.data_received(line)
            assert connection.timeout_keep_alive_task is clock
            assert not clock.cancelled()
        connection.data_received(b"\r\n" + GET + b"\r\n")
        connection.idle_since -= 76
        connection.timeout_keep_alive_handler()  # it strikes
        assert not wire.closed  # a request is being answered
        await asyncio.gather(*connection.tasks)
        assert wire.written.count(b"HTTP/1.1 200") == 2
        clock, idle_since = connection.timeout_keep_alive_task, connection.idle_since
        assert clock is not None
        connection.idle_since -= 74
        for line in (b"\r\n", b"\n"):
            connection.data_received(line)
        connection.timeout_keep_alive_handler()
        assert not wire.closed
        assert connection.timeout_keep_alive_task.when() - connection.loop.time() < 1.5
        connection.idle_since = idle_since - 76
        connection.timeout_keep_alive_handler()
        assert wire.closed
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())


def test_a_log_that_cannot_be_written_ends_no_sweep(bundles: Path) -> None:
    """stderr's reader goes; the server answers on, and slow senders are still cut off."""
    command = [
        sys.executable,
        "-m",
        "shortlist",
        "serve",
        str(bundles / "one"),
        "--port",
        "0",
        "--receive-seconds",
        "1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        lines: list[str] = []
        while not any('"started"' in line for line in lines):
            lines.append(process.stderr.readline())
        (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)/", "".join(lines))
        process.stderr.close()
        for _ in range(2):
            assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
            with socket.create_connection(("127.0.0.1", int(port)), timeout=60) as slow:
                slow.sendall(GET)
                with contextlib.suppress(ConnectionResetError):
                    assert slow.recv(1) == b""
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "content", [GET + b"\r\n", POST + b"content-length: 32\r\n\r\n" + b'{"queries":[{"id":"ann"}],"k":1}']
)
@pytest.mark.parametrize("count", [1, 3])
def test_who_has_sent_all_still_gets_its_replies(server: Running, content: bytes, count: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(content * count)
        connection.shutdown(socket.SHUT_WR)
        came = b""
        while part := connection.recv(65536):
            came += part
    assert came.count(b"HTTP/1.1 200") == count


def test_a_server_that_leaves_answers_and_keeps_no_connection(client: Any) -> None:
    """While it drains, a new connection is answered, told to close, and no refusal is short of that."""

    async def talk() -> None:
        client.app.drain()
        body = b'{"queries":[{"id":"ann"}],"k":1}'
        request = POST + b"content-length: %d\r\n\r\n" % len(body) + body
        for path in (b"/readyz", b"/healthz"):
            wire = Wire()
            connected(client, wire).data_received(GET.replace(b"/healthz", path) + b"\r\n")
            await settled(wire.protocol)
            assert b"connection: close" in wire.written
            assert wire.written[9:12] == (b"503" if path == b"/readyz" else b"200")
            assert wire.closed
        for full in (False, True):
            client.app.admission.slots, client.app.admission.most = (0, 0) if full else (1, 1)
            wire = Wire()
            connected(client, wire).data_received(request)
            await settled(wire.protocol)
            assert wire.written[9:12] == (b"503" if full else b"200")
            assert b"connection: close" in wire.written
            assert wire.closed

    client.loop.run_until_complete(talk())


# Clients that hang up.

MANY = b'{"queries":[' + b",".join([b'{"id":"ann"}'] * 100) + b'],"k":1}'


def pieces_of(client: Any) -> list[int]:
    """Queries of each piece that is answered from now on; each of one query, and as long as a turn."""
    service = client.app.service
    service.batcher.paces = Steady(TURN)
    piece = service.batcher._piece
    service.batcher._piece = lambda group, asks, take, at: (TURN, piece(group, asks, take, at)[1])
    return watched(client)  # type: ignore[return-value]


def test_what_is_left_of_a_request_is_not_answered_once_its_client_has_hung_up(client: Any) -> None:
    seen = pieces_of(client)

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        connection.data_received(POST + b"content-length: %d\r\n\r\n" % len(MANY) + MANY)
        while not seen:
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await settled(connection)
        assert wire.written == b""

    client.loop.run_until_complete(talk())
    assert len(seen) < 10
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}] * 3}).status_code == 200
    assert client.app._in_progress == {}
    text = client.get("/metrics").text
    assert 'shortlist_requests_total{route="/v1/recommend",status="499"} 1.0' in text
    assert 'status="500"} 1.0' not in text


@pytest.mark.parametrize("count", [1, 8])
def test_nobody_answers_who_has_hung_up_before_its_turn(client: Any, count: int) -> None:
    """On the loop and in the thread alike; those who asked with it are answered."""
    seen = watched(client)
    client.app.service.batcher.paces = Steady(INLINE if count == 1 else TURN / 8)
    body = b'{"queries":[' + b",".join([b'{"id":"ann"}'] * count) + b'],"k":1}'

    async def talk() -> None:
        wires = Wire(), Wire()
        gone, stays = (connected(client, wire) for wire in wires)
        for one in (gone, stays):
            one.data_received(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        await asyncio.sleep(0)  # both have been read
        gone.connection_lost(None)
        await settled(stays)
        assert wires[0].written == b""
        assert wires[1].written.startswith(b"HTTP/1.1 200")

    client.loop.run_until_complete(talk())
    assert sum(queries for queries, _ in seen) == count


@pytest.mark.parametrize("ended", [False, True])
def test_the_system_is_asked_for_a_client_that_waited_only_where_its_stream_has_ended(
    client: Any, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[object] = []
    monkeypatch.setattr("shortlist.serve.leaving.peer_of", lambda taken: asked_for.append(taken) or Peer.OPEN)
    admission = client.app.admission
    monkeypatch.setattr(admission, "slots", 1)

    async def talk() -> None:
        wires = Wire(), Wire()
        first, second = (connected(client, wire) for wire in wires)
        for one in (first, second):
            one.data_received(asked())
        assert len(admission.waiting) == 1
        if ended:
            second.eof_received()
        await settled(first)
        await asyncio.sleep(0)
        await settled(second)
        assert wires[1].written.startswith(b"HTTP/1.1 200")

    client.loop.run_until_complete(talk())
    assert len(asked_for) == ended


def test_a_change_is_made_although_its_client_has_hung_up(writable: Callable[..., Any]) -> None:
    client = writable()
    body = b'{"delete":["c"]}'

    async def talk() -> None:
        connection = connected(client, Wire())
        head = b"POST /v1/candidates HTTP/1.1\r\nhost: localhost\r\nx-api-key: %s\r\n" % WRITE.encode()
        connection.data_received(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await asyncio.sleep(0)
        connection.connection_lost(None)
        await settled(connection)

    client.loop.run_until_complete(talk())
    assert client.app.service.loaded.served.index.size == 3


def test_a_client_that_has_closed_its_side_is_asked_whether_it_reads(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has only closed its side for sending gets its reply, one that has gone none, and its pieces are not answered."""
    monkeypatch.setattr("shortlist.serve.leaving.PROBE", 0.001)
    seen = pieces_of(client)
    gate = threading.Event()
    answer = client.app.service.batcher._answer

    def held(*arguments: Any) -> Any:
        found = answer(*arguments)
        gate.wait(60)
        return found

    client.app.service.batcher._answer = held
    request = POST + b"content-length: %d\r\n\r\n" % len(MANY) + MANY

    async def talk() -> bytes:
        loop = asyncio.get_running_loop()
        config = uvicorn.Config(client.app, log_config=None, proxy_headers=False, timeout_keep_alive=75)
        config.load()
        state = ServerState()
        made = lambda: Connection(config=config, server_state=state, app_state={})  # noqa: E731
        listening = await loop.create_server(made, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        before = set(Connection.all_open)
        gone = socket.create_connection(("127.0.0.1", port))
        gone.sendall(request)
        while not seen:
            await asyncio.sleep(0.001)
        gone.close()
        while Connection.all_open - before:
            await asyncio.sleep(0.001)
        gate.set()
        await asyncio.gather(*state.tasks)
        assert len(seen) < 10
        gate.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        writer.write_eof()
        came = await reader.readuntil(b"\r\n\r\n")  # while its pieces are held
        gate.set()
        came += await reader.read()
        writer.close()
        listening.close()
        return came

    came = client.loop.run_until_complete(talk())
    assert came.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert came.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize("requests", [1, 2])
def test_nothing_is_written_to_a_client_that_has_hung_up(client: Any, requests: int) -> None:
    """Its first request, a change, is finished; one that was sent behind it is not begun."""
    answered: list[Any] = []

    async def talk() -> None:
        loop, gate, begun = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        async def answer(scope: Any, receive: Any, write: Any) -> None:
            begun.set()
            await gate.wait()
            answered.append(write(200, [], b"{}"))

        client.app.answer = answer
        config = uvicorn.Config(client.app, log_config=None, proxy_headers=False, timeout_keep_alive=75)
        config.load()
        state = ServerState()
        made = lambda: Connection(config=config, server_state=state, app_state={})  # noqa: E731
        listening = await loop.create_server(made, "127.0.0.1", 0)
        before = set(Connection.all_open)
        gone = socket.create_connection(("127.0.0.1", listening.sockets[0].getsockname()[1]))
        gone.sendall(b"GET /v1/card HTTP/1.1\r\nhost: test\r\n\r\n" * requests)
        await begun.wait()
        (connection,) = Connection.all_open - before
        connection.transport.abort()  # as the system reports it once the connection is reset
        for _ in range(5):
            await asyncio.sleep(0)
        assert connection not in Connection.all_open
        gone.close()
        gate.set()
        await asyncio.gather(*state.tasks)
        listening.close()

    client.loop.run_until_complete(talk())
    assert answered == [False]


def test_a_connection_has_one_clock_for_all_its_requests(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk() -> None:
        connection = connected(client, Wire())
        clocks: list[float] = []
        later = connection.loop.call_later
        monkeypatch.setattr(connection, "_strike_in", lambda seconds: (clocks.append(seconds), set_clock(seconds))[1])

        def set_clock(seconds: float) -> None:
            connection.timeout_keep_alive_task = later(seconds, connection.timeout_keep_alive_handler)

        for _ in range(5):
            connection.data_received(GET + b"\r\n")
            await settled(connection)
        assert clocks == [75]
        clock = connection.timeout_keep_alive_task
        assert clock is not None
        connection.connection_lost(None)
        assert clock.cancelled()

    client.loop.run_until_complete(talk())


def test_bodies_that_arrive_behind_their_heads_have_their_turns_in_the_queue(client: Any) -> None:
    """Twenty bodies arrive at once, and four requests are answered at a time, as of those that arrive whole."""
    at_once, service, admission = [0], client.app.service, client.app.admission
    admission.slots, answer = 4, service.recommend

    async def counted(*arguments: Any) -> None:
        at_once.append(at_once[-1] + 1)
        await answer(*arguments)
        at_once.append(at_once[-1] - 1)

    async def talk() -> None:
        service.recommend = counted
        late = [Late(client) for _ in range(20)]
        await asyncio.sleep(0)
        assert (admission.active, client.app.under_way) == (0, 0)
        for one in late:
            one.end()
        while admission.active + len(admission.waiting) < 20:
            await asyncio.sleep(0)
        assert (admission.active, client.app.under_way) == (4, 20)
        for one in late:
            await settled(one.connection)
            assert one.wire.written[:12] == b"HTTP/1.1 200"
            one.connection.connection_lost(None)

    client.loop.run_until_complete(talk())
    assert max(at_once) == 4
    assert (admission.active, client.app.under_way) == (0, 0)


def test_a_late_body_is_refused_or_waits_as_a_whole_request_does(client: Any) -> None:
    """The queue is full, and the reply says so; then there is room, and one of the two that wait hangs up."""
    admission = client.app.admission

    async def talk() -> None:
        refused, gone, last = (Late(client) for _ in range(3))
        await asyncio.sleep(0)
        admission.slots = admission.most = 0
        refused.end()
        await settled(refused.connection)
        assert refused.wire.written[:12] == b"HTTP/1.1 503"
        assert b"retry-after: 1" in refused.wire.written
        admission.most = 10
        for one in (gone, last):
            one.end()
        while len(admission.waiting) < 2:
            await asyncio.sleep(0)
        gone.connection.connection_lost(None)
        await settled(gone.connection)
        admission.slots = admission.active = 1
        admission.leave(client.loop.time())
        await settled(last.connection)
        assert (gone.wire.written, last.wire.written[:12]) == (b"", b"HTTP/1.1 200")
        assert admission.active == 0
        for one in (refused, last):
            one.connection.connection_lost(None)

    client.loop.run_until_complete(talk())
    assert 'shortlist_refused_total{reason="queue"} 1.0' in client.get("/metrics").text


def test_probes_begin_a_few_in_each_turn_and_all_are_answered(client: Any) -> None:
    """Thirty ask at once next to another request, and one of them leaves before its turn."""
    under_way: list[int] = []
    answer = client.app.answer

    async def counted(*arguments: Any) -> None:
        under_way.append(len(under_way))
        await answer(*arguments)

    async def talk() -> None:
        await asyncio.sleep(0)
        wires = [Wire() for _ in range(30)]
        for number, wire in enumerate(wires):
            path = (b"/healthz", b"/readyz", b"/metrics")[number % 3]
            connected(client, wire).data_received(GET.replace(b"/healthz", path) + b"\r\n")
        asking = Wire()
        connected(client, asking).data_received(ASKED)
        wires[20].protocol.connection_lost(None)
        begun = [len(under_way)]
        while not all(wire.written for wire in (*wires[:20], *wires[21:], asking)):
            await asyncio.sleep(0)
            begun.append(len(under_way))
        assert max(after - before for before, after in pairwise(begun)) <= 2 * PROBES
        assert len(under_way) == 30  # 29 probes and the other one
        assert wires[20].written == b""
        for wire in (*wires[:20], *wires[21:], asking):
            await settled(wire.protocol)
            assert wire.written.count(b"HTTP/1.1 200") == 1
            wire.protocol.connection_lost(None)

    client.app.answer = counted
    client.loop.run_until_complete(talk())


def test_scrapers_take_no_place_of_others(clients: Callable[..., Any]) -> None:
    """Two requests may be under way, and nine scrapers wait for figures."""
    client = clients(Settings(limits=Limits(under_way=2, wait_seconds=100.0)))
    gate = asyncio.Event()

    async def gather() -> bytes:
        await gate.wait()
        return b"figures"

    async def talk() -> None:
        client.app.service.scrapes = Scrapes(gather)
        scrapers = [Wire() for _ in range(9)]
        for wire in scrapers:
            connected(client, wire).data_received(GET.replace(b"/healthz", b"/metrics") + b"\r\n")
            await asyncio.sleep(0)
        for _ in range(3):
            wire = Wire()
            connected(client, wire).data_received(ASKED)
            await settled(wire.protocol)
            assert wire.written[:12] == b"HTTP/1.1 200"
            wire.protocol.connection_lost(None)
        assert client.app.under_way == 0
        gate.set()
        for wire in scrapers:
            await settled(wire.protocol)
            assert wire.written.endswith(b"figures")
            wire.protocol.connection_lost(None)

    client.loop.run_until_complete(talk())


LOOK_UP = b"GET /v1/card HTTP/1.1\r\nhost: localhost\r\n\r\n"
ODD = ASKED.replace(b"content-length", b"connection: keep-alive, x\r\ncontent-length")
IN_CHUNKS = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    ("request_", "cut", "full"),
    [
        (LOOK_UP, 0, "before"),
        (LOOK_UP, 2, "before"),
        (LOOK_UP.replace(b"card", b"x"), 0, "before"),
        (ODD, 0, "before"),
        (ODD, 2, "before"),
        (IN_CHUNKS, 2, "before"),
        (ASKED, 2, "between"),
        (IN_CHUNKS, 2, "between"),
    ],
)
def test_who_is_refused_is_not_read_for_a_while_whatever_it_asked(
    client: Any, request_: bytes, cut: int, full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is full, before a request arrives or between its head and its end. What is sent behind a refused request, and the next one, wait until the connection is resumed."""
    monkeypatch.setattr("shortlist.serve.admission.REFUSAL", 1000.0)  # seconds until its turn
    admission = client.app.admission

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        connection.idle_since = 0.0
        if full == "before":
            admission.slots = admission.most = 0
        if cut:
            connection.data_received(request_[:-cut])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            admission.slots = admission.most = 0
            connection.data_received(request_[-cut:])
        else:
            connection.data_received(request_ + request_)
        for _ in range(9):
            await settled(connection)
            await asyncio.sleep(0)
        assert wire.written.count(b"HTTP/1.1 503") == wire.written.count(b"HTTP/1.1 ") == 1
        assert b"retry-after: 100" in wire.written  # 1000, or 1001 where it is rounded
        assert not wire.reading
        assert connection.has_asked
        assert connection.idle_since > 0  # it counts as one that asks
        admission.slots = admission.most = 10
        connection.resume()
        if cut:
            assert wire.reading
            connection.data_received(request_)
        while wire.written.count(b"HTTP/1.1 ") < 2:
            await asyncio.sleep(0)
        assert wire.written.count(b"HTTP/1.1 503") == 1
        assert wire.reading
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())
    client.app.count_refused()
    assert 'shortlist_refused_total{reason="queue"} 1.0' in client.get("/metrics").text
