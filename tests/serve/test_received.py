"""Bodies on their way: few bytes in total, and the slowest sender makes room for the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.serve.wires import POST, Wire, connected, settled

from shortlist.serve import Settings
from shortlist.serve.protocol import Connection
from shortlist.serve.received import IN_A_TURN, SMALL, Intake, Received
from shortlist.serve.settings import Limits

KB, MB = 1 << 10, 1 << 20


class Sender:
    def __init__(self, waiting_since: float | None) -> None:
        self.waiting_since, self.what = waiting_since, ""

    def abort(self, reason: str) -> None:
        self.what = reason

    def refuse_body(self) -> None:
        self.what = "away"


def test_the_slowest_sender_makes_room() -> None:
    received = Received(MB)  # 16 MB
    senders = [Sender(float(-number)) for number in range(20)]
    for sender in senders[:16]:
        received.put(sender, MB)
    assert not any(one.what for one in senders)
    small = Sender(-100.0)
    received.put(small, 64 * KB)
    received.put(senders[16], MB)
    assert (senders[15].what, small.what) == ("room", "")
    assert received.total == 16 * MB
    received.discard(senders[0])
    received.put(senders[17], MB)
    assert senders[14].what == ""


def test_who_comes_while_whole_requests_wait_is_turned_away() -> None:
    received = Received(MB)
    waiting = [Sender(None) for _ in range(16)]
    for sender in waiting:
        received.put(sender, MB)
    received.put(last := Sender(1.0), 65 * KB)
    assert last.what == "away"
    assert not any(one.what for one in waiting)
    assert received.total == 16 * MB


def test_longer_bodies_have_more_room() -> None:
    assert Received(64 * MB).most == 256 * MB


def test_forty_bodies_that_never_end(client: Any) -> None:
    """Each sends a megabyte less a byte; 16 MB of them are there at a time, and a whole request is answered."""

    async def talk() -> None:
        wires = [Wire() for _ in range(40)]
        head = POST + b"content-length: %d\r\n\r\n" % MB
        for wire in wires:
            connected(client, wire)
            wire.protocol.data_received(head + b" " * (MB - 1))
            assert client.app.received.total <= 16 * MB
        assert sum(wire.closed for wire in wires) == 25  # with its head each is a little longer than a megabyte
        wire = Wire()
        connected(client, wire)
        body = b'{"queries":[{"id":"ann"}],"k":1}'
        wire.protocol.data_received(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        await settled(wire.protocol)
        assert wire.written[:12] == b"HTTP/1.1 200"
        for one in (*wires, wire):
            one.protocol.connection_lost(None)
        assert client.app.received.total == 0

    client.loop.run_until_complete(talk())


class Reader:
    """Parses pieces of 4 KB while it may."""

    def __init__(self, intake: Intake, size: int) -> None:
        self.intake, self.left, self.parsed = intake, size, 0

    def parse_more(self) -> None:
        while self.left and self.intake.take(4 * KB):
            self.left -= 4 * KB
            self.parsed += 4 * KB
        if self.left:
            self.intake.wait(self)


def test_long_requests_share_a_turn_of_the_loop() -> None:
    """Three of 128 KB and one of 8 KB: 64 KB in each turn, in the order of arrival, and the last one is done in the fifth."""

    async def turns() -> None:
        intake = Intake()
        readers = [Reader(intake, size) for size in (128 * KB, 128 * KB, 128 * KB, 8 * KB)]
        for reader in readers:
            reader.parse_more()
        done = []
        for _ in range(8):
            done.append([reader.parsed // KB for reader in readers])
            await asyncio.sleep(0)
        assert IN_A_TURN == 64 * KB
        assert done == [
            [64, 0, 0, 0], [128, 0, 0, 0], [128, 64, 0, 0], [128, 64, 64, 0],
            [128, 120, 64, 8], [128, 120, 128, 8], [128, 128, 128, 8], [128, 128, 128, 8],
        ]  # fmt: skip
        gone = Reader(intake, 128 * KB)
        gone.parse_more()
        intake.discard(gone)
        await asyncio.sleep(0)
        assert gone.parsed == 64 * KB

    asyncio.run(turns())


@pytest.mark.parametrize("senders", [1, 100])
def test_however_many_send_long_bodies_a_turn_is_short(
    client: Any, senders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sends 100 KB, a turn's reading at a time. Another client's request is parsed in the turn in which it arrives."""
    parsed = 0
    whole = Connection.on_body

    def counted(connection: Connection, body: bytes) -> None:
        nonlocal parsed
        parsed += len(body)
        whole(connection, body)

    monkeypatch.setattr(Connection, "on_body", counted)

    async def talk() -> None:
        nonlocal parsed
        head, chunk = POST + b"content-length: 200000\r\n\r\n", b" " * 16_384
        wires = [Wire() for _ in range(senders)]
        for wire in wires:
            connected(client, wire).data_received(head)
        await asyncio.sleep(0)
        most = turns = 0
        left = dict.fromkeys(wires, 100_000)
        while any(left.values()):
            parsed = 0
            for wire in wires:
                if wire.reading and left[wire]:
                    left[wire] -= len(piece := chunk[: left[wire]])
                    wire.protocol.data_received(piece)
            await asyncio.sleep(0)
            most, turns = max(most, parsed), turns + 1
        asking = Wire()
        body = b'{"queries":[{"id":"ann"}],"k":1}'
        connected(client, asking).data_received(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        await settled(asking.protocol)
        assert asking.written[:12] == b"HTTP/1.1 200"
        assert most <= 2 * IN_A_TURN + senders * 4 * KB  # a turn's end and the next one's begin fall together here
        assert turns >= senders * 100_000 // most
        for one in (*wires, asking):
            one.protocol.connection_lost(None)

    client.loop.run_until_complete(talk())


def pipelined(requests: int) -> bytes:
    return b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-pad: %b\r\n\r\n" % (b"x" * 900) * requests


@pytest.mark.parametrize(
    ("head", "content"),
    [
        (b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (3 * MB), b"x" * 3 * MB),
        (b"GET /v1/card HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (3 * MB), b"x" * 3 * MB),
        (
            POST.replace(b"/v1/", b"/v2/") + b"transfer-encoding: chunked\r\n\r\n",
            b"8000\r\n%b\r\n" % (b"x" * 32_768) * 96,
        ),
        (b"", pipelined(3 * MB // 960)),
    ],
    ids=["no such path", "no body is read", "chunked", "pipelined"],
)
def test_what_is_answered_takes_no_room(client: Any, head: bytes, content: bytes) -> None:
    """There is room for a megabyte, of which an honest sender has some; three that nobody keeps take none of it."""

    async def talk() -> None:
        received = client.app.received
        received.most = MB
        honest, other = Wire(), Wire()
        connected(client, honest).data_received(POST + b"content-length: 200000\r\n\r\n" + b" " * 150_000)
        while received.total < 150_000:  # it is parsed in a few turns of the loop
            await asyncio.sleep(0)
        kept = received.total
        connection = connected(client, other)
        connection.data_received(head)
        for _ in range(5):
            await asyncio.sleep(0)
        most, at = 0, 0
        while at < len(content):
            if other.reading:
                connection.data_received(content[at : at + 16_384])
                at += 16_384
            await asyncio.sleep(0)
            most = max(most, received.total)
        while connection.tasks or connection._unparsed:
            await asyncio.sleep(0)
        assert other.written.startswith(b"HTTP/1.1 ")
        assert not other.closed
        assert not honest.closed
        assert most <= kept + 2 * SMALL
        for one in (honest, other):
            one.protocol.connection_lost(None)
        assert received.total == 0

    client.loop.run_until_complete(talk())


def test_slow_senders_take_no_place_of_others(clients: Any) -> None:
    """Five requests may be under way. Seven have sent a part of their bodies: the first two make room, and others are answered."""
    client = clients(Settings(limits=Limits(under_way=5, wait_seconds=100.0)))

    async def talk() -> None:
        body = b'{"queries":[{"id":"ann"}],"k":1}'
        request = POST + b"content-length: %d\r\n\r\n" % len(body) + body
        slow = [Wire() for _ in range(7)]
        for wire in slow:
            connected(client, wire).data_received(request[:-1])
            await asyncio.sleep(0)
        assert [wire.closed for wire in slow] == [True, True, *[False] * 5]
        for wire in slow[:2]:
            wire.protocol.connection_lost(None)
        whole = Wire()
        connected(client, whole).data_received(request)
        await settled(whole.protocol)
        assert whole.written[:12] == b"HTTP/1.1 200"
        for wire in slow[2:]:
            wire.protocol.data_received(request[-1:])
            await settled(wire.protocol)
            assert wire.written[:12] == b"HTTP/1.1 200"
        for wire in (whole, *slow[2:]):
            wire.protocol.connection_lost(None)

    client.loop.run_until_complete(talk())
    assert 'shortlist_connections_cut_total{reason="room"} 2.0' in client.get("/metrics").text
    assert client.app.under_way == 0


HEADS = b"GET /v1/card HTTP/1.1\r\nhost: localhost\r\nx: " + b"v" * 60_000


@pytest.mark.parametrize(
    "part",
    [POST + b"content-length: 60001\r\n\r\n" + b" " * 60_000, HEADS, POST + b"transfer-encoding: chunked\r\n\r\n" + b"3a98\r\n%b\r\n" % (b" " * 15_000) * 4],
    ids=["body", "head", "chunked"],
)  # fmt: skip
def test_short_parts_of_requests_have_a_bound_together(
    client: Any, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty clients send 60 kB and wait: a megabyte of it is there at a time, those who came first make room, and others are answered."""
    received = client.app.received
    received.most = 0
    monkeypatch.setattr("shortlist.serve.received.PARTS", MB)

    async def talk() -> None:
        wires = [Wire() for _ in range(40)]
        for wire in wires:
            connected(client, wire)
            for at in range(0, len(part), 16_384):
                wire.protocol.data_received(part[at : at + 16_384])
                await asyncio.sleep(0)
            while wire.protocol._unparsed and not wire.closed:
                await asyncio.sleep(0)
            assert received._in_parts <= MB
        left = [number for number, wire in enumerate(wires) if not wire.closed]
        assert left == list(range(40 - len(left), 40))
        assert 16 <= len(left) <= 17
        body = b'{"queries":[{"id":"ann"}],"k":1}'
        whole = Wire()
        connected(client, whole).data_received(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
        await settled(whole.protocol)
        assert whole.written[:12] == b"HTTP/1.1 200"
        for wire in (*wires, whole):
            wire.protocol.connection_lost(None)
        assert (received._in_parts, received.total) == (0, 0)

    client.loop.run_until_complete(talk())


def test_what_is_whole_or_answered_is_no_part() -> None:
    received, (first, second) = Received(MB), (Sender(1.0), Sender(2.0))
    received.hold(first, 10)
    received.hold(first, 30)
    received.hold(second, 5)
    assert received._in_parts == 35
    received.whole(first)
    received.answered(second)
    assert received._in_parts == 0
