"""Live changes: in the lists when acknowledged, on the disk when acknowledged, gone for good when deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.errors import BundleError, ConfigError
from shortlist.serve import Settings
from shortlist.serve.changes import Changes
from shortlist.serve.events import Events
from shortlist.serve.journal import Journal
from shortlist.serve.loaded import Loaded
from shortlist.serve.swap import Swapper, signature

WRITE = "w" * 20
KEY = {"x-api-key": WRITE}


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


def ids(client: Any, query: str = "bob", **options: Any) -> list[str]:
    body = {"queries": [{"id": query}], "exclude_seen": False, **options}
    return [item["id"] for item in client.post("/v1/recommend", body).json()["results"][0]["items"]]


def change(client: Any, **body: Any) -> Any:
    return client.post("/v1/candidates", body, headers=KEY)


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
    assert open_.post("/v1/candidates", body, headers={"x-api-key": "r" * 20}).status_code == 401
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


# The log.


def record(number: int) -> dict[str, Any]:
    return {"op": "change", "at": float(number), "upsert": [], "delete": [f"i{number}"], "expire": []}


def test_the_log_comes_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([record(1), record(2)])
    journal.append([record(3)])
    with pytest.raises(ConfigError, match="another server"):
        Journal(tmp_path)
    journal.close()
    again = Journal(tmp_path)
    assert again.records == [record(1), record(2), record(3)]
    again.rewrite([record(3)])
    again.append([record(4)])
    again.close()
    last = Journal(tmp_path)
    assert last.records == [record(3), record(4)]
    last.close()


@settings(max_examples=60)
@given(data=st.data())
def test_a_log_cut_anywhere_keeps_what_was_whole_and_an_altered_one_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    journal = Journal(folder)
    ends = [0]
    for number in range(4):
        journal.append([record(number)])
        ends.append(journal.path.stat().st_size)
    journal.close()
    content = journal.path.read_bytes()
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(content)))
        journal.path.write_bytes(content[:cut])
        again = Journal(folder)
        whole = sum(end <= cut for end in ends) - 1
        assert again.records == [record(number) for number in range(whole)]
        again.append([record(9)])
        again.close()
        last = Journal(folder)
        assert last.records == [*(record(number) for number in range(whole)), record(9)]
        last.close()
    else:
        at = data.draw(st.integers(0, ends[3] - 1))
        bit = 1 << data.draw(st.integers(0, 7))
        journal.path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        with pytest.raises(BundleError, match="was altered"):
            Journal(folder)


STEP = st.one_of(
    st.builds(lambda one, stock: ("upsert", one, stock), st.sampled_from("abz"), st.integers(0, 3)),
    st.builds(lambda one: ("delete", one, 0), st.sampled_from("abz")),
    st.builds(lambda one, at: ("expire", one, at), st.sampled_from("abz"), st.integers(0, 30)),
)


@given(st.lists(STEP, max_size=14))
def test_a_shortened_log_says_the_same(steps: list[tuple[str, str, int]]) -> None:
    long = Changes(Events(None))
    long.id_column = "what"
    for now, (kind, one, value) in enumerate(steps):
        made = {"op": "change", "at": float(now), "upsert": [], "delete": [], "expire": []}
        made[kind] = {
            "upsert": [{"what": one, "stock": value}],
            "delete": [one],
            "expire": [{"id": one, "at": float(value)}],
        }[kind]
        long.apply(made)
    short = Changes(Events(None))
    short.id_column = "what"
    for made in long.records(0.0):
        short.apply(made)
    for now in (10.0, 40.0):
        long.expired(now)
        short.expired(now)
        assert (short._rows, set(short._gone)) == (long._rows, set(long._gone))


# Swaps.


def swapped(client: Any, path: Path) -> bool:
    swapper = Swapper(client.app.service, path, None)
    return bool(client.loop.run_until_complete(swapper.look()))


def test_another_bundle_takes_over_with_all_changes(writable: Callable[..., Any], bundles: Path) -> None:
    client = writable()
    first = client.app.service.loaded.bundle
    change(client, delete=["c"], upsert=[{"what": "e", "stock": 1}])
    client.post("/v1/events", {"events": [{"query": "ann", "candidate": "d"}]}, headers=KEY)
    assert swapped(client, bundles / "two")
    body = client.post("/v1/recommend", {"queries": [{"id": "cat"}], "exclude_seen": False}).json()
    assert body["bundle"] == client.app.service.loaded.bundle != first
    items = {item["id"]: item["score"] for item in body["results"][0]["items"]}
    assert items["a"] == 8.0  # twice that of bundle one
    assert "c" not in items
    assert "e" in items
    text = client.get("/metrics").text
    assert 'shortlist_swaps_total{outcome="done"} 1.0' in text
    assert first not in text.split("# HELP shortlist_bundle ")[1]


def test_the_same_bundle_again_is_no_swap(writable: Callable[..., Any], bundles: Path) -> None:
    client = writable()
    assert not swapped(client, bundles / "one")
    service = client.app.service
    swapper = Swapper(service, bundles / "one", signature(bundles / "one"))
    assert client.loop.run_until_complete(swapper.look()) is False


def test_a_broken_bundle_is_refused_and_the_old_one_goes_on(
    clients: Callable[..., Any], bundles: Path, tmp_path: Path
) -> None:
    import io
    import shutil

    from shortlist.serve.logs import Log

    client = clients()
    out = io.StringIO()
    client.app.service.log = Log(out)
    place = tmp_path / "place"
    shutil.copytree(bundles / "two", place)
    vectors = place / "vectors.safetensors"
    content = vectors.read_bytes()
    vectors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    swapper = Swapper(client.app.service, place, None)
    assert client.loop.run_until_complete(swapper.look()) is False
    assert "was altered" in out.getvalue()
    assert ids(client) == ["c", "d", "b", "a"]
    assert client.loop.run_until_complete(swapper.look()) is False  # nothing changed: not even looked at
    assert out.getvalue().count("swap_refused") == 1
    vectors.write_bytes(content)
    assert client.loop.run_until_complete(swapper.look()) is True
    assert 'shortlist_swaps_total{outcome="refused"} 1.0' in client.get("/metrics").text


def test_a_request_keeps_the_bundle_it_began_with(clients: Callable[..., Any], bundles: Path) -> None:
    """Each of many requests, with swaps between them, has the scores of the one bundle that it names."""
    client = clients()
    service = client.app.service
    two = Loaded.read(bundles / "two")
    factor = {service.loaded.bundle: 1.0, two.bundle: 2.0}
    one = service.loaded

    async def load() -> list[Any]:
        import asyncio

        async def ask(name: str) -> Any:
            body = {"queries": [{"id": name}], "exclude_seen": False}
            return (await client._client.post("/v1/recommend", json=body)).json()

        tasks = []
        for number in range(60):
            tasks.append(asyncio.ensure_future(ask("ann")))
            if number % 3 == 0:
                await asyncio.sleep(0)
                service.put(two if service.loaded is one else one)
        return await asyncio.gather(*tasks)

    bodies = client.loop.run_until_complete(load())
    assert {body["bundle"] for body in bodies} == set(factor)
    for body in bodies:
        scores = {item["id"]: item["score"] for item in body["results"][0]["items"]}
        assert scores == {
            name: value * factor[body["bundle"]] for name, value in (("a", 4), ("b", 3), ("c", 1), ("d", 0.5))
        }


# The index under changes.


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
        Settings(write_keys=(WRITE,), state=tmp_path, trusted=False), Loaded.read(approximate, False).recommender
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
    assert service.loaded.recommender.index.churn < 0.1  # only what came meanwhile
    assert service.loaded.recommender.index.size == 34
    asked = client.post("/v1/recommend", {"queries": [{"id": "u1"}], "k": 34, "exclude_seen": False}).json()
    assert {item["id"] for item in asked["results"][0]["items"]} == {f"i{n}" for n in range(30)} | {
        f"n{n}" for n in range(4)
    }
    assert change(client, delete=["n2"]).json()["candidates"] == 33


def test_recall_is_measured_on_real_requests(clients: Callable[..., Any], approximate: Path) -> None:
    """Every request is answered exactly too; 3 of 30 candidates are asked for, two of which an index finds that is put
    in the place of the real one."""
    client = clients(Settings(sample=1.0), Loaded.read(approximate).recommender)
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


LONG = "x" * 1024
ROUTES: dict[str, Callable[[str], tuple[str, Any]]] = {
    "recommend": lambda one: ("/v1/recommend", {"queries": [{"id": one}]}),
    "recommend, exclude": lambda one: ("/v1/recommend", {"queries": [{"id": "bob", "exclude": [one]}]}),
    "recommend, allow": lambda one: ("/v1/recommend", {"queries": [{"id": "bob"}], "allow": [one]}),
    "recommend, deny": lambda one: ("/v1/recommend", {"queries": [{"id": "bob"}], "deny": [one]}),
    "similar": lambda one: ("/v1/similar", {"candidates": [one]}),
    "score": lambda one: ("/v1/score", {"queries": [{"id": one}], "candidates": ["a"]}),
    "score, candidates": lambda one: ("/v1/score", {"queries": [{"id": "bob"}], "candidates": [one]}),
    "embed": lambda one: ("/v1/embed", {"candidates": [one]}),
    "events": lambda one: ("/v1/events", {"events": [{"query": one, "candidate": "a"}]}),
    "events, candidate": lambda one: ("/v1/events", {"events": [{"query": "bob", "candidate": one}]}),
    "upsert": lambda one: ("/v1/candidates", {"upsert": [{"what": one, "full_name": "X", "kind": "x", "stock": 1}]}),
    "expire": lambda one: ("/v1/candidates", {"expire": [{"id": one, "at": 4e9}]}),
    "delete": lambda one: ("/v1/candidates", {"delete": [one]}),
    "predict": lambda one: ("/v1/models/model:predict", {"instances": [one]}),
    "predict, rows": lambda one: ("/v1/models/model:predict", {"instances": [{"who": one}]}),
    "predict, inputs": lambda one: ("/v1/models/model:predict", {"inputs": [one]}),
    "predict, columns": lambda one: ("/v1/models/model:predict", {"inputs": {"who": [one]}}),
    "history": lambda one: (f"/v1/history?query={one}", None),
}


@pytest.mark.parametrize("route", ROUTES)
def test_ids_have_one_bound_on_every_route(writable: Callable[..., Any], route: str) -> None:
    client = writable()
    replies = []
    for one in (LONG, LONG + "x"):
        path, body = ROUTES[route](one)
        path = path.replace("/models/model:", f"/models/{client.app.service.loaded.name}:")
        replies.append(client.get(path) if body is None else client.post(path, body, headers=KEY))
    assert replies[0].status_code in (200, 404), replies[0].text  # 404: a candidate that is not there
    assert replies[1].status_code in (400, 422), replies[1].text


def test_what_can_be_upserted_can_be_deleted(writable: Callable[..., Any]) -> None:
    client = writable()
    assert change(client, upsert=[{"what": LONG, "full_name": "X", "kind": "x", "stock": 1}]).json()["candidates"] == 5
    assert change(client, delete=[LONG]).json()["candidates"] == 4
