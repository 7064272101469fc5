"""The command itself, over a socket: start, answers, framing, slow senders, SIGTERM."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

BODY = b'{"queries":[{"id":"ann"}],"k":2}'


class Running:
    """A server in a process of its own."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        import os

        command = [sys.executable, "-m", "shortlist", "serve", *map(str, arguments), "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
        assert self.process.stderr is not None
        self.lines: list[str] = []
        self.port = 0
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            if found:
                self.port = int(found[1])
                break
        assert self.port, self.lines
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = f"http://127.0.0.1:{self.port}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    def raw(self, content: bytes) -> bytes:
        """What comes back for bytes on a connection, to its end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(content)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
            return b"".join(parts)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._reader.join(10)
        return code


@pytest.fixture(scope="module")
def server(bundles: Path) -> Iterator[Running]:
    running = Running(bundles / "one", "--receive-seconds", "1")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def test_it_answers_and_shows_its_page(server: Running) -> None:
    with httpx.Client(base_url=server.url) as client:
        reply = client.post("/v1/recommend", content=BODY)
        assert [item["id"] for item in reply.json()["results"][0]["items"]] == ["c", "d"]
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\nGET /x",
        b'POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{"a":}',
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
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\n{",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_who_never_finishes_a_request_is_cut_off(server: Running, content: bytes) -> None:
    try:
        came = server.raw(content)
    except ConnectionResetError:
        came = b""
    assert b"200" not in came


def test_sigterm_finishes_what_is_under_way(bundles: Path) -> None:
    """200 requests are sent whole, on connections of their own; then comes SIGTERM; each gets its answer."""
    server = Running(bundles / "one")
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    connections = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(200)]
    for connection in connections:
        connection.sendall(head + BODY[:-1])
    assert httpx.get(f"{server.url}/healthz").status_code == 200  # all are accepted by now
    for connection in connections[:100]:
        connection.sendall(BODY[-1:])
    server.process.send_signal(signal.SIGTERM)
    for connection in connections[100:]:
        connection.sendall(BODY[-1:])
    answers = []
    for connection in connections:
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        connection.close()
        answers.append(b"".join(parts))
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 200
    assert server.stop() in (0, -signal.SIGTERM)


def test_logs_are_json_lines_with_request_ids(bundles: Path) -> None:
    server = Running(bundles / "one")
    reply = httpx.post(f"{server.url}/v1/recommend", content=BODY)
    server.stop()
    lines = [json.loads(line) for line in server.lines if line.startswith("{")]
    assert lines[0]["event"] == "started"
    (request,) = [line for line in lines if line["event"] == "request"]
    assert request["id"] == reply.headers["x-request-id"]
    assert request["route"] == "/v1/recommend"
    assert request["status"] == 200
    assert "ann" not in json.dumps(lines)


def test_torch_never_comes_in(bundles: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
import httpx
from shortlist.serve import App, Service
from shortlist.serve.loaded import Loaded
import shortlist.serve.server

app = App(Service(Loaded.read(Path(sys.argv[1]))))
async def ask():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
        for path, body in [
            ("/v1/recommend", {"queries": [{"id": "ann"}, {"id": "eve"}], "where": "stock > 0"}),
            ("/v1/similar", {"candidates": ["a"]}), ("/v1/embed", {"queries": [{"id": "new"}]}),
        ]:
            assert (await client.post(path, json=body)).status_code == 200
        for path in ("/v1/card", "/v1/map", "/v1/queries", "/v1/candidates?text=a", "/metrics"):
            assert (await client.get(path)).status_code == 200, path
asyncio.run(ask())
app.service.close()
taken = {"torch", "shortlist.train", "shortlist.loss", "shortlist.model", "onnx"} & set(sys.modules)
assert not taken, taken
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundles / "one")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_mistakes_end_in_a_message(bundles: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shortlist", "serve", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(bundles / "one", "--port", taken.getsockname()[1])
    assert done.returncode == 1
    assert "choose another --port" in done.stderr
    done = run(tmp_path / "nowhere")
    assert done.returncode == 1
    assert "there is no bundle" in done.stderr
    assert "Traceback" not in done.stderr
