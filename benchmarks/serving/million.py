"""A million candidates behind ScaNN: how fast they are answered, and how fast and at what cost in memory they change.

Queries and candidates are drawn around 2,000 centres, as in `benchmarks/index`. A candidate's tower takes its vector as a
feature, so that new candidates can come in by it; the model is not trained, since speed does not depend on that.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.serving.server import Connection, Server, wrk

CANDIDATES, QUERIES, SEEN, DIM = 1_000_000, 10_000, 100, 32
CHANGES = 40
K = 10  # what `wrk` asks for, and what the index is tuned for


def make(path: Path, candidates: int = CANDIDATES) -> None:
    """Write the bundle, unless it is there."""
    if path.exists():
        return
    import polars as pl
    import torch

    import shortlist as sl
    from benchmarks.index.data import write

    place = write(candidates, DIM, QUERIES)
    vectors, asked = np.load(place / "vectors.npy"), np.load(place / "queries.npy")
    pairs = np.random.default_rng(0).permutation(candidates)
    content = pl.Series(vectors, dtype=pl.Array(pl.Float32, DIM)).cast(pl.List(pl.Float32))
    data = sl.Dataset(
        pl.DataFrame({"user": np.arange(candidates) % QUERIES, "item": pairs}), "user", "item",
        candidates=pl.DataFrame({"item": np.arange(candidates), "content": content}),
    )  # fmt: skip
    model = sl.TwoTower(
        sl.Tower(sl.IntegerLookup("user"), dim=DIM), sl.Tower(sl.Vector("content"), dim=DIM)
    )  # fmt: skip
    model.prepare(data)
    (table,), (feature,) = model.query.tables.values(), model.query.features.values()
    codes = feature.encode(pl.Series(np.arange(QUERIES))).values
    table.weight[torch.as_tensor(np.asarray(codes, np.int64))] = torch.from_numpy(asked)
    with torch.no_grad():
        for parameter in model.candidate.parameters():
            parameter.copy_(torch.eye(DIM) if parameter.ndim == 2 else torch.zeros(DIM))
    recommender = sl.Recommender(model.eval(), index=sl.ScaNN(recall=0.95, k=K), seen=data)
    print(recommender.reason, flush=True)
    recommender.export()
    recommender.save(path)


def million(options: argparse.Namespace) -> dict:
    """Beside the other bundle's rate in the same run: `wrk` with 16 connections, then changes one at a time under load."""
    other, bundle = options.bundles
    make(bundle, options.candidates)
    rates = {}
    for name, path, users, form in (("movielens", other, 943, '"%d"'), ("million", bundle, QUERIES - 1, "%d")):
        server = Server(path, "--no-log")
        started = time.perf_counter() - server.started
        wrk(server.port, 16, 2, users, form)
        rates[name] = wrk(server.port, 16, options.seconds, users, form)
        rates[name] |= {"start_s": started, "memory_mb": server.memory(), "peak_memory_mb": server.memory("VmHWM")}
        server.stop()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(bundle, "--no-log", "--state", folder)
        changed = _changes(server)
        server.stop()
    return {
        "candidates": options.candidates,
        "recall": _recall(bundle),
        "rates": rates,
        "share": rates["million"]["good_per_second"] / rates["movielens"]["good_per_second"],
        "changes": changed,
    }


def _recall(bundle: Path) -> dict:
    """What the bundle's index was tuned for, by its manifest, and what of the exact top K it finds here for some queries."""
    import shortlist as sl

    recommender = sl.Recommender.load(bundle, mmap=True)
    wanted = recommender.index.settings()
    return {"promised": wanted["recall"], "k": wanted["k"], "found": recommender.ann_overlap(K, sample=500)}


def _changes(server: Server) -> dict:
    """Upserts of new candidates, of ones that are there, and deletions, while somebody asks all the time."""
    rng = np.random.default_rng(1)
    connection, asker = Connection(server.port), _Asker(server.port)
    body = b'{"queries":[{"id":1}]}'
    connection.post("/v1/recommend", body)
    before = server.memory()
    times: dict[str, list[float]] = {"new": [], "there": [], "delete": []}
    for number in range(CHANGES):
        content = rng.standard_normal(DIM).round(4).tolist()
        for kind, change in (
            ("new", {"upsert": [{"item": 10_000_000 + number, "content": content}]}),
            ("there", {"upsert": [{"item": number * 7, "content": content}]}),
            ("delete", {"delete": [1 + number * 7]}),
        ):
            started = time.perf_counter()
            status, said = connection.post("/v1/candidates", json.dumps(change).encode())
            times[kind].append(time.perf_counter() - started)
            assert status == 200, said
    result = {
        "each": CHANGES,
        **{f"{kind}_p50_ms": sorted(values)[CHANGES // 2] * 1e3 for kind, values in times.items()},
        **{f"{kind}_longest_ms": max(values) * 1e3 for kind, values in times.items()},
        "answers_meanwhile": asker.stop(),
        "memory_before_mb": before,
        "memory_after_mb": server.memory(),
        "peak_memory_mb": server.memory("VmHWM"),
    }
    rows = [{"item": 20_000_000 + number, "content": [0.1] * DIM} for number in range(1000)]
    started = time.perf_counter()
    status, said = connection.post("/v1/candidates", json.dumps({"upsert": rows}).encode())
    assert status == 200, said
    return result | {"thousand_at_once_ms": (time.perf_counter() - started) * 1e3}


class _Asker:
    """One client that asks again and again; how long the answers take."""

    def __init__(self, port: int) -> None:
        self.times: list[float] = []
        self._connection, self._stopped = Connection(port), False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stopped:
            number += 1
            started = time.perf_counter()
            status, _ = self._connection.post("/v1/recommend", b'{"queries":[{"id":%d}]}' % (number % QUERIES))
            self.times.append(time.perf_counter() - started)
            assert status == 200
            time.sleep(0.001)

    def stop(self) -> dict:
        self._stopped = True
        self._thread.join()
        times = sorted(self.times)
        return {"count": len(times), "p50_ms": times[len(times) // 2] * 1e3, "p99_ms": times[len(times) * 99 // 100] * 1e3,
                "longest_ms": times[-1] * 1e3}  # fmt: skip
