"""A first upsert finds what it needs imported, or waits for it; a first request finds its query tower ready."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.recommender.query_towers import FEATURES, saved
from tests.serve.changing import KEY, WRITE, change
from tests.serve.running import Running

import shortlist as sl
from shortlist.errors import MissingExtraError
from shortlist.recommender import embedding
from shortlist.recommender.embedding import Embedder
from shortlist.serve import App, Service, Settings
from shortlist.serve.loaded import Loaded
from shortlist.serve.preparing import Preparation
from shortlist.serve.swap import Swapper

PROGRAM = """
import sys
from pathlib import Path
from shortlist.serve.loaded import Loaded
from shortlist.serve.preparing import Preparation

loaded = Loaded.read(Path(sys.argv[1]))
before = [name in sys.modules for name in ("torch", "onnxruntime")]
preparation = Preparation(loaded.served)
preparation.start()
preparation.wait()
print(before, [name in sys.modules for name in ("torch", "onnxruntime")])
"""


@pytest.mark.parametrize(("exported", "imported"), [(False, "[True, False]"), (True, "[False, True]")])
def test_what_embeds_candidates_is_imported(bundles: Path, tmp_path: Path, exported: bool, imported: str) -> None:
    """torch; onnxruntime alone where the towers are exported."""
    path = bundles / "one"
    if not exported:
        recommender = sl.Recommender.load(path)
        model = recommender.model
        path = tmp_path / "plain"
        sl.Recommender(model, index=sl.BruteForce()).save(path)
    said = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"[False, False] {imported}"


def test_an_upsert_waits_for_the_import_and_nothing_else_does(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, order = threading.Event(), []

    def importing(embedder: Any, side: str) -> None:
        gate.wait(60)
        order.append(f"imported {side}")

    monkeypatch.setattr(Embedder, "import_runtime", importing)
    client = writable()
    client.app.service.writer.preparation.start()
    client.app.service.writer.preparation.start()  # it has begun
    event = {"events": [{"query": "ann", "candidate": "a"}]}
    assert client.post("/v1/events", event, headers=KEY).status_code == 200
    assert change(client, delete=["d"]).status_code == 200
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}]}).status_code == 200
    assert order == []
    threading.Timer(0.0, gate.set).start()
    assert change(client, upsert=[{"what": "n", "stock": 1}]).status_code == 200
    assert order == ["imported candidate"]


@pytest.mark.parametrize("writes", [False, True])
def test_a_writable_server_begins_once_it_is_up(
    bundles: Path, tmp_path: Path, writes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second later, so that its first answers do not wait; a server that only reads imports nothing."""
    settings = Settings(write_keys=(WRITE,), state=tmp_path) if writes else Settings()
    service = Service(Loaded.read(bundles / "one"), settings)
    later: list[float] = []

    async def up() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", lambda seconds, call: later.append((seconds, call)), raising=False)
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        monkeypatch.setattr(service.writer, "start", lambda: None)

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            pass

        await App(service)({"type": "lifespan"}, receive, send)

    asyncio.run(up())
    assert later == ([(1.0, service.writer.preparation.start)] if writes else [])


# Query towers.


def processes(pid: int) -> list[int]:
    """A process, or those that it started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(one) for task in tasks for one in (task / "children").read_text().split()] or [pid]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at what is mapped, in /proc")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("kind", "there"), [("ids", False), ("history", True)])
def test_a_tower_is_there_before_the_server_says_where_it_listens(
    tmp_path: Path, kind: str, there: bool, workers: int
) -> None:
    """In every process that answers; and no request makes a server of ids alone import torch."""
    running = Running(saved(tmp_path / "bundle", kind), "--workers", workers)
    try:
        answering = processes(running.process.pid)
        assert len(answering) == workers

        def mapped() -> list[bool]:
            return ["libtorch_python" in Path(f"/proc/{pid}/maps").read_text() for pid in answering]

        assert mapped() == [there] * workers
        for query in ({"id": "ann"}, {"id": None}, {"history": ["a", "b"]}):
            for _ in range(2 * workers):
                found = httpx.post(f"{running.url}/v1/recommend", json={"queries": [query]}, timeout=120)
                assert found.status_code == 200
        assert mapped() == [there] * workers
    finally:
        assert running.stop() == 0


@pytest.mark.parametrize("kind", FEATURES)
def test_a_tower_is_there_before_a_bundle_takes_over(client: Any, tmp_path: Path, kind: str) -> None:
    """While requests still go to the bundle before; a tower that no request needs is not built."""
    service = client.app.service
    built: list[bool] = []
    activate = service.activate

    def noted(loaded: Loaded) -> None:
        built.append(loaded.served.embedder._model is not None)
        activate(loaded)

    service.activate = noted
    swapper = Swapper(service, saved(tmp_path / "bundle", kind), None)
    assert client.loop.run_until_complete(swapper.check())
    assert built == [kind != "ids"]


def test_a_tower_that_cannot_run_here_keeps_no_server_from_starting(
    clients: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without torch, requests that need no tower are answered, the others get a 501."""
    client = clients(recommender=sl.Recommender.load(saved(tmp_path / "bundle", "stored column")))

    def missing(*_: Any) -> Any:
        raise MissingExtraError("torch", "train", "the two-tower model itself")

    monkeypatch.setattr(embedding, "_built", missing)
    client.app.service.warm(client.app.service.loaded, lambda: None)
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}]}).status_code == 200
    assert client.post("/v1/recommend", {"queries": [{"features": {"city": "x"}}]}).status_code == 501


# Another bundle, and no room for a thread.


def test_another_bundle_is_prepared_once_the_first_was(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (Loaded.read(bundles / name).served for name in ("one", "two"))
    imported: list[Any] = []
    monkeypatch.setattr(Embedder, "import_runtime", lambda embedder, side: imported.append(embedder))
    preparation = Preparation(one)
    preparation.renew(two)
    preparation.wait()
    assert imported == []
    preparation.start()
    preparation.wait()
    preparation.renew(one)
    preparation.wait()
    assert imported == [two.embedder, one.embedder]


def test_a_system_without_room_for_a_thread_stops_no_upsert(
    writable: Callable[..., Any], bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for good: what could not begin is not waited for."""
    client = writable()
    preparation = client.app.service.writer.preparation

    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        with pytest.raises(RuntimeError, match="new thread"):
            preparation.start()
    assert change(client, upsert=[{"what": "n", "stock": 1}]).status_code == 200
    preparation.start()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        preparation.renew(Loaded.read(bundles / "two").served)
    assert change(client, upsert=[{"what": "m", "stock": 1}]).status_code == 200
