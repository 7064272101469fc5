"""The command itself, over a socket: start, answers, framing, slow senders, SIGTERM."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests.serve.running import Running

from shortlist.serve.logs import Log
from shortlist.serve.server import Server

BODY = b'{"queries":[{"id":"ann"}],"k":2}'


def test_it_answers_and_shows_its_page(server: Running) -> None:
    with httpx.Client(base_url=server.url) as client:
        reply = client.post("/v1/recommend", content=BODY)
        assert [item["id"] for item in reply.json()["results"][0]["items"]] == ["c", "d"]
        assert client.get("/readyz").status_code == 200


def test_sigterm_finishes_what_is_under_way(bundles: Path) -> None:
    """200 requests are sent whole, on connections of their own; then comes SIGTERM; each gets its answer."""
    server = Running(bundles / "one", "--max-wait", "100")
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    connections = [socket.create_connection(("127.0.0.1", server.port), timeout=120) for _ in range(200)]
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
    assert server.stop() == 0


def test_a_server_that_drains_answers_until_it_closes(bundles: Path) -> None:
    """Not ready at once; whoever comes is answered and told to close, until the listener closes; nobody is reset."""
    server = Running(bundles / "one", "--drain-seconds", "2")
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    with httpx.Client(base_url=server.url) as kept:
        assert kept.get("/readyz").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        while kept.get("/readyz").status_code == 200:
            pass
    answered = 0
    while True:
        try:
            came = server.raw(head + BODY)
        except ConnectionRefusedError:
            break
        assert came[:12] == b"HTTP/1.1 200"
        assert b"connection: close" in came
        answered += 1
    assert answered
    assert server.process.wait(120) == 0


def test_a_hangup_ends_nothing_and_looks_again(bundles: Path, tmp_path: Path) -> None:
    """A bundle was refused; what was wrong is mended without a trace in its files; the signal has it looked at again."""
    link = tmp_path / "current"
    link.symlink_to(bundles / "one")
    server = Running(link)
    with httpx.Client(base_url=server.url) as client:
        before = client.get("/readyz").json()["bundle"]
        server.process.send_signal(signal.SIGHUP)
        new = tmp_path / "next"
        new.symlink_to(bundles / "two")
        new.rename(link)
        server.process.send_signal(signal.SIGHUP)
        while client.get("/readyz").json()["bundle"] == before:
            assert client.post("/v1/recommend", content=BODY).status_code == 200
            threading.Event().wait(0.01)  # so that the server has the processor to read the bundle
    assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_signals_that_open_other_servers_logs_again_end_no_process(bundles: Path, workers: str) -> None:
    """Sent to each process: SIGUSR1 and SIGUSR2."""
    server = Running(bundles / "one", "--workers", workers)
    family = [server.process.pid]
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    if children.exists():
        family += map(int, children.read_text().split())
    for pid in family:
        os.kill(pid, signal.SIGUSR1)
        os.kill(pid, signal.SIGUSR2)
    for _ in range(8):
        assert httpx.post(f"{server.url}/v1/recommend", content=BODY).status_code == 200
    assert server.stop() == 0


def test_a_flood_is_refused_at_once_and_on_the_same_connections(bundles: Path) -> None:
    """100 requests are there before the server looks; it may have two under way, and answers or refuses each."""
    server = Running(bundles / "one", "--max-under-way", "2")
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(BODY)
    with httpx.Client(base_url=server.url) as watcher:
        watcher.get("/healthz")
        connections = [socket.create_connection(("127.0.0.1", server.port), timeout=120) for _ in range(100)]
        watcher.get("/healthz")  # all are accepted by now
        server.process.send_signal(signal.SIGSTOP)
        for connection in connections:
            connection.sendall(head + BODY)
        server.process.send_signal(signal.SIGCONT)
        first = [whole_reply(connection) for connection in connections]
        assert {reply[:12] for reply in first} == {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        refused = [number for number, reply in enumerate(first) if b" 503 " in reply[:16]]
        assert all(b"\r\nretry-after: 1\r\n" in first[number] for number in refused)
        watcher.get("/healthz")  # by now the two are out again
        for number in refused:  # none was closed; whoever asks again is answered, one after the other
            connections[number].sendall(head + BODY)
            assert whole_reply(connections[number])[:12] == b"HTTP/1.1 200"
        assert watcher.get("/healthz").status_code == 200
        deadline = time.monotonic() + 120
        wanted = f'shortlist_requests_total{{route="none",status="503"}} {len(refused)}.0'
        while wanted not in (text := watcher.get("/metrics").text):
            assert time.monotonic() < deadline, text
    for connection in connections:
        connection.close()
    assert server.stop() == 0


def whole_reply(connection: socket.socket) -> bytes:
    """One reply with a content-length."""
    came = b""
    while b"\r\n\r\n" not in came:
        part = connection.recv(65536)
        assert part, "closed"
        came += part
    head, _, rest = came.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(65536)
    assert len(rest) == length
    return came


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
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

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


def test_one_look_that_fails_ends_no_sweep(clients: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client = clients()
    log = client.app.service.log = Log(io.StringIO(), requests=False)
    monkeypatch.setattr("shortlist.serve.server.SWEEP", 0.0)
    looks: list[float] = []

    def broken(now: float) -> None:
        looks.append(now)
        if len(looks) < 3:
            raise RuntimeError("canary")

    client.app.unsent.check = broken

    async def some_looks() -> None:
        sweep = asyncio.create_task(Server(uvicorn.Config(client.app), client.app)._sweep())
        while len(looks) < 5:
            await asyncio.sleep(0)
        sweep.cancel()
        await asyncio.wait([sweep])

    client.loop.run_until_complete(some_looks())
    assert [json.loads(line)["event"] for line in log._out.getvalue().splitlines()] == ["sweep_failed"] * 2
