"""Bundles put in the place of the one that answers, good and broken ones, under load; and ten minutes of everything."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.serving.callers import Callers, Reply
from benchmarks.serving.server import Connection, Server, metric, wrk

USERS = [str(number) for number in range(1, 200)]
SHARE = 0.5  # of what the server can answer, that is asked
FIRST = 2.0  # of quiet, before it is known how long a swap takes
SETTLED = 0.4  # until clients ask as they are to
AFTER = 0.4  # in which the new bundle answers, and the old one is freed
P99_TIMES = 1.5  # the bar
ALL = 1e5  # requests a second, more than any server answers: each client asks again as soon as it has its answer


def right_answers(bundles: list[Path]) -> Callable[[str, Reply], bool]:
    """Whether a reply is, to the last item, what the bundle that it names answers in this process."""
    import shortlist as sl

    answers = {}
    for bundle in bundles:
        recommender = sl.Recommender.load(bundle)
        lists = recommender.recommend(USERS, k=5)
        answers[recommender.origin["bundle"]] = {one.query: one.ids for one in lists}

    def right(user: str, reply: Reply) -> bool:
        return [item.id for item in reply.results[0].items] == answers.get(reply.bundle, {}).get(user)

    return right


class _Watched:
    """Whether a reply is right; and the bundle that the last reply names, so that nobody has to ask when one was put in place."""

    def __init__(self, right: Callable[[str, Reply], bool]) -> None:
        self._right = right
        self.bundle = ""

    def __call__(self, user: str, reply: Reply) -> bool:
        self.bundle = reply.bundle
        return self._right(user, reply)


def swaps(options: argparse.Namespace) -> dict:
    """A link turned between two bundles at half of what the server answers to the same clients, then broken bundles put there.

    What it answers is measured before each swap: a machine that others use too may be half as fast a few seconds later,
    and requests that come at fixed times then wait for longer than any swap takes.

    Each swap is compared with the seconds before it, as long as it took, which are compared with as many before them in
    turn: that says how much p99s differ when nothing happens.
    """
    one, two = options.bundles
    right = _Watched(right_answers([one, two]))
    rates, wrong, slices = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "current"
        link.symlink_to(one.resolve())
        server = Server(link, "--no-log")
        wrk(server.port, 16, 2)
        length = FIRST
        for number in range(options.count):
            rates.append(SHARE * _capacity(server.port, right))
            load = Callers(server.port, rate=rates[-1], users=USERS, right=right)
            time.sleep(SETTLED)
            slices.append(_slices(load, right, length, lambda to=(two, one)[number % 2]: turn(link, to.resolve())))
            length = load.seconds
            wrong += load.wrong
        broken = []
        for number in range(options.broken):
            broken.append(Path(folder) / f"broken-{number}")
            _break(two, broken[-1], random.Random(number))
        refusing = _refused(server, {"rate": min(rates), "users": USERS, "right": right}, link, broken)
        server.stop()
    return {
        "rate": statistics.median(rates), "rates": [min(rates), max(rates)], "share": SHARE,
        "swaps": options.count, "broken": options.broken,
        "requests": sum(len(times) for three in slices for times in three), "wrong": len(wrong), "first_wrong": wrong[:3],
        "refusing": refusing, **compared(slices),
    }  # fmt: skip


def _capacity(port: int, right: Callable[[str, Reply], bool]) -> float:
    """Answers a second to clients who ask again as soon as they have one."""
    load = Callers(port, rate=ALL, users=USERS, right=right)
    time.sleep(SETTLED)
    load.count()
    time.sleep(SETTLED)
    return load.stop()["good_per_second"]


Slices = tuple[list[float], list[float], list[float]]


def _slices(load: Callers, seen: _Watched, length: float, swap: Callable[[], None]) -> Slices:
    """Times of replies in seconds before a swap, in as many seconds before it, and while it is made; the load ends with it.

    Args:
        load: the clients.
        seen: has the bundle that the last reply names.
        length: seconds of each quiet time.
        swap: puts another bundle in place.
    """
    quiet = []
    for _ in range(2):
        load.count()
        time.sleep(length)
        quiet.append(load.times)
    load.count()
    started, before = time.perf_counter(), seen.bundle
    swap()
    while seen.bundle == before:
        if time.perf_counter() - started > 60:
            raise RuntimeError("another bundle was not put in place within a minute")
        time.sleep(0.02)
    time.sleep(AFTER)
    load.stop()
    return quiet[0], quiet[1], load.times


def compared(slices: list[Slices]) -> dict:
    """The p99 while swapping, and that of each swap's seconds compared with those before; the same of quiet seconds.

    Args:
        slices: for each swap, seconds of replies in two quiet times, one after the other, and while it was made.
    """
    p99s = [tuple(_p99(times) for times in three) for three in slices]
    swapping = [during / quiet for _, quiet, during in p99s]
    quiet = [second / first for first, second, _ in p99s]
    pooled = [_p99([time for three in slices for time in three[number]]) for number in range(3)]
    return {
        "p99_ratio": statistics.median(swapping),
        "p99_ratio_beyond": sum(ratio > P99_TIMES for ratio in swapping) / len(swapping),
        "quiet_p99_ratio": statistics.median(quiet),
        "quiet_p99_ratio_beyond": sum(ratio > P99_TIMES for ratio in quiet) / len(quiet),
        "swapping_p99_ms": pooled[2] * 1e3,
        "quiet_p99_ms": [pooled[0] * 1e3, pooled[1] * 1e3],
    }


def _p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]


def _refused(server: Server, wanted: dict, link: Path, broken: list[Path]) -> dict:
    """What clients get while bundles are refused."""
    load = Callers(server.port, **wanted)
    time.sleep(1)
    load.count()
    for number, bundle in enumerate(broken):
        turn(link, bundle)
        until(server.port, "refused", number + 1)
    return load.stop()


def turn(link: Path, target: Path) -> None:
    """Let a link point elsewhere, in one step."""
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


def until(port: int, outcome: str, count: int) -> None:
    """Returns when so many swaps had this outcome."""
    started = time.perf_counter()
    while metric(port, f'shortlist_swaps_total{{outcome="{outcome}"}}') < count:
        if time.perf_counter() - started > 60:
            raise RuntimeError(f"{outcome}: {count} were expected")
        time.sleep(0.1)


def soak(options: argparse.Namespace) -> dict:
    """Load, swaps, changes and bad requests for minutes; memory after warm-up and at the end."""
    one, two = options.bundles
    memory: list[float] = []
    bad_statuses: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "current"
        link.symlink_to(one.resolve())
        server = Server(link, "--no-log", "--state", str(Path(folder) / "state"))
        load = Callers(server.port, options.rate, USERS, right_answers([one, two]))
        load.count()
        connection = Connection(server.port)
        column = json.loads(connection.get("/v1/card"))["candidate_column"]
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
                turn(link, (two if swapped % 2 else one).resolve())
                until(server.port, "done", swapped)
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
