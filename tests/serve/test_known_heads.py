"""Heads that occur again: a request whose head is known reads as it did when it was parsed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.serve.wires import Wire, connected, settled

from shortlist.serve import known_heads
from shortlist.serve.app import BODY, COMPLETE, PLACE
from shortlist.serve.known_heads import KnownHeads
from shortlist.serve.parsing import PIECE
from shortlist.serve.protocol import Connection

ASKED = b'{"queries":[{"id":"ann"}],"k":2}'
SCOPE = {"method": "POST", "path": "/x", "raw_path": b"/x", "query_string": b"", "headers": [(b"content-length", b"2")]}


def post(body: bytes = ASKED, path: bytes = b"/v1/recommend", more: bytes = b"") -> bytes:
    length = b"content-length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + more + length + b"\r\n" + body


PLAIN = {
    "the most common": post(),
    "many lines": post(
        more=b"Accept: */*\r\naccept: text/*\r\nUser-Agent: a\r\nX-Request-Id: 7\r\nAuthorization: Bearer a\r\n"
    ),
    "kept": post(more=b"Connection: keep-alive\r\n"),
    "nowhere": post(path=b"/nowhere"),
    "percent": post(path=b"/v1/%72ecommend"),
    "a query": post(path=b"/v1/recommend?a=b%20c"),
    "no JSON": post(b"{"),
    "another media type": post(more=b"Content-Type: text/plain\r\n"),
    "another host": post(more=b"Host: other\r\n"),
    "a caller's trace": post(more=b"traceparent: 00-%s-%s-01\r\n" % (b"a" * 32, b"b" * 16)),
    "unknown coding": post(more=b"content-encoding: br\r\n"),
}
ODD = {
    "a wish to be asked": post(more=b"expect: 100-continue\r\n"),
    "another protocol": post(more=b"connection: upgrade\r\nupgrade: h2c\r\n"),
    "a whole address": post(path=b"http://localhost/v1/recommend"),
    "in chunks": b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"%x\r\n%s\r\n0\r\n\r\n" % (len(ASKED), ASKED),
    "GET": b"GET /v1/card HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "GET with a body": post().replace(b"POST", b"GET"),
    "an older version": post(more=b"connection: keep-alive\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no length": b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "long": post(ASKED.ljust(PIECE)),
    "a long head": post(more=b"x: " + b"a" * known_heads.LONGEST + b"\r\n"),
}  # fmt: skip


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is parsed."""
    found: list[bytes] = []
    feed = Connection._feed
    monkeypatch.setattr(Connection, "_feed", lambda self, piece: (found.append(piece), feed(self, piece))[1])
    return found


def seen(connection: Connection) -> tuple[Any, ...]:
    """What the application is given of the last request."""
    scope: dict[str, Any] = dict(connection.scope)
    assert isinstance(scope.pop(COMPLETE), float)
    assert all(map(callable, scope.pop(PLACE)))
    cycle = connection.cycle
    assert cycle.response_complete
    body = scope.pop(BODY, None)
    facts = (
        cycle.keep_alive,
        cycle.more_body,
        cycle.disconnected,
        connection.url,
        connection.waiting_since,
        connection._size,
    )
    return scope, None if body is None else bytes(body), facts


def without_numbers(reply: bytes) -> bytes:
    return re.sub(
        rb'(request-id: |"request_id":"|"took_ms":|"ms":|[0-9a-f]{32}-)[^\r,}"]*|content-length: \d+', b"", reply
    )


def asked_four_times(client: Any, content: bytes) -> list[tuple[tuple[Any, ...], bytes]]:
    found = []

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        for _ in range(4):
            if wire.closed:
                connection.connection_lost(None)
                wire = Wire()
                connection = connected(client, wire)
            connection.data_received(content)
            await settled(connection)
            found.append((seen(connection), without_numbers(wire.written)))
            wire.written = b""
        assert connection.idle
        connection.connection_lost(None)

    client.app.heads = KnownHeads()
    client.loop.run_until_complete(talk())
    return found


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_a_request_reads_as_it_did_when_its_head_was_parsed(client: Any, fed: list[bytes], content: bytes) -> None:
    first, *others = asked_four_times(client, content)
    assert others == [first] * 3
    assert b"".join(fed) == 2 * content  # the third and the fourth are not parsed


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_heads_of_another_form_are_always_parsed(client: Any, fed: list[bytes], content: bytes) -> None:
    first, *others = asked_four_times(client, content)
    assert [(scope["path"], body) for (scope, body, _), _ in others] == [(first[0][0]["path"], first[0][1])] * 3
    assert b"".join(fed).count(content[:20]) >= 4


@pytest.mark.parametrize(
    "content",
    [post()[:-1], post() + b"\r\n", post() + post(), post()[:-1] + b"}}", b"\r\n" + post(), post()[:40], b"", b"\r\n"],
)
def test_a_known_head_without_its_body_alone_is_parsed(client: Any, content: bytes) -> None:
    """Less, more and other bytes than the whole request."""
    heads = KnownHeads()
    for _ in range(3):
        heads.keep(post(), b"/v1/recommend", SCOPE)
    assert heads.of(post()) is not None
    changed = heads.of(content)
    assert changed is None


def test_another_body_of_the_same_length_is_that_of_its_request(client: Any, fed: list[bytes]) -> None:
    bodies = [b'{"queries":[{"id":"%s"}],"k":1}' % name for name in (b"ann", b"bob", b"cyd", b"ann")]
    found = []

    async def talk() -> None:
        wire = Wire()
        connection = connected(client, wire)
        for body in bodies:
            connection.data_received(post(body))
            await settled(connection)
            found.append(bytes(connection.scope[BODY]))  # type: ignore[literal-required]
        connection.connection_lost(None)

    client.app.heads = KnownHeads()
    client.loop.run_until_complete(talk())
    assert found == bodies
    assert len(fed) == 2 * 2  # head and body of two


def test_what_is_kept_has_a_bound() -> None:
    heads = KnownHeads()
    for number in range(3 * known_heads.ONCE):
        data = post(more=b"x-request-id: %d\r\n" % number)
        for _ in range(2 if number % 3 == 0 else 1):
            heads.keep(data, b"/v1/recommend", SCOPE)
    assert 0 < len(heads._known) <= known_heads.MOST
    assert len(heads._once) <= known_heads.ONCE


def test_a_head_that_occurs_once_is_not_kept() -> None:
    heads = KnownHeads()
    heads.keep(post(), b"/v1/recommend", SCOPE)
    assert heads.of(post()) is None
    heads.keep(post(), b"/v1/recommend", SCOPE)
    assert heads.of(post()) is not None
