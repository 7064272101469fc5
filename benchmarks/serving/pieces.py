"""Processor time between two pauses, for the largest request of each route: `python -m benchmarks.serving.pieces BUNDLE [NAME]`.

Every route that takes a list is asked for the most that it allows, in this process, without a socket. Two figures are printed for
each, in milliseconds of processor time, so that other work on the machine changes them little; the smallest of three rounds:

    loop     the longest that the event loop was held, by one callback
    THREAD   the longest that a thread worked between two pauses, at which small requests are answered (decision 75), and
             the line of the pause, or "end", that ended it

Pieces of queries are 10 to 20 ms by intention; what reads, checks or writes a body is to stay below 5.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import concurrent.futures.thread as pool
import gc
import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx

from shortlist.serve import App, Service, Settings, turns
from shortlist.serve.loaded import Loaded
from shortlist.serve.server import COLLECT, SWITCH

KEY = "benchmark-write-key-0123456789"
BODY = (1 << 20) - 4096
MOST = 10_000
ROUNDS = 3


class Probe:
    """The longest pieces of work by thread, and of the event loop. Threads of a pool are taken together.

    Made before the service: it replaces functions of the pools and of the loop, for the rest of the process.
    """

    def __init__(self) -> None:
        self.longest: dict[str, tuple[float, str]] = defaultdict(lambda: (0.0, ""))
        self._since = threading.local()
        self._wrap(pool._WorkItem, "run", self._around)
        self._wrap(turns, "_outcome", self._around)
        self._wrap(turns.Turns, "yield_to_loop", self._between)
        self._wrap(asyncio.events.Handle, "_run", self._callback)

    @staticmethod
    def _wrap(holder: Any, name: str, make: Callable[[Any], Any]) -> None:
        setattr(holder, name, make(getattr(holder, name)))

    def _begin(self) -> None:
        self._since.at = time.thread_time()

    def _end(self, where: str) -> None:
        name = threading.current_thread().name.partition("_")[0]
        seconds = time.thread_time() - getattr(self._since, "at", time.thread_time())
        self.longest[name] = max(self.longest[name], (seconds, where))

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def work(*arguments: Any) -> Any:
            self._begin()
            try:
                return function(*arguments)
            finally:
                self._end("end")
                self._begin()

        return work

    def _between(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def pause(one: turns.Turns) -> float:
            if threading.current_thread() is threading.main_thread():
                return function(one)
            caller = sys._getframe(1)
            self._end(f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}")
            try:
                return function(one)
            finally:
                self._begin()

        return pause

    def _callback(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(handle: asyncio.Handle) -> None:
            begun = time.thread_time()
            function(handle)
            if threading.current_thread() is threading.main_thread():
                self.longest["loop"] = max(self.longest["loop"], (time.thread_time() - begun, ""))

        return run


def requests(loaded: Loaded) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The largest requests: a name, the path, and the body."""
    state, column = loaded.state, loaded.about.columns[0]
    items = list(islice(cycle(state.candidate_ids.ids[:MOST].to_list()), MOST))
    distinct = list(dict.fromkeys(items))
    people = list(islice(cycle(state.query_ids.ids[:MOST].to_list()), MOST))
    asked = [{"id": one} for one in people[:256]]
    new = [f"new-{n}" if loaded.candidate_kind.strings else 2**40 + n for n in range(MOST)]
    places = [{"candidate": one} for one in distinct]
    wide = [{"candidate": one, "shares": {f"s{n}": 0.5 for n in range(32)}} for one in distinct]
    short = [{"query": people[n], "items": [{"candidate": one}]} for n, one in enumerate(items)]
    model = f"/v1/models/{loaded.name}:predict"
    yield (
        "events",
        "/v1/events",
        {"events": fitting([{"query": p, "candidate": i} for p, i in zip(people, items, strict=True)])},
    )
    yield "lists of one place", "/v1/impressions", {"impressions": fitting(short)}
    yield "one list", "/v1/impressions", {"impressions": [{"query": people[0], "items": fitting(places)}]}
    yield "shares", "/v1/impressions", {"impressions": [{"query": people[0], "items": fitting(wide)}]}
    yield "upserts", "/v1/candidates", {"upsert": fitting([{column: one} for one in new])}
    yield "deletions", "/v1/candidates", {"delete": fitting(new)}
    yield "expiries", "/v1/candidates", {"expire": fitting([{"id": one, "at": 4e9} for one in distinct])}
    yield "queries", "/v1/recommend", {"queries": asked, "k": 1000}
    yield "columns", "/v1/recommend", {"queries": asked, "k": 100, "columns": list(loaded.about.columns)[:8]}
    yield "reasons", "/v1/recommend", {"queries": asked, "k": 200, "explain": True}
    yield "exclusions", "/v1/recommend", {"queries": fitting([{"id": people[0], "exclude": items[:9_999]}] * 256)}
    if loaded.histories:
        yield "histories", "/v1/recommend", {"queries": fitting([{"history": items[:9_999]}] * 256)}
    yield (
        "allowed and denied",
        "/v1/recommend",
        {"queries": asked, "allow": fitting(items, 2), "deny": fitting(items, 2)},
    )
    yield "similar", "/v1/similar", {"candidates": distinct[:256], "k": 1000}
    yield "scores", "/v1/score", {"queries": asked[:10], "candidates": fitting(items)}
    yield "vectors of queries", "/v1/embed", {"queries": asked}
    yield "vectors of candidates", "/v1/embed", {"candidates": distinct[:256]}
    yield "instances", model, {"instances": people[:256]}
    yield "too many instances", model, {"instances": fitting(list(islice(cycle(people), 100_000)))}
    yield "unknown columns", model, {"inputs": {f"column-{n}": [1] for n in range(50_000)}}


def fitting(values: list[Any], share: int = 1) -> list[Any]:
    """As many of the first values as a body may have bytes, or as its ``share``-th part may."""
    left, kept = BODY // share, []
    for one in values:
        left -= len(_json(one)) + 1
        if left < 0:
            break
        kept.append(one)
    return kept


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


async def measure(path: Path, wanted: str) -> None:
    """Print a line for each request whose name holds ``wanted``."""
    probe = Probe()
    with tempfile.TemporaryDirectory() as state:
        service = Service(Loaded.read(path), Settings(write_keys=(KEY,), state=Path(state)))
        service.warm(service.loaded, lambda: None)
        service.writer.preparation.start()
        service.writer.preparation.wait()
        sys.setswitchinterval(SWITCH)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT)
        transport = httpx.ASGITransport(app=App(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers={"x-api-key": KEY}) as client:
            for name, route, body in requests(service.loaded):
                if wanted not in name:
                    continue
                content, rounds, status = _json(body), [], 0
                for _ in range(ROUNDS):
                    probe.longest.clear()
                    status = (await client.post(route, content=content, timeout=600)).status_code
                    rounds.append(dict(probe.longest))
                least = {one: min(found.get(one, (0.0, "")) for found in rounds) for one in rounds[-1]}
                figures = "  ".join(
                    f"{one} {1e3 * seconds:.1f}{f' ({where})' if where else ''}"
                    for one, (seconds, where) in sorted(least.items())
                    if seconds
                )
                print(f"{name:24} {status} {len(content):>9,} bytes   {figures}", flush=True)
        service.close()


if __name__ == "__main__":
    asyncio.run(measure(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
