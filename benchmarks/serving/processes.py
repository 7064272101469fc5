"""Several processes behind one socket: the memory they share, what a second worker costs, and processes that are killed."""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.serving.changes import check
from benchmarks.serving.server import Connection, Server, metric, wrk

CANDIDATES, QUERIES, DIM = 1_000_000, 10_000, 64
TICKS = os.sysconf("SC_CLK_TCK")


def make(path: Path, candidates: int = CANDIDATES) -> None:
    """Write a bundle of random vectors with exact search, unless it is there: integer ids, one interaction a candidate."""
    if path.exists():
        return
    import numpy as np
    import polars as pl

    import shortlist as sl

    rng = np.random.default_rng(0)
    pairs = pl.DataFrame({"user": np.arange(candidates) % QUERIES, "item": rng.permutation(candidates)})
    data = sl.Dataset(pairs, "user", "item")
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=DIM), sl.Tower(sl.IntegerLookup("item"), dim=DIM))
    model.prepare(data)
    sl.Recommender(model.eval(), index=sl.BruteForce(), seen=data).save(path)


def tree(pid: int) -> list[int]:
    """A process and all that come of it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def shared_memory(pids: list[int]) -> dict:
    """Megabytes, added up over processes: proportional set sizes, and what each holds alone."""
    totals = {"Pss": 0, "Private_Dirty": 0}
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        for name in totals:
            totals[name] += int(re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[1])
    return {"pss_mb": totals["Pss"] / 1024, "own_mb": totals["Private_Dirty"] / 1024}


def processor_seconds(pids: list[int]) -> float:
    """Of all processes together."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields) / TICKS


def memory(options: argparse.Namespace) -> dict:
    """Proportional set sizes of one process and of four workers with their supervisor, once each has answered some queries."""
    bundle = options.bundles[0]
    make(bundle, options.candidates)
    found = {}
    for workers in (1, options.workers):
        server = Server(bundle, "--no-log", "--workers", str(workers))
        answered: dict[str, int] = {}
        while len(answered) < workers or min(answered.values()) < 50:
            connection = Connection(server.port)
            connection.send("/v1/recommend", b'{"queries":[{"id":%d}],"k":10}' % (sum(answered.values()) % QUERIES))
            _, head, _ = connection.reply()
            worker = re.search(rb"x-request-id: (\w+)-", head)[1].decode()
            answered[worker] = answered.get(worker, 0) + 1
            connection.socket.close()
        found[str(workers)] = shared_memory(tree(server.process.pid))
        server.stop()
    return {
        "candidates": options.candidates,
        "dim": DIM,
        "workers": found,
        "times": found[str(options.workers)]["pss_mb"] / found["1"]["pss_mb"],
    }


SLICE = 2  # seconds for which each of those compared is asked, in turn
AGAINST_ONE = {"share": (32, 32), "share_by_worker": (32, 64)}  # connections to one process, and to two workers


def cores(options: argparse.Namespace) -> dict:
    """Good answers per processor second of two workers, with their supervisor, against one process, in slices in turn.

    Both servers run all the time, and each is asked for ``SLICE`` seconds in turn, since what a processor second gives
    changes within minutes. `wrk` asks without pause: next to two workers, clients in Python would have a third of two cores.
    With as many connections in all, each worker has half of them, and smaller batches; so also with as many for each worker.

    One process has a core that `wrk` does not need. Two workers on two cores share them with it, and the system stops a
    worker for about every other reply so that `wrk` reads it. Clients elsewhere do not: so `wrk` waits for its turn
    (SCHED_BATCH). The shares with a `wrk` that interrupts are given too.
    """
    servers = {workers: Server(options.bundles[0], "--no-log", "--workers", str(workers)) for workers in (1, 2)}
    pids = {workers: tree(server.process.pid) for workers, server in servers.items()}
    for server in servers.values():
        wrk(server.port, 64, SLICE)

    def good(workers: int, connections: int, interrupts: bool) -> float:
        """Good answers per processor second in one slice."""
        before, begun = processor_seconds(pids[workers]), time.perf_counter()
        said = wrk(servers[workers].port, connections, SLICE, interrupts=interrupts)
        used = processor_seconds(pids[workers]) - before
        return said["good_per_second"] * (time.perf_counter() - begun) / used

    slices = sorted({(workers, (one, two)[workers - 1]) for one, two in AGAINST_ONE.values() for workers in (1, 2)})
    rounds = []
    for number in range(options.rounds):
        one = {}
        for interrupts in (False, True):
            found = {each: good(*each, interrupts) for each in (slices if number % 2 else slices[::-1])}
            one["interrupted" if interrupts else "undisturbed"] = {
                "good_per_processor_second": {f"{each[0]}, {each[1]} connections": found[each] for each in slices},
                **{name: found[2, two] / found[1, one] for name, (one, two) in AGAINST_ONE.items()},
            }
        rounds.append(one)
    for server in servers.values():
        server.stop()
    shares = {
        kind: {name: statistics.median(one[kind][name] for one in rounds) for name in AGAINST_ONE} for kind in rounds[0]
    }
    return {"rounds": rounds, "slice_seconds": SLICE, **shares}


def worker_kills(options: argparse.Namespace) -> dict:
    """SIGKILL of a process every second under load, a worker four times of five, else the one that writes.

    Readers ask on connections of their own. A request that fails must have been on a connection to a worker that was killed;
    what failed is compared with that by the id that each worker puts in front of its request ids. A writer changes candidates
    all the time; what was acknowledged must hold on every worker at the end.
    """
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options.bundles[0], "--no-log", "--state", folder, "--workers", "2")
        readers = [Reader(server.port) for _ in range(16)]
        writer = _Writer(server.port)
        kills = {"worker": 0, "writing": 0}
        end = time.perf_counter() + options.seconds
        while time.perf_counter() < end:
            time.sleep(1.0)
            children = tree(server.process.pid)[1:]
            writing = [pid for pid in children if _writes(pid, folder)]
            kind = "writing" if sum(kills.values()) % 5 == 4 and writing else "worker"
            victims = writing if kind == "writing" else [pid for pid in children if pid not in writing]
            if victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
                kills[kind] += 1
        time.sleep(2.0)
        for reader in readers:
            reader.stop()
        writer.stop()
        alive = set().union(*(reader.alive() for reader in readers))
        lost: list[str] = []
        for _ in range(20):  # whichever worker answers
            check(server, dict(writer.truth), set(writer.doubtful), lost)
        result = {
            "seconds": options.seconds,
            "kills": kills,
            "answers": sum(reader.good for reader in readers),
            "failed": sum(len(reader.failed) for reader in readers),
            "failed_on_a_worker_that_lives": sum(one in alive for reader in readers for one in reader.failed),
            "wrong": sum(reader.wrong for reader in readers),
            "acknowledged": writer.acknowledged,
            "refused": writer.refused,
            "lost": len(lost),
            "replaced": metric(server.port, 'shortlist_worker_replacements_total{reason="died"}'),
            "restarts": metric(server.port, "shortlist_writer_restarts_total"),
        }
        server.stop()
    return result


def _writes(pid: int, folder: str) -> bool:
    try:
        return any(os.readlink(one).startswith(folder) for one in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


class Reader:
    """One client with a connection that it keeps, and opens again when it was lost."""

    def __init__(self, port: int) -> None:
        self.good = self.wrong = 0
        self.failed: list[str] = []  # the worker whose connection it was
        self._last: dict[str, float] = {}
        self._port, self._stopped = port, False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        connection, worker = None, ""
        while not self._stopped:
            try:
                connection = connection or Connection(self._port)
                connection.send("/v1/recommend", b'{"queries":[{"id":"42"}],"k":5}')
                status, head, _ = connection.reply()
            except OSError:
                self.failed.append(worker)
                connection = None
                continue
            worker = re.search(rb"x-request-id: (\w+)-|$", head)[1].decode()
            self._last[worker] = time.perf_counter()
            self.good += status == 200
            self.wrong += status not in (200, 503)
            if b"connection: close" in head:
                connection = None

    def stop(self) -> None:
        self._stopped = True
        self._thread.join()

    def alive(self) -> set[str]:
        """Workers that have answered in the last second."""
        latest = max(self._last.values(), default=0.0)
        return {worker for worker, at in self._last.items() if at > latest - 1.0}


class _Writer:
    """One client that changes candidates, and notes what was acknowledged."""

    def __init__(self, port: int) -> None:
        self.truth: dict[str, bool] = {}
        self.doubtful: set[str] = set()
        self.acknowledged = self.refused = 0
        self._port, self._stopped = port, False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        import json

        chance = random.Random(3)
        connection = Connection(self._port)
        column = json.loads(connection.get("/v1/card"))["candidate_column"]
        while not self._stopped:
            one, there = f"k{chance.randrange(300)}", chance.random() < 0.6
            body = {"upsert": [{column: one}]} if there else {"delete": [one]}
            self.doubtful.add(one)
            try:
                status, _ = connection.post("/v1/candidates", json.dumps(body).encode())
            except OSError:
                connection = Connection(self._port)
                continue
            if status == 200:
                self.truth[one] = there
                self.doubtful.discard(one)
                self.acknowledged += 1
            else:
                self.refused += 1

    def stop(self) -> None:
        self._stopped = True
        self._thread.join()
