"""A bundle small enough to work out by hand, a service over it, and a client that needs no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import torch
from tests.serve.running import Running
from tests.shared import once

import shortlist as sl
from shortlist.serve import App, Service, Settings
from shortlist.serve.loaded import Loaded
from shortlist.serve.settings import Limits

READ, WRITE = "r" * 20, "w" * 20


def set_vectors(tower: sl.Tower, vectors: Mapping[Any, Sequence[float]], unknown: Sequence[float]) -> None:
    (table,) = tower.tables.values()
    (feature,) = tower.features.values()
    table.weight[0] = torch.tensor(unknown)
    for value, vector in vectors.items():
        (code,) = feature.encode(pl.Series([value])).values.tolist()
        table.weight[code] = torch.tensor(vector)


def make(scale: float = 1.0) -> sl.Recommender:
    """Scores of a, b, c, d: ann 4 3 1 ½, bob 0 1 4 2, cat 4 4 5 2½, the unknown query -4 -3 -1 -½, times ``scale``.

    ann chose a and b, bob b and c, cat b; dan is in the table alone, and nobody chose d.
    """
    pairs = [("ann", "a"), ("ann", "b"), ("bob", "b"), ("bob", "c"), ("cat", "b")]
    train = sl.Dataset(
        pl.DataFrame(pairs, schema=["who", "what"], orient="row"),
        "who",
        "what",
        queries={"who": ["ann", "bob", "cat", "dan"]},
        candidates={
            "what": ["a", "b", "c", "d"],
            "full_name": ["Alpha", "Beta", None, "Delta"],
            "kind": ["x", "y", "x", "y"],
            "stock": [3, 0, 5, 7],
        },
    )
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(train)
    queries = {"ann": (scale, 0), "bob": (0, scale), "cat": (scale, scale)}
    set_vectors(model.query, queries, unknown=(-scale, 0))
    set_vectors(model.candidate, {"a": (4, 0), "b": (3, 1), "c": (1, 4)}, unknown=(0.5, 2))
    return sl.Recommender(model.eval(), index=sl.BruteForce(), seen=train)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two bundles, ``one`` and ``two``; the second's scores are twice the first's. Not to be written to."""
    with once(tmp_path_factory, "bundles") as folder:  # their exports take seconds
        if not folder.exists():
            half = folder.with_name("half of the bundles")
            half.mkdir()
            for name, scale in (("one", 1.0), ("two", 2.0)):
                recommender = make(scale)
                recommender.export()
                recommender.save(half / name, metadata={"model": {"seen_in": {"top_1": 0.5}}})
            half.rename(folder)
    return folder


class Client:
    """Asks an App as a server would, in one event loop."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://test")

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.loop.run_until_complete(self._client.request(method, path, **options))

    def together(self, requests: Sequence[tuple[str, Any]]) -> list[httpx.Response]:
        """Bodies posted at once."""

        async def all_of() -> list[httpx.Response]:
            return await asyncio.gather(*(self._client.post(path, json=body) for path, body in requests))

        return self.loop.run_until_complete(all_of())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.ask("POST", path, json=body, **options)

    def close(self) -> None:
        self.loop.run_until_complete(self._client.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.app.service.close()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()


@pytest.fixture
def clients(bundles: Path) -> Iterator[Callable[..., Client]]:
    """Makes clients of servers over bundle ``one`` with the settings given; where no limits are, everybody may wait."""
    made: list[Client] = []
    patient = Limits(wait_seconds=100.0)

    def client(settings: Settings | None = None, recommender: sl.Recommender | None = None) -> Client:
        loaded = Loaded.read(bundles / "one") if recommender is None else Loaded("one", recommender.served)
        given = Settings() if settings is None else settings
        if given.limits == Limits():
            given = replace(given, limits=patient)
        made.append(Client(App(Service(loaded, given))))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def client(clients: Callable[..., Client]) -> Client:
    return clients()


@pytest.fixture
def writable(clients: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Makes a writable client over the same log; the one before is closed first."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        if made and made[-1] is not None:
            made[-1].app.service.writer.close()
        made.append(clients(Settings(write_keys=(WRITE,), state=tmp_path / "state", **options)))
        made[-1].app.service.close = lambda: None
        return made[-1]

    yield make
    if made:
        made[-1].app.service.writer.close()


@pytest.fixture(scope="module")
def server(bundles: Path) -> Iterator[Running]:
    running = Running(bundles / "one", "--receive-seconds", "1")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()
