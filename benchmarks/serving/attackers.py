"""Clients that an anonymous stranger could be: `python -m benchmarks.serving.attackers NAME PORT` attacks until it is ended.

`python -m benchmarks.serving.attackers busy SHARE` attacks nobody, and uses that share of a processor: what the attacker takes
from the machine, without what it does to the server.

Each is named after the row of the issue that found it. Bodies are made once; what comes back is read and thrown away, unless not reading is the
attack. When it is ended (SIGTERM), an attacker prints what it has got through, as JSON.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

KEY = "benchmark-write-key-0123456789"
EMPTY = b'{"queries":[{"id":"1"}]}'


class _Count:
    """What all threads together have got through: connections, bytes sent, and replies read to their end."""

    def __init__(self) -> None:
        self._lock, self._begun = threading.Lock(), time.perf_counter()
        self.connections = self.sent = self.replies = 0

    def add(self, connections: int = 0, sent: int = 0, replies: int = 0) -> None:
        with self._lock:
            self.connections, self.sent, self.replies = (
                self.connections + connections,
                self.sent + sent,
                self.replies + replies,
            )

    def said(self) -> dict[str, float]:
        """The counts, and the seconds that they took."""
        seconds = time.perf_counter() - self._begun
        return {"seconds": seconds, "connections": self.connections, "sent": self.sent, "replies": self.replies}


COUNT = _Count()


class _Socket(socket.socket):
    """A connection to the server; what it sends is counted."""

    def connect(self, address: Any) -> None:
        super().connect(address)
        COUNT.add(connections=1)

    def send(self, content: Any, flags: int = 0) -> int:
        sent = super().send(content, flags)
        COUNT.add(sent=sent)
        return sent

    def sendall(self, content: Any, flags: int = 0) -> None:
        super().sendall(content, flags)
        COUNT.add(sent=len(content))


def post(path: str, body: bytes, *lines: str) -> bytes:
    """A whole request."""
    head = [f"POST {path} HTTP/1.1", "host: localhost", f"x-api-key: {KEY}", f"content-length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _queries(count: int, **last: object) -> list[dict]:
    made: list[dict] = [{"id": str(number + 1), "features": {"age": 30}} for number in range(count)]
    made[-1]["features"] = made[-1]["features"] | last
    return made


# Requests that are sent again and again, each when the last was answered. The number is that of connections.


def _same(request: bytes) -> Iterator[bytes]:
    while True:
        yield request


def _conditions() -> Iterator[bytes]:
    """Always others, so that none is remembered; the most expensive that are allowed."""
    number = 0
    while True:
        number += 1
        texts = " or ".join(f"title ilike '%{number * 7 + one}%x%'" for one in range(40))
        yield post("/v1/recommend", _json({"queries": [{"id": "1"}], "k": 10, "where": texts}))


def _sums() -> Iterator[bytes]:
    """Texts put together, which is refused."""
    number = 0
    while True:
        number += 1
        text = " + ".join(["title"] * 100) + f" = 'x{number}'"
        yield post("/v1/recommend", _json({"queries": [{"id": "1"}], "where": text}))


def _ruled(count: int, k: int, columns: list[str], **rules: object) -> Iterator[bytes]:
    """Lists by rules."""
    body = {"queries": _queries(count), "k": k, "columns": columns, "rerank": {"diversify": 0.5, **rules}}
    return _same(post("/v1/recommend", _json(body)))


def _comings_and_goings(count: int) -> Iterator[bytes]:
    """Candidates that are upserted and deleted again."""
    upserts = post("/v1/candidates", _json({"upsert": [{"item": f"v{one}", "stock": 1} for one in range(count)]}))
    deletions = post("/v1/candidates", _json({"delete": [f"v{one}" for one in range(count)]}))
    while True:
        yield upserts
        yield deletions


def _typed(path: str, **more: object) -> Iterator[bytes]:
    return _same(post(path, _json({"queries": _queries(256, age="x"), **more})))


ASKING: dict[str, tuple[int, Callable[[], Iterator[bytes]]]] = {
    "1 a wrong feature, /v1/recommend": (4, lambda: _typed("/v1/recommend")),
    "1 a wrong feature, /v1/embed": (4, lambda: _typed("/v1/embed")),
    "1 a wrong feature, /v1/score": (4, lambda: _typed("/v1/score", candidates=["1", "2"])),
    "2 wrong cells in an upsert": (
        2,
        lambda: _same(post("/v1/candidates", _json({"upsert": [{"item": f"n{one}", "stock": "many"} for one in range(4000)]}))),
    ),
    "3 256 queries, exact": (
        4,
        lambda: _same(post("/v1/recommend", _json({"queries": _queries(256), "k": 100, "exact": True}))),
    ),
    "4 84,000 columns": (2, lambda: _same(post("/v1/recommend", _json({"queries": [{"id": "1"}], "columns": ["title"] * 84_000})))),
    "4 the most columns": (
        2,
        lambda: _same(post("/v1/recommend", _json({"queries": _queries(256), "k": 340, "columns": ["title", "genres", "stock"]}))),
    ),
    "7 many ilike": (4, _conditions),
    "7 sums of texts": (2, _sums),
    "13 long texts to search for": (2, lambda: _same(get("/v1/candidates?text=" + "x" * 15_000))),
    "13 texts to search for": (2, lambda: _same(get("/v1/candidates?text=zq&limit=50"))),
    "13 long ids": (2, lambda: _same(post("/v1/candidates", _json({"upsert": [{"item": "x" * 900_000}]})))),
    "100,000 scores": (
        4,
        lambda: _same(post("/v1/score", _json({"queries": [{"id": str(one)} for one in range(1, 61)],
                                               "candidates": [str(one) for one in range(1, 1601)]}))),
    ),
    "256 vectors": (4, lambda: _same(post("/v1/embed", _json({"queries": _queries(256)})))),
    "256 similar": (4, lambda: _same(post("/v1/similar", _json({"candidates": [str(one) for one in range(1, 257)], "k": 100})))),
    "metrics": (4, lambda: _same(get("/metrics"))),
    "the OpenAPI document": (4, lambda: _same(get("/openapi.json"))),
    "a map": (2, lambda: _same(get("/v1/map?column=genres"))),
    "a long body": (4, lambda: _same(post("/v1/recommend", _json({"queries": [{"id": "1", "exclude": [str(one) for one in range(9_999)]}] * 13})))),
    "a compressed body": (
        4,
        lambda: _same(post("/v1/recommend", gzip.compress(b" " * (1 << 20)), "content-encoding: gzip")),
    ),
    "many at once on one connection": (2, lambda: _same(post("/v1/recommend", EMPTY) * 400)),
    "5,000 events recorded": (2, lambda: _same(post("/v1/events", _json({"events": [
        {"query": str(one % 1000 + 1), "candidate": str(one % 1600 + 1)} for one in range(5000)]})))),
    "5,000 places of lists recorded": (2, lambda: _same(post("/v1/impressions", _json({"impressions": [
        {"query": str(one), "items": [{"candidate": str(place)} for place in range(1, 51)]} for one in range(1, 101)]})))),
    "4,000 candidates upserted": (2, lambda: _same(post("/v1/candidates", _json({"upsert": [
        {"item": f"u{one}", "title": f"A title {one}", "genres": "drama", "stock": one % 9} for one in range(4000)]})))),
    "1,000 candidates deleted and upserted": (2, lambda: _comings_and_goings(1000)),
    "pins, diversity and columns": (4, lambda: _ruled(256, 100, ["title", "genres", "stock"], pin=[{"id": str(one), "place": one} for one in range(1, 51)])),
    "diversity, k 200": (4, lambda: _ruled(256, 200, [])),
    "a long list of scores": (4, lambda: _same(post("/v1/score", _json({"queries": [{"id": str(one)} for one in range(1, 11)],
                                                                        "candidates": [str(one) for one in range(1, 10_001)]})))),
    "features, k 1,000": (4, lambda: _same(post("/v1/recommend", _json({"queries": _queries(256), "k": 1000})))),
    "84,000 queries": (4, lambda: _same(post("/v1/recommend", b'{"queries":[' + b",".join([b'{"id":"1"}'] * 84_000) + b"]}"))),
    "256 queries, unknown ids allowed": (4, lambda: _same(post("/v1/recommend", _json({
        "queries": _queries(256), "allow": [f"unknown {one}" for one in range(10_000)]})))),
    "a history": (4, lambda: _same(get("/v1/history?query=1"))),
    "a map without colours": (4, lambda: _same(get("/v1/map"))),
    "people to search for": (4, lambda: _same(get("/v1/queries?text=1&limit=100"))),
    "no JSON": (4, lambda: _same(post("/v1/recommend", b"[" * (1 << 20)))),
}  # fmt: skip


def _ask(port: int, requests: Iterator[bytes]) -> None:
    """Send each, read its reply, and connect again where the server has closed."""
    while True:
        try:
            with _connected(port) as connection:
                for request in requests:
                    _exchange(connection, request)
        except OSError:
            time.sleep(0.05)


def _exchange(connection: socket.socket, request: bytes) -> None:
    """One request, or several at once, and all their replies. ConnectionError where the server ends the connection."""
    replies = request.count(b" HTTP/1.1\r\n")
    sender = threading.Thread(target=_send, args=(connection, request)) if len(request) > 1 << 16 else None
    if sender is None:
        connection.sendall(request)
    else:
        sender.start()
    came, told = b"", 0
    for _ in range(replies):
        while b"\r\n\r\n" not in came:
            came += _more(connection)
        head, _, came = came.partition(b"\r\n\r\n")
        missing = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        told = max(told, head.startswith(b"HTTP/1.1 503"))
        while len(came) < missing:
            missing, came = missing - len(came), _more(connection)
        came = came[missing:]
        COUNT.add(replies=1)
    if sender is not None:
        sender.join()
    if told:
        time.sleep(0.02)  # shorter than it asks for


def _send(connection: socket.socket, content: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(content)


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(1 << 20)
    if not part:
        raise ConnectionError("closed")
    return part


def _connected(port: int) -> socket.socket:
    connection = _Socket()
    try:
        connection.settimeout(60)
        connection.connect(("127.0.0.1", port))
    except OSError:
        connection.close()
        raise
    return connection


# Connections that are held, or fed for ever.


def _unread(port: int, count: int = 60) -> None:
    """Long replies that nobody reads."""
    body = _json({"queries": _queries(256), "k": 340, "columns": ["title", "genres", "stock"]})
    held: list[socket.socket] = []
    while True:
        while len(held) < count:
            one = _Socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", port))
            one.sendall(post("/v1/recommend", body))
            held.append(one)
        time.sleep(0.2)
        held = [one for one in held if _is_open(one)]


def _is_open(one: socket.socket) -> bool:
    """Whether the server still holds it; nothing is read."""
    try:
        one.send(b"")
        state = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return state == 1  # ESTABLISHED
    except OSError:
        return False


def _feed(port: int, first: bytes, more: bytes, count: int = 1) -> None:
    """Send the same without end, on new connections when the server ends one."""

    def one() -> None:
        while True:
            try:
                with _connected(port) as connection:
                    connection.sendall(first)
                    while True:
                        connection.sendall(more)
            except OSError:
                time.sleep(0.02)

    _all([one] * count)


def _hold(port: int, content: bytes, count: int, again: bytes = b"", every: float = 1.0) -> None:
    """Many connections that have sent something, and from time to time a little more; new ones where they are ended."""
    held: list[socket.socket] = []
    while True:
        while len(held) < count:
            one = _connected(port)
            _send(one, content)
            held.append(one)
        time.sleep(every)
        for one in held:
            if again:
                _send(one, again)
        held = [one for one in held if _is_open(one)]


def _all(ways: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=way, daemon=True) for way in ways]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


_BEGUN = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\n"
_CHUNKED = _BEGUN + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"

HOLDING: dict[str, Callable[[int], None]] = {
    "5 replies that nobody reads": _unread,
    "6 header lines without end": lambda port: _feed(port, _BEGUN, b"a:b\r\n" * 4000),
    "6 an address without end": lambda port: _feed(port, b"GET /", b"x" * 20_000),
    "6 trailers without end": lambda port: _feed(port, _CHUNKED + b"0\r\n", b"a:b\r\n" * 4000),
    "6 chunk extensions without end": lambda port: _feed(port, _CHUNKED + b"1;", b"x" * 20_000),
    "12 empty lines": lambda port: _hold(port, post("/v1/recommend", EMPTY), 500, b"\r\n"),
    "12 idle connections": lambda port: _hold(port, b"", 2000),
    "bodies that do not end": lambda port: _hold(
        port, _BEGUN + b"content-length: 1048576\r\n\r\n" + b"x" * 1_000_000, 100, b"x"
    ),
    "connections without end": lambda port: _all([lambda: _come_and_go(port)] * 4),
    "256 instances": lambda port: _instances(port),
    "requests that hang up": lambda port: _all([lambda: _hang_up(port)] * 4),
    "requests sent ahead by clients that leave": lambda port: _leave(
        port, post("/v1/recommend", _json({"queries": [{"id": "1"}], "k": 1000})) * 20
    ),
    "small requests sent ahead by clients that leave": lambda port: _leave(port, get("/healthz") * 2000),
}


def _come_and_go(port: int) -> None:
    while True:
        try:
            _connected(port).close()
        except OSError:
            time.sleep(0.02)


def _instances(port: int) -> None:
    """TensorFlow Serving's form, at the model's own address."""
    with _connected(port) as connection:
        connection.sendall(get("/v1/card"))
        name = re.search(rb'"name":"([^"]+)"', _more(connection))[1].decode()  # type: ignore[index]
    request = post(f"/v1/models/{name}:predict", _json({"instances": [str(one) for one in range(1, 257)]}))
    _all([lambda: _ask(port, _same(request))] * 4)


def _hang_up(port: int) -> None:
    """Ask for much, and go."""
    request = post("/v1/recommend", _json({"queries": _queries(256), "k": 100, "exact": True}))
    while True:
        try:
            with _connected(port) as connection:
                connection.sendall(request)
                time.sleep(0.02)
        except OSError:
            time.sleep(0.02)


def _leave(port: int, content: bytes) -> None:
    """Connect, send as much as goes at once, and leave, without end."""
    while True:
        with contextlib.suppress(OSError), _connected(port) as connection:
            connection.setblocking(False)
            connection.send(content)


NAMES = (*ASKING, *HOLDING)


def attack(name: str, port: int) -> None:
    """Attack until ended."""
    if name in HOLDING:
        HOLDING[name](port)
    else:
        connections, requests = ASKING[name]
        _all([lambda: _ask(port, requests())] * connections)


def busy(share: float) -> None:
    """Use a share of one processor, in steps of a few milliseconds, until ended."""
    step = 0.004
    while True:
        until = time.thread_time() + step * share
        while time.thread_time() < until:
            pass
        if share < 1:
            time.sleep(step * (1 - share))


def _end(*_: object) -> None:
    """Print what was got through, and end, whatever the threads do."""
    os.write(1, _json(COUNT.said()) + b"\n")
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    print("begins", flush=True)
    if sys.argv[1] == "busy":
        busy(float(sys.argv[2]))
    attack(sys.argv[1], int(sys.argv[2]))
