"""`python -m benchmarks.serving`: the server under load, measured from outside; writes benchmarks/results/serving_*.json.

    python -m benchmarks.serving speed BUNDLE      in-process, start, memory, and `wrk` with 1, 16 and 2,000 connections
    python -m benchmarks.serving swaps ONE TWO     a hundred swaps, and thirty broken bundles, under paced load
    python -m benchmarks.serving kills BUNDLE      SIGKILL at random moments, beside a journal of what was acknowledged
    python -m benchmarks.serving soak ONE TWO      minutes of load with swaps, changes and bad requests; memory
    python -m benchmarks.serving docs              the figures of docs/serving.md from the results

BUNDLE is one that `shortlist demo` wrote. wrk (https://github.com/wg/wrk) has to be on the PATH for ``speed``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import serving_page
from benchmarks.machine import environment

RESULTS = Path(__file__).parent / "results"
KEY = "benchmark-write-key-0123456789"
SCRIPT = """
wrk.method = "POST"
local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/v1/recommend", nil, '{"queries":[{"id":"' .. (n % 943 + 1) .. '"}],"k":10}')
end
"""


class Server:
    """`shortlist serve` in a process of its own."""

    def __init__(self, bundle: Path, *options: str) -> None:
        self.started = time.perf_counter()
        command = [sys.executable, "-m", "shortlist", "serve", str(bundle), "--port", "0", *options]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the server
        self.process = subprocess.Popen(
            command, stderr=self.log, env={**os.environ, "SHORTLIST_WRITE_KEYS": KEY if "--state" in options else ""}
        )
        self.port = 0
        while not self.port:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise RuntimeError(self.log.read())
            self.log.seek(0)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.log.read())
            self.port = int(found[1]) if found else 0
            time.sleep(0.01)

    def memory(self, field: str = "VmRSS") -> float:
        """Megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)
        self.log.close()


class Connection:
    """One kept-alive connection that posts JSON."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body."""
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)
        came = self.rest
        while b"\r\n\r\n" not in came:
            part = self.socket.recv(1 << 16)
            if not part:
                raise ConnectionError("closed")
            came += part
        head_bytes, _, rest = came.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head_bytes)[1])
        while len(rest) < length:
            part = self.socket.recv(1 << 16)
            if not part:
                raise ConnectionError("closed")
            rest += part
        self.rest = rest[length:]
        return int(head_bytes[9:12]), rest[:length]


def speed(options: argparse.Namespace) -> dict:
    """In-process and from outside, one bundle."""
    bundle = options.bundles[0]
    inside = json.loads(subprocess.run(
        [sys.executable, "-c", _INSIDE, str(bundle)], capture_output=True, text=True, check=True).stdout)  # fmt: skip
    starts = []
    for _ in range(5):
        server = Server(bundle, "--no-log")
        Connection(server.port).post("/v1/recommend", b'{"queries":[{"id":"42"}]}')
        starts.append(time.perf_counter() - server.started)
        server.stop()
    server = Server(bundle, "--no-log")
    loads = {}
    for connections in (1, 16, 2000):
        _wrk(server.port, connections, 2)
        loads[str(connections)] = _wrk(server.port, connections, options.seconds)
    server.stop()
    server = Server(bundle, "--no-log", "--max-under-way", "200")
    _wrk(server.port, 200, 2)
    capacity = _wrk(server.port, 200, options.seconds)
    with _Probe(server.port) as probe:
        overload = _wrk(server.port, 2000, options.seconds)
    result = {
        "overload": {
            "limit_under_way": 200,
            "capacity": capacity,
            "ten_times": overload,
            "goodput_share": overload["good_per_second"] / capacity["good_per_second"],
            "refusals_seen": len(probe.refusals),
            "refusal_p50_ms": statistics.median(probe.refusals or [0.0]),
        },
        "in_process": inside,
        "start_seconds": statistics.median(starts),
        "loads": loads,
        "peak_memory_mb": server.memory("VmHWM"),
    }
    server.stop()
    return result


_INSIDE = """
import json, sys, time, shortlist as sl
recommender = sl.Recommender.load(sys.argv[1])
ids = recommender.query_ids.to_list()
times = []
for number in range(4000):
    one = [ids[number % len(ids)]]
    started = time.perf_counter()
    recommender.recommend(one, k=10)[0].ids
    times.append(time.perf_counter() - started)
times = sorted(times[1000:])
print(json.dumps({"p50_us": times[len(times) // 2] * 1e6, "p99_us": times[len(times) * 99 // 100] * 1e6}))
"""


class _Probe:
    """Asks by a connection of its own while others overload the server; how long refusals take, in milliseconds."""

    def __init__(self, port: int) -> None:
        self.refusals: list[float] = []
        self._port, self._stopped = port, False
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        connection = Connection(self._port)
        while not self._stopped:
            time.sleep(0.02)
            started = time.perf_counter()
            status, _ = connection.post("/v1/recommend", b'{"queries":[{"id":"42"}]}')
            if status == 503:
                self.refusals.append((time.perf_counter() - started) * 1e3)

    def __enter__(self) -> _Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._thread.join()


def _wrk(port: int, connections: int, seconds: int) -> dict:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name]
        text = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    total = int(re.search(r"(\d+) requests in", text)[1])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    share = 1 - (int(bad[1]) if bad else 0) / max(total, 1)
    return {
        "requests_per_second": rate,
        "good_per_second": rate * share,
        "p50_ms": _ms(re.search(r"50%\s+([\d.]+)(us|ms|s)", text)),
        "p99_ms": _ms(re.search(r"99%\s+([\d.]+)(us|ms|s)", text)),
        "socket_errors": (re.search(r"Socket errors: (.*)", text) or [None, None])[1],
    }


def _ms(found: re.Match) -> float:
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


class Load:
    """Paced requests over some connections; checks every reply against what its bundle answers."""

    def __init__(self, port: int, per_second: float, answers: dict[str, dict], connections: int = 4) -> None:
        self.port, self.gap, self.answers = port, connections / per_second, answers
        self.times: list[float] = []
        self.wrong: list[str] = []
        self.stopped = False
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(connections)]
        for thread in self.threads:
            thread.start()

    def _run(self, number: int) -> None:
        connection, due = Connection(self.port), time.perf_counter() + number * self.gap / len(self.threads)
        users = list(next(iter(self.answers.values())))
        chance = random.Random(number)
        while not self.stopped:
            time.sleep(max(0.0, due - time.perf_counter()))
            user = chance.choice(users)
            started = time.perf_counter()
            try:
                status, body = connection.post("/v1/recommend", b'{"queries":[{"id":"%s"}],"k":5}' % user.encode())
            except OSError as error:
                self.wrong.append(f"lost: {error}")
                connection = Connection(self.port)
                continue
            self.times.append(time.perf_counter() - started)
            reply = json.loads(body)
            expected = self.answers.get(reply.get("bundle"), {}).get(user)
            if status != 200 or [item["id"] for item in reply["results"][0]["items"]] != expected:
                self.wrong.append(f"{status}: {body[:200]!r}")
            due = max(due + self.gap, time.perf_counter() - 0.05)

    def stop(self) -> dict:
        """Requests, what went wrong, and times."""
        self.stopped = True
        for thread in self.threads:
            thread.join()
        times = sorted(self.times)
        return {
            "requests": len(times),
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:3],
            "p50_ms": times[len(times) // 2] * 1e3,
            "p99_ms": times[len(times) * 99 // 100] * 1e3,
        }


def _answers(bundles: list[Path]) -> dict[str, dict]:
    """By bundle id, what each of some users gets."""
    import shortlist as sl

    answers = {}
    for bundle in bundles:
        recommender = sl.Recommender.load(bundle)
        users = [str(number) for number in range(1, 200)]
        lists = recommender.recommend(users, k=5)
        answers[recommender.origin["bundle"]] = {one.query: one.ids for one in lists}
    return answers


def swaps(options: argparse.Namespace) -> dict:
    """A link turned between two bundles under load, then broken bundles put there."""
    one, two = options.bundles
    answers = _answers([one, two])
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "current"
        link.symlink_to(one.resolve())
        server = Server(link, "--no-log")
        quiet = Load(server.port, options.rate, answers)
        time.sleep(20)
        before = quiet.stop()
        load = Load(server.port, options.rate, answers)
        for number in range(options.count):
            _turn(link, (two if number % 2 == 0 else one).resolve())
            _until(server.port, "done", number + 1)
        during = load.stop()
        load = Load(server.port, options.rate, answers)
        for number in range(options.broken):
            broken = Path(folder) / f"broken-{number}"
            _break(two, broken, random.Random(number))
            _turn(link, broken)
            _until(server.port, "refused", number + 1)
        refused = load.stop()
        server.stop()
    return {"rate": options.rate, "quiet": before, "swaps": options.count, "swapping": during,
            "broken": options.broken, "refusing": refused, "p99_ratio": during["p99_ms"] / before["p99_ms"]}  # fmt: skip


def _turn(link: Path, target: Path) -> None:
    beside = link.with_name("next")
    beside.symlink_to(target)
    os.replace(beside, link)


def _break(bundle: Path, into: Path, chance: random.Random) -> None:
    """A copy with one byte flipped, cut off or gone."""
    shutil.copytree(bundle, into)
    files = sorted(file for file in into.rglob("*") if file.is_file() and file.stat().st_size)
    file = chance.choice(files)
    content = bytearray(file.read_bytes())
    kind = chance.choice(["flip", "cut", "gone"]) if file.name != "manifest.json" else "flip"
    if kind == "flip":
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(content)
    elif kind == "cut":
        file.write_bytes(content[: chance.randrange(len(content))])
    else:
        file.unlink()


def _metric(port: int, name: str) -> float:
    connection = Connection(port)
    connection.socket.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    came = b""
    while part := connection.socket.recv(1 << 16):
        came += part
    found = re.search(rf"^{re.escape(name)} ([\d.e+]+)$", came.decode(), flags=re.MULTILINE)
    return float(found[1]) if found else 0.0


def _until(port: int, outcome: str, count: int) -> None:
    started = time.perf_counter()
    while _metric(port, f'shortlist_swaps_total{{outcome="{outcome}"}}') < count:
        if time.perf_counter() - started > 60:
            raise RuntimeError(f"{outcome}: {count} were expected")
        time.sleep(0.05)


def kills(options: argparse.Namespace) -> dict:
    """SIGKILL while changes come in; after each, what was acknowledged must hold."""
    chance = random.Random(7)
    truth: dict[str, bool] = {}  # candidate -> whether it is there, as acknowledged
    doubtful: set[str] = set()  # under way at the kill: either is right
    lost: list[str] = []
    acknowledged = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.count):
            server = Server(options.bundles[0], "--no-log", "--state", folder)
            column = _check(server, truth, doubtful, lost)
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
        _check(server, truth, doubtful, lost)
        server.stop()
    return {"kills": options.count, "acknowledged": acknowledged, "lost": len(lost), "first_lost": lost[:3]}


def _check(server: Server, truth: dict[str, bool], doubtful: set[str], lost: list[str]) -> str:
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
    connection.socket.sendall(b"GET /v1/card HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    came = b""
    while part := connection.socket.recv(1 << 16):
        came += part
    return json.loads(came.partition(b"\r\n\r\n")[2])["candidate_column"]


def soak(options: argparse.Namespace) -> dict:
    """Load, swaps, changes and bad requests for minutes; memory after warm-up and at the end."""
    one, two = options.bundles
    answers = _answers([one, two])
    memory: list[float] = []
    bad_statuses: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "current"
        link.symlink_to(one.resolve())
        server = Server(link, "--no-log", "--state", str(Path(folder) / "state"))
        load = Load(server.port, options.rate, answers)
        connection, column = Connection(server.port), _check(server, {}, set(), [])
        end = time.monotonic() + options.seconds
        number = swapped = changes = 0
        while time.monotonic() < end:
            number += 1
            name = f"soak {number % 50}"
            body = {"upsert": [{column: name}]} if number % 2 else {"delete": [name, f"soak {(number - 1) % 50}"]}
            status, _ = connection.post("/v1/candidates", json.dumps(body).encode())
            changes += status == 200
            bad = random.choice([b"{", b"\xff", b'{"queries":[{"id":7}]}', b"[" * 9999, b'{"queries":[]}'])
            status, _ = connection.post("/v1/recommend", bad)
            bad_statuses[status] = bad_statuses.get(status, 0) + 1
            if number % 40 == 0:
                swapped += 1
                _turn(link, (two if swapped % 2 else one).resolve())
                _until(server.port, "done", swapped)
            memory.append(server.memory())
            time.sleep(0.1)
        replies = load.stop()
        server.stop()
    warm = memory[len(memory) // 5]
    return {
        "seconds": options.seconds, "rate": options.rate, "replies": replies, "swaps": swapped, "changes": changes,
        "bad_requests": {str(key): value for key, value in bad_statuses.items()},
        "memory_after_warm_up_mb": warm, "memory_at_end_mb": statistics.median(memory[-20:]),
        "memory_highest_after_warm_up_mb": max(memory[len(memory) // 5 :]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("name", choices=["speed", "swaps", "kills", "soak", "docs"])
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--broken", type=int, default=30)
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second of the paced load")
    parser.add_argument("--json", type=Path, help="by default benchmarks/results/serving_NAME.json")
    options = parser.parse_args()
    if options.name == "docs":
        print(serving_page.write())
        return
    result = {"benchmark": f"serving_{options.name}", "environment": environment()}
    result |= {"speed": speed, "swaps": swaps, "kills": kills, "soak": soak}[options.name](options)
    target = options.json or RESULTS / f"serving_{options.name}.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
