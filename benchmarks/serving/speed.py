"""How fast one bundle answers, in the process and from outside, and what is left of that under ten times as much."""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise

from benchmarks.machine import cpu_seconds
from benchmarks.serving.callers import Callers
from benchmarks.serving.server import Connection, Server, wrk

INSIDE = """
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
USERS = [str(number) for number in range(1, 944)]
FEW, MANY = 64, 2000  # connections: enough for all that the server can answer, and far more


def speed(options: argparse.Namespace) -> dict:
    """In-process, from start to answer, memory, and `wrk` with 1, 16 and 2,000 connections."""
    bundle = options.bundles[0]
    inside = json.loads(subprocess.run(
        [sys.executable, "-c", INSIDE, str(bundle)], capture_output=True, text=True, check=True).stdout)  # fmt: skip
    starts = []
    for _ in range(5):
        server = Server(bundle, "--no-log")
        Connection(server.port).post("/v1/recommend", b'{"queries":[{"id":"42"}]}')
        starts.append(time.perf_counter() - server.started)
        server.stop()
    server = Server(bundle, "--no-log")
    loads = {}
    for connections in (1, 16):
        wrk(server.port, connections, 2)
        loads[str(connections)] = wrk(server.port, connections, options.seconds)
    result = {
        "in_process": inside,
        "start_seconds": statistics.median(starts),
        "loads": loads,
        "peak_memory_mb": server.memory("VmHWM"),
    }
    server.stop()
    return result


def overload(options: argparse.Namespace) -> dict:
    """Ten times what the server can answer, asked by clients that wait as they are told, and by ones that do not.

    A machine that does other work too is now faster, now slower, by a third within a minute. So capacity and overload are
    measured in turn, in slices of two to four seconds: for either kind of client what 64 of them are given, which is the
    capacity, then 2,000 of them, and so on, ending with the capacity. A share is a slice's good answers over the mean of the
    slices of capacity before and after it; the result is the median of the shares, once by the clock, and once by the server's
    own processor time, which other work on the machine hardly touches. The same program asks both times: one that computes
    much beside the server slows it down, however few its connections.
    """
    server = Server(options.bundles[0], "--no-log")
    wrk(server.port, 16, 2)
    rate = 10 * wrk(server.port, 64, 2)["good_per_second"]

    def heedless(connections: int) -> dict:
        if connections == FEW:
            return _phase(server, wrk, server.port, connections, 2)
        with Probe(server.port) as probe:
            found = _phase(server, wrk, server.port, connections, 4)
        return found | {"probe": probe.result()}

    result = {
        "heeding": _in_turn(lambda connections: _calls(server, rate, connections), options.rounds),
        "heedless": _in_turn(heedless, options.rounds),
        "memory_after_mb": server.memory(),
        "peak_memory_mb": server.memory("VmHWM"),
    }
    for kind in ("heeding", "heedless"):
        for name in ("share", "share_of_processor", "capacity_per_second"):
            result[f"{kind}_{name}"] = result[kind][name]
    probes = [one["probe"] for one in result["heedless"]["overload"]]
    for name in ("refusal_p50_ms", "refusal_p99_ms"):
        result[f"heeding_{name}"] = statistics.median(one.get(name, 0.0) for one in result["heeding"]["overload"])
        result[f"probe_{name}"] = statistics.median(one[name] for one in probes)
    result["wrong"] = sum(one["wrong"] for part in ("capacity", "overload") for one in result["heeding"][part])
    server.stop()
    return result


def _in_turn(measure: Callable[[int], dict], rounds: int) -> dict:
    """Slices of few connections, the capacity, and of many in between; each of these as a share of those next to it."""
    capacity, over = [measure(FEW)], []
    for _ in range(rounds):
        over.append(measure(MANY))
        capacity.append(measure(FEW))
    found = {"capacity": capacity, "overload": over}
    for name, measure_of in (("share", "good_per_second"), ("share_of_processor", "good_per_processor_second")):
        means = [(first[measure_of] + then[measure_of]) / 2 for first, then in pairwise(capacity)]
        shares = [one[measure_of] / mean for one, mean in zip(over, means, strict=True)]
        found |= {f"{name}s": shares, name: statistics.median(shares)}
    return found | {"capacity_per_second": statistics.median(one["good_per_second"] for one in capacity)}


def _calls(server: Server, rate: float, connections: int) -> dict:
    """What so many connections that wait when told to are given, while together they want ``rate`` answers a second."""
    callers = Callers(server.port, rate, USERS, connections=connections, k=10, record=False)
    time.sleep(1 if connections == FEW else 2)
    callers.count()
    found = _phase(server, callers.during, 2 if connections == FEW else 3)
    return found | {"wrong": callers.stop()["wrong"]}


def _phase(server: Server, measure: Callable[..., dict], *arguments: object) -> dict:
    """A measurement, and the good answers per second of the processor that the server used meanwhile."""
    before, started = cpu_seconds(server.process.pid), time.perf_counter()
    found = measure(*arguments)
    seconds, used = time.perf_counter() - started, cpu_seconds(server.process.pid) - before
    good = found["good_per_second"] * seconds
    return found | {"processor_seconds": used, "good_per_processor_second": good / used}


class Probe:
    """Forty clients who wait as they are told, beside those who do not; how long answers and refusals take, in ms."""

    def __init__(self, port: int) -> None:
        self.refusals: list[float] = []
        self.answers: list[float] = []
        self._port, self._stopped = port, False
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(40)]

    def _run(self, number: int) -> None:
        connection = Connection(self._port)
        time.sleep(number * 0.05)
        while not self._stopped:
            started = time.perf_counter()
            connection.send("/v1/recommend", b'{"queries":[{"id":"42"}]}')
            status, head, _ = connection.reply()
            (self.refusals if status == 503 else self.answers).append((time.perf_counter() - started) * 1e3)
            told = re.search(rb"retry-after: (\d+)", head)
            time.sleep(int(told[1]) if told else 1.0)

    def result(self) -> dict:
        """Counts and times."""
        refused = sorted(self.refusals) or [0.0]
        return {
            "refusals": len(self.refusals),
            "answers": len(self.answers),
            "refusal_p50_ms": refused[len(refused) // 2],
            "refusal_p99_ms": refused[len(refused) * 99 // 100],
        }

    def __enter__(self) -> Probe:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for thread in self._threads:
            thread.join()
