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
SECONDS = 20  # for which the capacity is measured
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


def swaps(options: argparse.Namespace) -> dict:
    """A link turned between two bundles at 70% of what the server answers to the same clients, then broken bundles put there.

    That is what it answers in the slowest of ``SECONDS`` seconds: a machine that others use too may be half as fast in
    some, and requests that come at fixed times then wait for longer than any swap takes.
    """
    one, two = options.bundles
    right = right_answers([one, two])
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "current"
        link.symlink_to(one.resolve())
        server = Server(link, "--no-log")
        wrk(server.port, 16, 2)
        load = Callers(server.port, rate=ALL, users=USERS, right=right)
        capacity = min(load.during(1.0)["good_per_second"] for _ in range(SECONDS))
        load.stop()
        rate = 0.7 * capacity
        wanted = {"rate": rate, "users": USERS, "right": right}
        quiet = _measured(server, wanted, lambda: time.sleep(20))
        during = _measured(server, wanted, lambda: _turned(server, link, [one, two], options.count))
        broken = []
        for number in range(options.broken):
            broken.append(Path(folder) / f"broken-{number}")
            _break(two, broken[-1], random.Random(number))
        refusing = _measured(server, wanted, lambda: _refused(server, link, broken))
        server.stop()
    return {"capacity_per_second": capacity, "rate": rate, "share": 0.7, "quiet": quiet,
            "swaps": options.count, "swapping": during, "broken": options.broken, "refusing": refusing,
            "p99_ratio": during["p99_ms"] / quiet["p99_ms"]}  # fmt: skip


def _measured(server: Server, wanted: dict, meanwhile: Callable[[], None]) -> dict:
    load = Callers(server.port, **wanted)
    time.sleep(1)
    load.count()
    meanwhile()
    return load.stop()


def _turned(server: Server, link: Path, bundles: list[Path], count: int) -> None:
    for number in range(count):
        turn(link, bundles[(number + 1) % 2].resolve())
        until(server.port, "done", number + 1)


def _refused(server: Server, link: Path, broken: list[Path]) -> None:
    for number, bundle in enumerate(broken):
        turn(link, bundle)
        until(server.port, "refused", number + 1)


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
