"""A first upsert finds what it needs imported, or waits for it; nothing else does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.changing import KEY, WRITE, change

import shortlist as sl
from shortlist.recommender.embedding import Embedder
from shortlist.serve import App, Service, Settings
from shortlist.serve.loaded import Loaded

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
