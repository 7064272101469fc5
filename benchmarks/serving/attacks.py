"""What an honest client notices of a hostile one: its times without and with each attack, and the server's memory."""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.machine import cpu_seconds
from benchmarks.serving.attackers import NAMES
from benchmarks.serving.callers import Callers
from benchmarks.serving.server import Connection, Server

QUERIES, DIM = 1000, 32
SMALL, LARGE = 1682, 300_000  # candidates; the large one for what grows with a catalogue
ON_LARGE = ("3 ", "7 ", "13 texts", "requests that hang up")
RATES = {SMALL: 200.0, LARGE: 40.0}  # of the honest clients a second: far below what the server can answer
CONNECTIONS = 8
CLOSE = 1.5  # times as long, from which it matters how much is the machine's
LONG = 30  # seconds of the attacks that are measured again


def make(path: Path, candidates: int) -> None:
    """Write a bundle with a feature of queries, texts of candidates and exact search, unless it is there."""
    if path.exists():
        return
    import numpy as np
    import polars as pl

    import shortlist as sl

    rng = np.random.default_rng(0)
    pairs = pl.DataFrame({
        "user": (np.arange(candidates) % QUERIES + 1).astype(str),
        "item": (rng.permutation(candidates) + 1).astype(str),
    })  # fmt: skip
    users = {"user": [str(one + 1) for one in range(QUERIES)], "age": rng.integers(18, 80, QUERIES).tolist()}
    items = {
        "item": [str(one + 1) for one in range(candidates)],
        "title": [f"The title of item {one}, in some words of the usual length" for one in range(candidates)],
        "genres": [("drama", "comedy", "action")[one % 3] for one in range(candidates)],
        "stock": rng.integers(0, 9, candidates).tolist(),
    }
    data = sl.Dataset(pairs, "user", "item", queries=users, candidates=items)
    query = sl.Tower(sl.StringLookup("user"), sl.Normalization("age"), dim=DIM)
    model = sl.TwoTower(query, sl.Tower(sl.StringLookup("item"), dim=DIM))
    model.prepare(data)
    recommender = sl.Recommender(model.eval(), index=sl.BruteForce(), seen=data)
    recommender.export()
    recommender.save(path)


def attacks(options: argparse.Namespace) -> dict:
    """For each attack: the honest clients' p50 and p99 without it and with it, in turn, and the server's memory.

    Where the p99 is more than ``CLOSE`` times as long, also next to a process that uses as much of a processor as the attacker
    and sends nothing: what the machine's cores take, and not the server. The ``worst`` attacks are measured again, for ``LONG``
    seconds. The bundles are made at the path given, with ``.small`` and ``.large`` after it, if they are not there.
    """
    names = [name for name in NAMES if any(part in name for part in options.attack.split("|"))]
    found = {name: _said(name, options, options.seconds) for name in names}
    slowest = sorted(found, key=lambda name: -found[name]["p99_times"])
    for name in slowest[: options.worst]:
        found[name] = _said(name, options, LONG)
    return {"rounds": options.rounds, "attacks": found,
            "worst_p99_times": max(one["p99_times"] for one in found.values()),
            "most_grown_mb": max(one["grown_mb"] for one in found.values())}  # fmt: skip


def _said(name: str, options: argparse.Namespace, seconds: float) -> dict:
    """One attack, on the bundle that it is meant for; its ratios are printed."""
    large = name.startswith(ON_LARGE)
    bundle = options.bundles[0].with_name(options.bundles[0].name + (".large" if large else ".small"))
    candidates = LARGE if large else SMALL
    make(bundle, candidates)
    found = _attacked(name, bundle, RATES[candidates], seconds * (2 if large and seconds < LONG else 1), options.rounds)
    shown = ("p99_times", "busy_p99_times", "busy_share", "grown_mb", "wrong")
    print(name, {key: round(found[key], 2) for key in shown if key in found}, file=sys.stderr, flush=True)
    return found


def _attacked(name: str, bundle: Path, rate: float, seconds: float, rounds: int) -> dict:
    """One attack, in rounds: a share of the seconds without it, then with it."""
    times: dict[str, list[float]] = {"before": [], "with": [], "busy": []}
    shares, lasted = [], True
    with tempfile.TemporaryDirectory() as folder:
        server = Server(bundle, "--no-log", "--state", folder)
        _warm(server.port)
        callers = Callers(server.port, rate, [str(one) for one in range(1, QUERIES + 1)], connections=CONNECTIONS, k=10)
        time.sleep(1)
        peak = _Peak(server)
        for _ in range(rounds):
            times["before"] += _times(callers, seconds / rounds)
            with _Beside(name, str(server.port)) as attacker:
                times["with"] += _times(callers, seconds / rounds)
                shares.append(attacker.share())
                lasted = lasted and attacker.process.poll() is None
        share = statistics.mean(shares)
        if _p99(times["with"]) > CLOSE * _p99(times["before"]):
            for _ in range(rounds):
                with _Beside("busy", f"{min(share, 1.0):.2f}"):
                    times["busy"] += _times(callers, seconds / rounds)
        said = callers.stop()
        grown = peak.stop()
        cut = _metrics(server.port)
        server.stop()
    measured = {what: _percentiles(some) for what, some in times.items() if some}
    before, attacked = measured["before"], measured["with"]
    busy = {"busy_p99_times": measured["busy"]["p99_ms"] / before["p99_ms"]} if "busy" in measured else {}
    return {
        "rate": rate,
        "seconds": seconds,
        **measured,
        "busy_share": share,
        "p50_times": attacked["p50_ms"] / before["p50_ms"],
        "p99_times": attacked["p99_ms"] / before["p99_ms"],
        **busy,
        "wrong": said["wrong"],
        "first_wrong": said["first_wrong"],
        "grown_mb": grown,
        "attacker_lasted": lasted,
        "server": cut,
    }


def _times(callers: Callers, seconds: float) -> list[float]:
    """The times of the answers of the next seconds."""
    time.sleep(0.5)  # until the last process's requests are over
    callers.during(seconds)
    return callers.times


def _percentiles(times: list[float]) -> dict:
    times = sorted(times)
    return {
        "requests": len(times),
        "p50_ms": times[len(times) // 2] * 1e3,
        "p99_ms": _p99(times) * 1e3,
        "longest_ms": times[-1] * 1e3,
    }


def _p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]


class _Beside:
    """A process next to the honest clients, see ``attackers``; begun a second before."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.serving.attackers", *arguments])

    def __enter__(self) -> _Beside:
        time.sleep(1)
        self._since = time.perf_counter(), cpu_seconds(self.process.pid) or 0.0
        return self

    def share(self) -> float:
        """Of a processor, that it has used since then."""
        since, used = self._since
        return ((cpu_seconds(self.process.pid) or used) - used) / (time.perf_counter() - since)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def _warm(port: int) -> None:
    """Have the server load what a first query with a feature, and a first new candidate, need."""
    connection = Connection(port)
    for path, body in (
        ("/v1/embed", b'{"queries":[{"id":"1","features":{"age":30}}]}'),
        ("/v1/candidates", b'{"upsert":[{"item":"warm","stock":1}]}'),
        ("/v1/candidates", b'{"delete":["warm"]}'),
    ):
        status, said = connection.post(path, body)
        assert status == 200, said


def _metrics(port: int) -> dict[str, float]:
    """What the server says that it did: replies by status, and connections cut."""
    text = Connection(port).get("/metrics").decode()
    kept = re.findall(
        r"^(shortlist_(?:requests_total|connections_cut_total|refused_total)\{.*\}) ([\d.e+]+)$", text, re.M
    )
    return {name: float(value) for name, value in kept if float(value)}


class _Peak:
    """The most memory that a server holds from now on, compared with now; looked at all the time."""

    def __init__(self, server: Server) -> None:
        self._server, self._before = server, server.memory()
        self._most, self._stopped = self._before, False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            self._most = max(self._most, self._server.memory())
            time.sleep(0.02)

    def stop(self) -> float:
        """Megabytes more than at the beginning."""
        self._stopped = True
        self._thread.join()
        return self._most - self._before
