"""Bytes into requests: at most one reply to two framings, a bound for each part, and one request at a time."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.serve.running import Running
from tests.serve.wires import ASKED, BODY, CHUNKED, GET, POST, Late, Wire, connected, settled
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from shortlist.serve.app import COMPLETE
from shortlist.serve.protocol import Connection


@pytest.mark.parametrize(
    "content",
    [
        b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\nGET /x",
        b'POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{"a":}',
    ],
)
def test_at_most_one_reply_to_two_framings(server: Running, content: bytes) -> None:
    came = server.raw(content)
    assert came.count(b"HTTP/1.1 ") <= 1
    assert b"200 OK" not in came
    assert httpx.get(f"{server.url}/healthz").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"POST /v1/recommend HT",
        b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
        b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: 30\r\n\r\n{",
        b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_who_never_finishes_a_request_is_cut_off(server: Running, content: bytes) -> None:
    try:
        came = server.raw(content)
    except ConnectionResetError:
        came = b""
    assert b"200" not in came


def sent_until_closed(server: Running, begin: bytes, again: bytes, most: int) -> tuple[int, bytes]:
    """How many bytes go through until the server ends the connection, and what it said; ``most`` if it never does."""
    sent, said = 0, b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(begin)
            while sent < most:
                connection.sendall(again)
                sent += len(again)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                said += part
    return sent, said


def memory(server: Running) -> int:
    """The highest resident memory of the server so far, in MiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024


@pytest.fixture(scope="module")
def guarded(bundles: Path) -> Iterator[tuple[Running, int]]:
    """A server that asks for a key, and its memory before the first request."""
    running = Running(bundles / "one", SHORTLIST_API_KEYS="r" * 20)
    yield running, memory(running)
    running.stop()


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (GET, b"a:b\r\n" * 8000),
        (GET + b"x: ", b"v" * 40_000),
        (GET, b"n" * 40_000),
        (b"GET /", b"u" * 40_000),
        (b"GET /?text=", b"u" * 40_000),
        (CHUNKED + b"0\r\n", b"a:b\r\n" * 8000),
        (CHUNKED + b"0\r\nx: ", b"v" * 40_000),
        (CHUNKED + b"1;x=", b"e" * 40_000),
    ],
    ids=["lines", "value", "name", "path", "query", "trailers", "trailer", "extension"],
)
def test_no_part_of_a_head_grows_without_a_bound(guarded: tuple[Running, int], begin: bytes, again: bytes) -> None:
    """48 MB of one head, before any key is checked: cut off, and the server hardly grows, of all of them together."""
    server, before = guarded
    sent, _ = sent_until_closed(server, begin, again, 48_000_000)
    assert sent < 12_000_000  # what the kernel's buffers hold of it
    assert memory(server) - before < 24
    assert httpx.get(f"{server.url}/healthz").status_code == 200


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"GET /" + b"u" * 16_385 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", b"414"),
        (GET + b"a:b\r\n" * 128 + b"\r\n", b"431"),
        (GET + b"x: " + b"v" * 65_536 + b"\r\n\r\n", b"431"),
        (CHUNKED + b"2\r\n{}\r\n0\r\n" + b"a:b\r\n" * 128 + b"\r\n", b"431"),
        (b"\x00\r\n\r\n", b"400"),
    ],
)
def test_a_head_that_is_too_long_is_told_so_in_one_reply(server: Running, content: bytes, status: bytes) -> None:
    came = server.raw(content)
    assert came[:12] == b"HTTP/1.1 " + status
    assert came.count(b"HTTP/1.1") - came.count(b"not HTTP/1.1") == 1
    assert b"application/problem+json" in came


@pytest.mark.parametrize(
    "content",
    [
        GET + b"a:b\r\n" * 100 + b"connection: close\r\n\r\n",
        GET + b"x: " + b"v" * 60_000 + b"\r\nconnection: close\r\n\r\n",
        b"GET /healthz?" + b"u" * 16_000 + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ],
)
def test_a_head_within_the_bounds_is_read(server: Running, content: bytes) -> None:
    assert server.raw(content)[:12] == b"HTTP/1.1 200"


def test_trailers_are_no_headers(server: Running) -> None:
    """A key in a trailer opens nothing, and a body in many small pieces is no long head."""
    body = b'{"queries":[{"id":"ann"}],"k":1' + b" " * 40_000 + b"}"
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    head = POST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    assert server.raw(head + pieces + b"0\r\ncontent-encoding: br\r\n\r\n")[:12] == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n", b"400"),
        (GET + b"host: localhost\r\n", b"400"),
        (GET + b"host: evil.example\r\n", b"400"),
        (b"GET /v1/queries HTTP/1.1\r\nhost: evil.example\r\n", b"421"),
        (b"GET /healthz HTTP/1.0\r\n", b"200"),
        (GET + b"accept: a\r\naccept: b\r\n", b"200"),
        (b"GET http://localhost/v1/queries HTTP/1.1\r\nhost: evil.example\r\n", b"200"),
        (b"GET http://evil.example/v1/queries HTTP/1.1\r\nhost: localhost\r\n", b"421"),
        (b"GET http://localhost@evil.example/v1/queries HTTP/1.1\r\nhost: localhost\r\n", b"421"),
        (b"GET http://localhost/v1/queries HTTP/1.1\r\n", b"400"),
    ],
)
def test_one_host_and_one_that_the_server_is(server: Running, head: bytes, status: bytes) -> None:
    assert server.raw(head + b"connection: close\r\n\r\n")[:12].endswith(b" " + status)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"FOO /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", b"501", b"the method is not known."),
        (b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n", b"501", b"the method is not known."),
        (b"\x16\x03\x01canary /", b"400", b"not HTTP/1.1: invalid method encountered."),
        (POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", b"400", b"not HTTP/1.1: duplicate content-length."),
        (
            POST + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            b"400",
            b"not HTTP/1.1: transfer-encoding can't be present with content-length.",
        ),
        (GET + b"canary header\r\n\r\n", b"400", b"not HTTP/1.1: invalid header token."),
        (b"GET /\xc3\xa9canary HTTP/1.1\r\n\r\n", b"400", b"not HTTP/1.1: invalid char in url path."),
        (b"GET / HTTP/3.7\r\n\r\n", b"400", b"not HTTP/1.1: invalid http version."),
        (b"GET / HTTP/2.0\r\nhost: localhost\r\n\r\n", b"505", b"HTTP/1.1 was expected."),
        (b"GET / HTTP/0.9\r\nhost: localhost\r\n\r\n", b"505", b"HTTP/1.1 was expected."),
        (b"GET /healthz#canary HTTP/1.1\r\nhost: localhost\r\n\r\n", b"400", b"the address has a fragment."),
        (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"501", b"chunked alone was expected"),
        (POST.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400", b"need HTTP/1.1."),
    ],
)
def test_what_is_no_http_is_told_why(server: Running, content: bytes, status: bytes, said: bytes) -> None:
    came = server.raw(content)
    assert came[:12].endswith(b" " + status), came
    assert said in came
    assert b"canary" not in came


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list of one number: of requests that connections have begun to parse."""
    count, whole = [0], Connection.on_message_begin

    def counted(connection: Connection) -> None:
        whole(connection)
        count[0] += 1

    monkeypatch.setattr(Connection, "on_message_begin", counted)  # the parser takes it when it is made
    return count


def test_pipelined_requests_are_parsed_one_at_a_time_and_all_answered(client: Any, begun: list[int]) -> None:
    """3,000 requests in one read: none begins before the one ahead of it is answered, and all are."""

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
        connection.data_received(request * 3000)
        assert not wire.reading
        connection.data_received(request)  # what was on its way
        assert not wire.reading
        while (answered := wire.written.count(b"HTTP/1.1 200")) < 3001:
            assert begun[0] <= answered + 1
            await asyncio.sleep(0)
            assert not (wire.reading and connection._unparsed)  # also not while one of them waits for its body
        assert begun == [3001]
        assert not connection.pipeline
        assert wire.reading
        assert connection.idle
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())


@pytest.mark.parametrize(
    "request_",
    [
        GET + b"\r\n",
        ASKED,
        b"\r\n" * 50 + GET + b"\r\n",
        CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    ],
)
@pytest.mark.parametrize("ahead", [b"", ASKED[:-1]])
def test_what_a_client_sent_and_does_not_wait_for_costs_one_request(
    client: Any, begun: list[int], request_: bytes, ahead: bytes
) -> None:
    """16 KiB of requests, and the client leaves: what is parsed of them is one, or two where a body has no known length."""

    async def talk() -> None:
        connection = connected(client, Wire())
        if ahead:
            connection.data_received(ahead)
        last = BODY[-1:] if ahead else b""
        connection.data_received(last + request_ * (16_384 // len(request_)))
        connection.connection_lost(None)
        await settled(connection)
        assert begun[0] == (1 if ahead or b"chunked" not in request_ else 2)

    client.loop.run_until_complete(talk())


def test_a_crowd_behind_a_body_of_unknown_length_ends_the_connection_after_two_replies(client: Any) -> None:
    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
        connection.data_received(CHUNKED + chunks + (GET + b"\r\n") * 50)
        connection.data_received(GET + b"\r\n")
        while connection.tasks:
            await settled(connection)
            await asyncio.sleep(0)
        assert wire.written.count(b"HTTP/1.1 200") == wire.written.count(b"HTTP/1.1 ") == 2
        assert wire.written.count(b"connection: close") == 1
        assert wire.closed

    client.loop.run_until_complete(talk())


@pytest.mark.parametrize("behind", [b"\x16\x03\x01 /", GET + b"x x: 1\r\n\r\n", GET + b"x: " + b"v" * 70_000])
def test_an_error_behind_a_request_takes_nothing_from_it(client: Any, behind: bytes) -> None:
    """Both are in one read: the first is answered first, and then the second is refused."""

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        connection.data_received(ASKED + behind)
        while not wire.closed:
            await asyncio.sleep(0)
        statuses = re.findall(rb"HTTP/1.1 (\d+)", wire.written)
        assert statuses[0] == b"200"
        assert statuses[1:] in ([b"400"], [b"431"])

    client.loop.run_until_complete(talk())


UPGRADES = [
    b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAAB\r\n",  # Java's own client
    b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n",
    b"connection: upgrade\r\nupgrade: TLS/1.0\r\nupgrade: x\r\n",
]


@pytest.mark.parametrize("wish", UPGRADES, ids=["h2c", "websocket", "two"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_wish_for_another_protocol_is_ignored_and_the_body_read(client: Any, wish: bytes, chunked: bool) -> None:
    """The request arrives in two pieces, cut at each byte, and another one follows on the connection."""
    framed = b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
    if chunked:
        framed = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    content = POST + wish + framed

    async def talk() -> None:
        for cut in range(len(content)):
            wire = Wire()
            connection = connected(client, wire)
            for piece in (content[:cut], content[cut:]):
                if piece:
                    connection.data_received(piece)
            await settled(connection)
            assert wire.written.count(b"HTTP/1.1 200") == wire.written.count(b"HTTP/1.1 ") == 1, (cut, wire.written)
            assert b'"id":"ann"' in wire.written
            connection.data_received(GET + b"\r\n")
            await settled(connection)
            assert wire.written.count(b"HTTP/1.1 200") == 2
            connection.connection_lost(None)

    client.loop.run_until_complete(talk())


def test_the_time_in_which_a_request_waits_for_another_is_not_its_senders(client: Any) -> None:
    """The second request's body is here, and not parsed while the first is being answered."""

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        client.app.admission.slots, waiting = 0, client.app.admission.waiting
        body = b'{"queries":[{"id":"ann"}],"k":1}' + b" " * 10_000
        request = POST + b"content-length: %d\r\n\r\n" % len(body) + body
        connection.data_received(request * 2)
        assert len(waiting) == 1
        assert connection.waiting_since is None
        assert client.app.received.total == 0
        connection.data_received(request * 10)
        assert client.app.received.total == 12 * len(request)
        client.app.admission.slots = client.app.admission.active = 1
        client.app.admission.leave(client.loop.time())
        while wire.written.count(b"HTTP/1.1 200") < 12:
            await asyncio.sleep(0)
        assert connection.idle
        assert client.app.received.total == 0
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 10_000])
def test_a_body_longer_than_a_piece_is_whole(client: Any, size: int) -> None:
    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        body = b'{"queries":[{"id":"ann"}],"k":1}' + b" " * size
        head = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
        connection.data_received((head + body) * 3)
        while wire.written.count(b"HTTP/1.1 200") < 3:
            await asyncio.sleep(0)
        assert connection.idle
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())


def test_the_time_of_a_request_begins_with_its_last_byte(client: Any) -> None:
    """It waits at the gate for what is in front of it: that counts as ``queue`` and in ``total``; a probe counts in neither."""

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        body = b'{"queries":[{"id":"ann"}],"k":1}'
        connection.data_received(GET + b"\r\n")
        await settled(connection)
        client.app.admission.slots, entered = 0, client.app.admission.waiting
        connection.data_received(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        ((_, cycle, _),) = entered
        cycle.scope[COMPLETE] -= 3.0
        client.app.admission.slots = 1
        client.app.admission.active = 1
        client.app.admission.leave(client.loop.time())
        await settled(connection)
        assert wire.written.count(b"HTTP/1.1 200") == 2
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())
    text = client.get("/metrics").text
    for stage in ("queue", "total"):
        assert f'shortlist_stage_seconds_count{{stage="{stage}"}} 1.0' in text
        (seconds,) = re.findall(rf'shortlist_stage_seconds_sum{{stage="{stage}"}} (\S+)', text)
        assert 3.0 < float(seconds) < 63.0


@pytest.mark.parametrize(
    ("length", "first", "head", "received"),
    [(26, 26, b"", 0), (26, 25, b"", 2), (4097, 4097, b"", 1), (26, 26, b"expect: 100-continue\r\n", 1)],
)
def test_a_short_body_that_is_there_is_not_received_again(
    client: Any, length: int, first: int, head: bytes, received: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receiving goes through an event; a long body, a slow one and a client that waits to be asked need it."""
    calls: list[int] = []
    receive = RequestResponseCycle.receive
    monkeypatch.setattr(RequestResponseCycle, "receive", lambda cycle: (calls.append(1), receive(cycle))[1])
    body = b'{"queries":[{"id":"ann"}]}'.ljust(length)

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        start = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\n%scontent-length: %d\r\n\r\n" % (head, length)
        connection.data_received(start + body[:first])
        if first < length:
            await asyncio.sleep(0)  # it is being answered
            connection.data_received(body[first:])
        await settled(connection)
        assert wire.written.count(b"HTTP/1.1 200") == 1
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())
    assert len(calls) == received


def test_the_time_that_a_sender_takes_is_in_no_figure(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine seconds between head and body are its own; three in which it waits in the queue are the server's."""
    now = [100.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0], monotonic=time.monotonic)
    for module in ("app", "parsing"):
        monkeypatch.setattr(f"shortlist.serve.{module}.time", clock)
    admission = client.app.admission

    async def talk() -> None:
        late = Late(client)
        await asyncio.sleep(0)
        admission.slots = 0
        now[0] += 9.0
        late.end()
        while not admission.waiting:
            await asyncio.sleep(0)
        now[0] += 3.0
        admission.slots = admission.active = 1
        admission.leave(client.loop.time())
        await settled(late.connection)
        late.connection.connection_lost(None)

    client.loop.run_until_complete(talk())
    text = client.get("/metrics").text
    for stage in ("queue", "total"):
        assert re.findall(rf'shortlist_stage_seconds_sum{{stage="{stage}"}} (\S+)', text) == ["3.0"]


@pytest.mark.parametrize("senders", [1, 40])
def test_however_short_the_chunks_of_bodies_are_a_turn_of_the_loop_has_few(
    client: Any, senders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sends 10 KB of chunks of a byte, of which some hundreds are parsed in a turn; all bodies are read whole."""
    begun = [0]
    whole = Connection.on_chunk_header

    def counted(connection: Connection) -> None:
        whole(connection)
        begun[0] += 1

    monkeypatch.setattr(Connection, "on_chunk_header", counted)
    body = BODY.ljust(1700)
    content = CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"

    async def talk() -> None:
        wires = [Wire() for _ in range(senders)]
        for wire in wires:
            connected(client, wire)
        await asyncio.sleep(0)
        for wire in wires:
            wire.protocol.data_received(content)
        asking = Wire()
        connected(client, asking).data_received(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
        most = before = begun[0]
        while not all(wire.written for wire in (*wires, asking)):
            await asyncio.sleep(0)
            most, before = max(most, begun[0] - before), begun[0]
        assert begun[0] >= senders * 1700
        assert most <= 2 * 16 * 43 + senders * 86  # a turn's end and the next one's begin fall together here
        for wire in (*wires, asking):
            await settled(wire.protocol)
            assert wire.written.count(b"HTTP/1.1 200") == wire.written.count(b"HTTP/1.1 ") == 1
        for wire in (*wires, asking):
            wire.protocol.connection_lost(None)

    client.loop.run_until_complete(talk())


def test_a_body_that_waits_for_its_turn_keeps_the_time_that_its_sender_has_taken(client: Any) -> None:
    """Nine of its seconds are over when its bytes have to wait for those of others: it has one more, and not ten."""

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        connection.data_received(POST + b"content-length: 50000\r\n\r\n")
        assert connection.waiting_since is not None
        connection.waiting_since -= 9.0
        client.app.intake.take(1 << 20)  # others have had this turn
        connection.data_received(b" " * 16_384)
        assert connection.waiting_since is None  # that it waits is not its fault
        while connection._unparsed:
            await asyncio.sleep(0)
        assert connection.waiting_since is not None
        assert connection.loop.time() - connection.waiting_since >= 9.0
        connection.connection_lost(None)

    client.loop.run_until_complete(talk())
