"""What an honest client notices of a hostile one: its times without and with each attack, and the server's memory."""

from __future__ import annotations

import argparse
import json
import math
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
from benchmarks.serving.placing import ahead_of_other_sessions, place_of, placed
from benchmarks.serving.server import Connection, Server

QUERIES, DIM = 1000, 32
SMALL, LARGE = 1682, 300_000  # candidates; the large one for what grows with a catalogue
ON_LARGE = ("3 ", "7 ", "13 texts", "requests that hang up")
RATES = {SMALL: 200.0, LARGE: 40.0}  # of the honest clients a second: far below what the server can answer
SLICES = {SMALL: 1.5, LARGE: 3.0}  # seconds
ENOUGH = {SMALL: 3000, LARGE: 960}  # requests with an attack, and without it, where it is measured more closely
CONNECTIONS = 8
PAUSE = 0.5  # seconds before a slice, that are not measured
CLOSE = 1.5  # times as long, from which it is measured more closely
LONG = 30  # seconds of the attacks that are measured again
NOTHING = {"seconds": 1.0, "connections": 0, "sent": 0, "replies": 0}


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

    1. Server, honest clients and attacker have their places, see ``placing``; ``places`` says which the system gave them.
    2. They are measured in slices of ``SLICES`` seconds without and with the attack in turn, so that a slow second of the machine hits both. A
       new attacker begins before each slice, and ends after it.
    3. The p99 is that of all slices together. Where it is more than ``CLOSE`` times as long, slices are added until there are ``ENOUGH`` requests of each
       kind. ``p99_times_of_halves`` has the ratio of every other slice, and of those between: how far it can be believed.
    4. Where it is still more than ``CLOSE`` times as long, also next to a process that uses as much of a processor as the attacker and sends
       nothing: what the machine takes, and not the server.

    The ``worst`` attacks are measured again, for ``LONG`` seconds. What the attacker got through in a second is in ``attacker``. The bundles are made at the
    path given, with ``.small`` and ``.large`` after it, if they are not there.
    """
    names = [name for name in NAMES if any(part in name for part in options.attack.split("|"))]
    found = {name: _said(name, options, options.seconds) for name in names}
    slowest = sorted(found, key=lambda name: -found[name]["p99_times"])
    for name in slowest[: options.worst]:
        found[name] = _said(name, options, LONG)
    return {"attacks": found,
            "worst_p99_times": max(one["p99_times"] for one in found.values()),
            "most_grown_mb": max(one["grown_mb"] for one in found.values())}  # fmt: skip


def _said(name: str, options: argparse.Namespace, seconds: float) -> dict:
    """One attack, on the bundle that it is meant for; its ratios are printed."""
    large = name.startswith(ON_LARGE)
    bundle = options.bundles[0].with_name(options.bundles[0].name + (".large" if large else ".small"))
    candidates = LARGE if large else SMALL
    make(bundle, candidates)
    with ahead_of_other_sessions(), placed("honest"):
        found = _attacked(name, bundle, candidates, seconds)
    halves = ", ".join(f"{one:.2f}" for one in found["p99_times_of_halves"])
    shown = ("busy_p99_times", "busy_share", "grown_mb", "wrong")
    more = {key: round(found[key], 2) for key in shown if key in found}
    print(f"{name}: p99 {found['p99_times']:.2f} ({halves})", more, file=sys.stderr, flush=True)
    return found


def _attacked(name: str, bundle: Path, candidates: int, seconds: float) -> dict:
    """One attack, on a server of its own, with at least so many seconds of slices."""
    rate, length = RATES[candidates], SLICES[candidates]
    least, enough = max(2, math.ceil(seconds / length)), math.ceil(ENOUGH[candidates] / rate / length)
    slices: dict[str, list[list[float]]] = {"before": [], "with": [], "busy": []}
    attackers: list[_Beside] = []
    with tempfile.TemporaryDirectory() as folder:
        with placed("server"):
            server = Server(bundle, "--no-log", "--state", folder)
        _warm(server.port)
        callers = Callers(server.port, rate, [str(one) for one in range(1, QUERIES + 1)], connections=CONNECTIONS, k=10)
        time.sleep(1)
        peak = _Peak(server)
        while (made := len(slices["with"])) < least or (made < enough and _times_of(slices) > CLOSE):
            slices["before"].append(_times(callers, length))
            with _Beside(name, str(server.port)) as attacker:
                slices["with"].append(_times(callers, length))
            attackers.append(attacker)
        share = statistics.mean(one.share for one in attackers)
        if _times_of(slices) > CLOSE:
            for _ in range(least):
                with _Beside("busy", f"{min(share, 1.0):.2f}"):
                    slices["busy"].append(_times(callers, length))
        places = {
            "server": place_of(server.process.pid),
            "honest": place_of(callers.thread),
            "attacker": attackers[0].place,
        }
        said = callers.stop()
        grown = peak.stop()
        cut = _metrics(server.port)
        server.stop()
    measured = {what: _percentiles(_pooled(some)) for what, some in slices.items() if some}
    before, attacked = measured["before"], measured["with"]
    busy = {"busy_p99_times": measured["busy"]["p99_ms"] / before["p99_ms"]} if "busy" in measured else {}
    return {
        "rate": rate,
        "slice_seconds": length,
        "slices": len(slices["with"]),
        **measured,
        "busy_share": share,
        "p50_times": attacked["p50_ms"] / before["p50_ms"],
        "p99_times": attacked["p99_ms"] / before["p99_ms"],
        "p99_times_of_halves": [_times_of(slices, half) for half in (0, 1)],
        **busy,
        "wrong": said["wrong"],
        "first_wrong": said["first_wrong"],
        "grown_mb": grown,
        "attacker_lasted": all(one.lasted for one in attackers),
        "attacker": {
            what: sum(one.said[what] for one in attackers) / sum(one.said["seconds"] for one in attackers)
            for what in ("connections", "sent", "replies")
        },
        "places": places,
        "server": cut,
    }


def _times(callers: Callers, seconds: float) -> list[float]:
    """The times of the answers of the next slice."""
    time.sleep(PAUSE)  # until what was before is over
    callers.during(seconds)
    return list(callers.times)  # others are added until the next slice


def _times_of(slices: dict[str, list[list[float]]], first: int | None = None) -> float:
    """How many times as long the p99 with the attack is; of every other slice from ``first`` on, or of all. 0 for no slices."""
    taken = slice(None) if first is None else slice(first, None, 2)
    before, attacked = (_pooled(slices[what][taken]) for what in ("before", "with"))
    return _p99(attacked) / _p99(before) if before and attacked else 0.0


def _pooled(slices: list[list[float]]) -> list[float]:
    return [one for times in slices for one in times]


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
    """A process next to the honest clients, see ``attackers``; begun a moment before.

    Attributes:
        share: of a processor, that it has used.
        lasted: whether it ran to the end.
        place: what the system has given it, see ``placing``.
        said: what it got through.
    """

    def __init__(self, *arguments: str) -> None:
        with placed("attacker"):
            command = [sys.executable, "-m", "benchmarks.serving.attackers", *arguments]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def __enter__(self) -> _Beside:
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it begins
        self.place = place_of(self._process.pid)
        self._since = time.perf_counter(), cpu_seconds(self._process.pid) or 0.0
        return self

    def __exit__(self, *_: object) -> None:
        since, used = self._since
        self.share = ((cpu_seconds(self._process.pid) or used) - used) / (time.perf_counter() - since)
        self.lasted = self._process.poll() is None
        self._process.terminate()
        try:
            said, _ = self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _ = self._process.communicate()
        self.said = json.loads(said) if said else NOTHING


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
