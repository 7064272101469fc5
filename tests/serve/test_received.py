"""Bodies on their way: few bytes in total, and the slowest sender makes room for the others."""

from __future__ import annotations

from typing import Any

from tests.serve.test_protocol import POST, Wire, connected, settled

from shortlist.serve.received import Received

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
