"""What was acknowledged outlives SIGKILL, and what is under way outlives SIGTERM."""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import signal
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.serving.server import Connection, Server
from shortlist.serve.journal import Journal

IN_FLIGHT = 500


def kills(options: argparse.Namespace) -> dict:
    """SIGKILL while changes come in; after each, what was acknowledged must hold."""
    check_exported(options.bundles[0])
    chance = random.Random(7)
    truth: dict[str, bool] = {}  # candidate -> whether it is there, as acknowledged
    doubtful: set[str] = set()  # under way at the kill: either is right
    lost: list[str] = []
    acknowledged = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.count):
            server = Server(options.bundles[0], "--no-log", "--state", folder)
            column = check(server, truth, doubtful, lost)
            end = time.perf_counter() + chance.uniform(0.05, 0.6)
            killer = threading.Timer(end - time.perf_counter(), server.process.kill)
            killer.start()
            connection = Connection(server.port)
            try:
                while True:
                    one = f"k{chance.randrange(300)}"
                    there = chance.random() < 0.6
                    body = {"upsert": [{column: one}]} if there else {"delete": [one]}
                    doubtful.add(one)
                    status, _ = connection.post("/v1/candidates", json.dumps(body).encode())
                    assert status == 200, status
                    truth[one] = there
                    doubtful.discard(one)
                    acknowledged += 1
            except OSError:
                pass
            killer.join()
            server.process.wait()
        server = Server(options.bundles[0], "--no-log", "--state", folder)
        check(server, truth, doubtful, lost)
        server.stop()
    return {"kills": options.count, "acknowledged": acknowledged, "lost": len(lost), "first_lost": lost[:3]}


def check_exported(bundle: Path) -> None:
    """Ends the program unless the bundle's candidate tower runs without torch.

    Each server lives for less than a second. With torch the first change alone takes longer, so hardly any would be acknowledged.
    """
    if not (bundle / "model" / "candidate.onnx").is_file():
        raise SystemExit(f"{bundle} has no exported towers, and with torch hardly a change is acknowledged before the server "
                         f"is killed; run: shortlist export {bundle}")  # fmt: skip
    if importlib.util.find_spec("onnxruntime") is None:
        raise SystemExit("onnxruntime is not installed, so changes would load torch; run: pip install onnxruntime")


def log(options: argparse.Namespace) -> dict:
    """A log of ``--events`` events, a record each: how long until the server is ready, and its memory; and once it is shortened.

    Half as many people as events, each with events of the same few thousand candidates.
    """
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        for start in range(0, options.events, 1000):
            journal.append([_event(chance, options.events, start + number) for number in range(1000)])
        size = journal.size
        journal.close()
        first = _started(options.bundles[0], folder)
        return {
            "events": options.events,
            "log_bytes": size,
            "long": first,
            "shortened": _started(options.bundles[0], folder),
        }


def _event(chance: random.Random, events: int, number: int) -> dict:
    at = 1e9 + number
    one = {"query": chance.randrange(events // 2), "candidate": chance.randrange(5000), "at": at}
    return {"op": "events", "at": at, "events": [one]}


def _started(bundle: Path, folder: str) -> dict:
    """Start a server on the log; then wait until it has been shortened, or needs not be."""
    server = Server(bundle, "--no-log", "--state", folder)
    ready = time.perf_counter() - server.started
    found = {"ready_seconds": round(ready, 2), "memory_mb": round(server.memory(), 1)}
    connection = Connection(server.port)
    size, steady = 0, 0
    while steady < 30:
        time.sleep(0.1)
        connection.get("/healthz")
        now = (Path(folder) / "changes.log").stat().st_size
        steady, size = steady + 1 if now == size else 0, now
    found |= {"log_bytes_after": size, "highest_memory_mb": round(server.memory("VmHWM"), 1)}
    server.stop()
    return found


def check(server: Server, truth: dict[str, bool], doubtful: set[str], lost: list[str]) -> str:
    """Compare with what was acknowledged; the name of the candidates' id column."""
    connection = Connection(server.port)
    known = sorted({*truth, *doubtful})
    for start in range(0, len(known), 200):
        part = known[start : start + 200]
        _, body = connection.post("/v1/embed", json.dumps({"candidates": part}).encode())
        for one, vector in zip(part, json.loads(body)["vectors"], strict=True):
            if one in doubtful:
                truth[one] = vector is not None
            elif (vector is not None) != truth[one]:
                lost.append(f"{one}: {truth[one]} was acknowledged")
    doubtful.clear()
    return json.loads(connection.get("/v1/card"))["candidate_column"]


def stop(options: argparse.Namespace) -> dict:
    """SIGTERM while 500 requests are in flight on connections of their own, ten times over; each must be answered.

    The server is halted while they and the signal are sent, so that it finds all of them at once.
    """
    lost = answered = 0
    seconds = []
    body = b'{"queries":[{"id":"42"}]}'
    for _ in range(10):
        server = Server(options.bundles[0], "--no-log")
        connections = [Connection(server.port) for _ in range(IN_FLIGHT)]
        for connection in connections:  # each was answered once: all are known to the server
            connection.post("/v1/recommend", body)
        server.process.send_signal(signal.SIGSTOP)
        for connection in connections:
            connection.send("/v1/recommend", body)
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGCONT)
        started = time.perf_counter()
        for connection in connections:
            try:
                status, _, _ = connection.reply()
                answered += status == 200
                lost += status != 200
            except OSError:
                lost += 1
        server.process.wait(40)
        seconds.append(time.perf_counter() - started)
    return {"times": 10, "in_flight": IN_FLIGHT, "answered": answered, "lost": lost, "longest_stop_s": max(seconds)}
