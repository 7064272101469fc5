"""Live changes: in the lists when acknowledged, on the disk when acknowledged, gone for good when deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.changing import KEY, WRITE, change, ids

import shortlist as sl
from shortlist.serve import Settings
from shortlist.serve.loaded import Loaded


def test_upsert_delete_and_a_restart(writable: Callable[..., Any]) -> None:
    client = writable()
    assert ids(client) == ["c", "d", "b", "a"]
    reply = change(client, upsert=[{"what": "e", "full_name": "Eps", "kind": "x", "stock": 1}], delete=["c", "nowhere"])
    assert reply.status_code == 200, reply.text
    assert reply.json() == {"upserted": 1, "deleted": 1, "candidates": 4, "bundle": client.app.service.loaded.bundle}
    assert set(ids(client)) == {"d", "b", "a", "e"}
    assert "e" in ids(client, where="kind = 'x'")
    assert client.post("/v1/similar", {"candidates": ["c"]}).status_code == 404
    assert client.get("/v1/candidates", params={"text": "Eps"}).json()["items"][0]["columns"]["stock"] == 1
    again = writable()
    assert set(ids(again)) == {"d", "b", "a", "e"}
    assert again.get("/v1/card").json()["candidates"] == 4
    assert change(again, upsert=[{"what": "b", "stock": 9}]).status_code == 200
    assert ids(again, where="stock = 9") == ["b"]
    assert ids(again, where="kind = 'y' and stock = 9") == ["b"]  # what did not come stays
    assert change(again, upsert=[{"what": "c"}]).status_code == 200
    last = writable()
    assert set(ids(last)) == {"a", "b", "c", "d", "e"}
    assert ids(last, where="stock = 9") == ["b"]
    assert ids(last, where="stock = 5") == []  # c came back without its columns


def test_expiry(writable: Callable[..., Any]) -> None:
    client = writable()
    assert change(client, expire=[{"id": "d", "at": time.time() - 1}, {"id": "a", "at": 9e9}]).status_code == 200
    assert change(client, upsert=[{"what": "b", "stock": 1}]).status_code == 200  # by now the writer has looked
    assert ids(client) == ["c", "b", "a"]
    assert ids(writable()) == ["c", "b", "a"]


def test_events_are_excluded_and_in_the_history_at_once(writable: Callable[..., Any]) -> None:
    client = writable()

    def list_of(query: str) -> list[str]:
        body = {"queries": [{"id": query}]}
        return [item["id"] for item in client.post("/v1/recommend", body).json()["results"][0]["items"]]

    assert list_of("ann") == ["c", "d"]
    events = [{"query": "ann", "candidate": "c"}, {"query": "new", "candidate": "d"}]
    assert client.post("/v1/events", {"events": events}, headers=KEY).json() == {"recorded": 2}
    assert list_of("ann") == ["d"]
    assert "d" not in list_of("new")
    assert list_of("bob") == ["d", "a"]
    history = client.get("/v1/history", params={"query": "ann"}).json()
    assert [item["id"] for item in history["items"]] == ["c", "a", "b"]
    client = writable()
    assert list_of("ann") == ["d"]


def test_how_long_an_event_excludes_is_a_setting(writable: Callable[..., Any]) -> None:
    client = writable(seen_seconds=100.0)
    now = time.time()
    events = [{"query": "ann", "candidate": "c", "at": now - 101}, {"query": "ann", "candidate": "d", "at": now - 1}]
    assert client.post("/v1/events", {"events": events}, headers=KEY).status_code == 200
    body = client.post("/v1/recommend", {"queries": [{"id": "ann"}]}).json()
    assert [item["id"] for item in body["results"][0]["items"]] == ["c"]


def test_writing_needs_its_own_key(writable: Callable[..., Any], client: Any) -> None:
    body = {"delete": ["a"]}
    assert client.post("/v1/candidates", body).status_code == 403
    assert client.post("/v1/events", {"events": []}, headers=KEY).status_code == 403
    open_ = writable(keys=("r" * 20,))
    assert open_.post("/v1/candidates", body).status_code == 401
    assert open_.post("/v1/candidates", body, headers={"x-api-key": "r" * 20}).status_code == 403
    assert open_.post("/v1/candidates", body, headers=KEY).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "$"),
        ({"upsert": [{"kind": "x"}]}, "$.upsert[0]"),
        ({"upsert": [{"what": 7}]}, "$.upsert[0].what"),
        ({"upsert": [{"what": "q"}, {"what": "q"}]}, "$.upsert"),
        ({"upsert": [{"what": "q"}, {"what": "r", "canary": 1}]}, "$.upsert[1]"),
        ({"upsert": [{"what": "q", "stock": "canary"}]}, "$.upsert[0].stock"),
        ({"upsert": [{"what": "q", "stock": 1.5}]}, "$.upsert[0].stock"),
        ({"upsert": [{"what": "q", "stock": True}]}, "$.upsert[0].stock"),
        ({"upsert": [{"what": "q", "kind": ["canary"]}]}, "$.upsert[0].kind"),
        ({"delete": [1]}, "$.delete[0]"),
        ({"expire": [{"id": "a", "at": -1}]}, "$.expire[0].at"),
        ({"expire": [{"id": 1, "at": 1}]}, "$.expire[0]"),
    ],
)
def test_a_change_that_does_not_fit_is_all_refused(writable: Callable[..., Any], body: Any, field: str) -> None:
    client = writable()
    reply = client.post("/v1/candidates", {**body, **({"delete": ["a"]} if "upsert" in body else {})}, headers=KEY)
    assert reply.status_code == 422, reply.text
    assert reply.json()["field"] == field, reply.text
    assert "canary" not in reply.text
    assert ids(client) == ["c", "d", "b", "a"]
    assert ids(writable()) == ["c", "d", "b", "a"]


def test_a_full_disk_refuses_the_change(writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client = writable()
    assert change(client, delete=["a"]).status_code == 200

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        reply = change(client, delete=["b"])
    assert reply.status_code == 503
    assert reply.headers["retry-after"]
    assert ids(client) == ["c", "d", "b"]
    assert change(client, delete=["d"]).status_code == 200
    assert ids(client) == ["c", "b"]
    assert ids(writable()) == ["c", "b"]


@pytest.fixture(scope="module")
def approximate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of 30 candidates of two numbers each, found through ScaNN."""
    import polars as pl

    import shortlist as sl

    pairs = {"who": [f"u{number % 6}" for number in range(30)], "what": [f"i{number}" for number in range(30)]}
    places = {"what": pairs["what"], "place": [[float(number % 5), float(number % 7)] for number in range(30)]}
    train = sl.Dataset(pairs, "who", "what", candidates=pl.DataFrame(places))
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.Vector("place"), dim=2))
    model.prepare(train)
    recommender = sl.Recommender(model.eval(), index=sl.ScaNN(), seen=train)
    recommender.export()
    place = tmp_path_factory.mktemp("approximate") / "b"
    recommender.save(place)
    return place


def test_an_index_that_finds_too_little_is_built_afresh(
    clients: Callable[..., Any], approximate: Path, tmp_path: Path
) -> None:
    import asyncio

    client = clients(
        Settings(write_keys=(WRITE,), state=tmp_path, trusted=False),
        sl.Recommender(Loaded.read(approximate, False).served),
    )
    service = client.app.service

    def new(number: int) -> Any:
        return change(client, upsert=[{"what": f"n{number}", "place": [1.0, float(number)]}])

    assert new(0).status_code == 200
    assert service.writer.upkeep is not None
    service.writer.upkeep.recall = 2.0  # more than any index finds
    for number in range(1, 4):
        assert new(number).status_code == 200
    client.loop.run_until_complete(asyncio.to_thread(service.writer.upkeep.wait))
    assert service.writer.upkeep.trouble is None
    assert service.loaded.served.index.churn < 0.1  # only what came meanwhile
    assert service.loaded.served.index.size == 34
    asked = client.post("/v1/recommend", {"queries": [{"id": "u1"}], "k": 34, "exclude_seen": False}).json()
    assert {item["id"] for item in asked["results"][0]["items"]} == {f"i{n}" for n in range(30)} | {
        f"n{n}" for n in range(4)
    }
    assert change(client, delete=["n2"]).json()["candidates"] == 33


def test_recall_is_measured_on_real_requests(clients: Callable[..., Any], approximate: Path) -> None:
    """Every request is answered exactly too; 3 of 30 candidates are asked for, two of which an index finds that is put
    in the place of the real one."""
    client = clients(Settings(sample=1.0), sl.Recommender(Loaded.read(approximate).served))
    service = client.app.service
    whole = service.batcher._answer

    def lossy(group: Any, asks: Any) -> Any:
        (found,) = whole(group, asks)
        return [found] if group.exact else [type("Short", (), {**_facts(found), "items": found.items[:2]})()]

    service.batcher._answer = lossy
    service.pool.submit(lambda: None).result()
    reply = client.post("/v1/recommend", {"queries": [{"id": "u1"}], "k": 3, "exclude_seen": False})
    assert reply.status_code == 200, reply.text
    deadline = time.monotonic() + 120
    while "shortlist_recall_exact_items_total 3.0" not in (text := client.get("/metrics").text):
        assert time.monotonic() < deadline, text
    assert "shortlist_recall_found_items_total 2.0" in text


def _facts(found: Any) -> dict[str, Any]:
    return {"query": found.query, "known": found.known, "ids": found.ids[:2], "scores": found.scores[:2]}
