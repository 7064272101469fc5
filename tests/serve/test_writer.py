"""Live changes: in the lists when acknowledged, on the disk when acknowledged, gone for good when deleted."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.changing import KEY, WRITE, change, ids
from tests.serve.test_journal import AWAY

import shortlist as sl
from shortlist.index import BruteForce, Quantized
from shortlist.serve import Service, Settings, journal
from shortlist.serve.changes import Changes
from shortlist.serve.events import Events
from shortlist.serve.journal import Journal
from shortlist.serve.loaded import Loaded
from shortlist.serve.logs import Log
from shortlist.serve.writer import _Task


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
        ({"expire": [{"id": 1, "at": 1}]}, "$.expire[0].id"),
        ({"expire": [{"id": "a", "at": 8e9}, {"id": "b", "at": 8e9}, {"id": "a", "at": 9e9}]}, "$.expire"),
        ({"upsert": [{"what": "q"}, {"what": ""}]}, "$.upsert[1].what"),
        ({"upsert": [{"what": "q"}, {"what": None}]}, "$.upsert[1].what"),
        ({"upsert": [{"what": "q", "stock": 2**63}]}, "$.upsert[0].stock"),
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


@pytest.mark.parametrize("take_away", AWAY)
def test_what_was_acknowledged_outlives_a_log_that_is_taken_away(
    writable: Callable[..., Any], tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    """Before the next change, and with none to come."""
    client = writable()
    path = tmp_path / "state" / "changes.log"
    assert change(client, delete=["a"]).status_code == 200
    take_away(path)
    assert change(client, delete=["b"]).status_code == 200
    take_away(path)
    client.app.service.writer._apply([])
    assert ids(writable()) == ["c", "d"]
    take_away(path)
    assert ids(writable()) == ["c", "d"]  # the server before has looked once more at its end


def test_a_log_that_cannot_be_put_back_refuses_changes(writable: Callable[..., Any], tmp_path: Path) -> None:
    """Another server has the folder by now: refused, counted, and logged once."""
    client = writable()
    log = client.app.service.log = Log(io.StringIO(), requests=False)
    assert change(client, delete=["a"]).status_code == 200
    shutil.rmtree(tmp_path / "state")
    other = Journal(tmp_path / "state")
    for _ in range(2):
        assert change(client, delete=["b"]).status_code == 503
    other.close()
    assert ids(client) == ["c", "d", "b"]
    assert change(client, delete=["b"]).status_code == 200
    assert ids(writable()) == ["c", "d"]
    events = [json.loads(line)["event"] for line in log._out.getvalue().splitlines()]
    assert events == ["log_failed", "log_restored"]
    assert "shortlist_log_failures_total 0.0" not in client.get("/metrics").text


def test_only_what_is_on_the_disk_is_counted(writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client = writable()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    body = {"upsert": [{"what": "e"}, {"what": "f"}], "delete": ["a"]}
    events = {"events": [{"query": "ann", "candidate": "b"}]}
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert change(client, **body).status_code == 503
        assert client.post("/v1/events", events, headers=KEY).status_code == 503
    text = client.get("/metrics").text
    for kind in ("upsert", "delete", "event"):
        assert f'shortlist_changes_total{{kind="{kind}"}} 0.0' in text
    assert "shortlist_log_failures_total 2.0" in text
    assert change(client, **body).status_code == 200
    assert client.post("/v1/events", events, headers=KEY).status_code == 200
    text = client.get("/metrics").text
    for kind, count in (("upsert", 2), ("delete", 1), ("event", 1)):
        assert f'shortlist_changes_total{{kind="{kind}"}} {count}.0' in text
    size = (client.app.service.settings.state / "changes.log").stat().st_size
    assert f"shortlist_log_bytes {size}.0" in text


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands at its first item."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_a_clock_set_back_brings_no_candidate_back(writable: Callable[..., Any], clock: list[float]) -> None:
    client = writable()
    assert change(client, expire=[{"id": "a", "at": 1010.0}, {"id": "b", "at": 1030.0}]).status_code == 200
    clock[0] = 1020.0
    assert change(client, expire=[{"id": "c", "at": 5000.0}]).status_code == 200
    assert ids(client) == ["c", "d", "b"]
    clock[0] = 1000.0
    assert ids(client) == ["c", "d", "b"]
    again = writable()
    assert ids(again) == ["c", "d", "b"]
    clock[0] = 1040.0
    last = writable()  # what came due while no server ran
    assert ids(last) == ["c", "d"]
    last.app.service.writer._apply([])
    clock[0] = 1000.0
    assert ids(writable()) == ["c", "d"]


def test_a_candidate_expires_while_the_disk_is_full(
    writable: Callable[..., Any], clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = writable()
    assert change(client, expire=[{"id": "a", "at": 1010.0}]).status_code == 200

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    clock[0] = 1020.0
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert change(client, delete=["b"]).status_code == 503
    assert ids(client) == ["c", "d", "b"]
    client.app.service.writer._apply([])
    clock[0] = 1000.0
    assert ids(writable()) == ["c", "d", "b"]


def test_the_log_is_shortened_while_the_server_runs(writable: Callable[..., Any], tmp_path: Path) -> None:
    """1,200 times the same deletion are 2,400 of weight; the shortest log is one record of one entry."""
    client = writable()
    writer, changelog = client.app.service.writer, client.app.service.writer._log
    journal = changelog._journal
    log = client.app.service.log = Log(io.StringIO(), requests=False)
    for _ in range(1200):
        writer.changes.apply(deletion := {"op": "change", "at": 1.0, "upsert": [], "delete": ["a"], "expire": []})
        journal.append([deletion])
    assert journal.weight == 2400
    writer._apply([])
    assert changelog._shortening is not None
    assert change(client, delete=["b"]).status_code == 200  # meanwhile
    changelog._shortener.submit(int).result()
    while changelog._shortening is not None:
        writer._apply([])
    assert journal.weight == 4
    assert (tmp_path / "state" / "changes.log").stat().st_size == journal.size < 200
    assert [json.loads(line)["event"] for line in log._out.getvalue().splitlines()] == ["log_shortened"]
    assert change(client, delete=["d"]).status_code == 200
    assert ids(writable()) == ["c"]


def test_a_long_log_is_not_begun_to_be_shortened_at_the_end(writable: Callable[..., Any]) -> None:
    """As when a server is stopped in its first second, before it has looked at its log."""
    writer = writable().app.service.writer
    changelog = writer._log
    writer.changes.apply(deletion := {"op": "change", "at": 1.0, "upsert": [], "delete": ["a"], "expire": []})
    changelog._journal.append([deletion] * 1200)
    after = writable()  # the one before is closed
    assert changelog._shortening is None
    assert ids(after) == ["c", "d", "b"]


def test_expiries_are_not_looked_through_for_each_record() -> None:
    """Each of 2,000 expiries is looked at when it comes and when its time has come: not for each of 2,000 records."""

    class Counted(float):
        compared = 0

        def __le__(self, other: Any) -> bool:
            Counted.compared += 1
            return float.__le__(self, other)

    changes = Changes(Events(None))
    changes.id_column = "what"
    record = {"op": "change", "at": 0.0, "upsert": [], "delete": [], "expire": []}
    for number in range(2000):
        changes._expire_at(number, Counted(1000 + number))
    for _ in range(2000):
        changes.apply(record)
    assert Counted.compared == 2000  # the next one, for each record
    assert changes.expired(1499.0) == list(range(500))
    assert changes.next_expiry == 1500
    for _ in range(5):
        for number in range(500, 2000):
            changes._expire_at(number, 9000.0 - number)
    assert len(changes._queue) <= 1000 + 2 * 1500
    assert changes.expired(9000.0 - 1998) == [1999, 1998]


class Panic(BaseException):
    """What native code may raise: no Exception."""


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), Panic()])
@pytest.mark.parametrize("name", ["_apply", "_tried", "_with_journal", "_next", "activate"])
def test_whatever_goes_wrong_a_change_is_answered_and_the_next_is_made(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException
) -> None:
    client = writable()
    service = client.app.service
    place: Any = {"_with_journal": service.writer._log._journal, "activate": service}.get(name, service.writer)
    name = "append" if name == "_with_journal" else name
    assert change(client, delete=["a"]).status_code == 200

    def broken(*_: Any) -> Any:
        raise error

    async def once(*_: Any) -> Any:
        monkeypatch.undo()
        raise error

    if name == "_next":
        if isinstance(error, Panic):
            return
        monkeypatch.setattr("shortlist.serve.writer.PAUSE", 0.0)
        monkeypatch.setattr(service.writer, "_next", once)
        service.writer._running.cancel()
        client.loop.run_until_complete(asyncio.sleep(0))
        assert change(client, delete=["b"]).status_code == 200
    else:
        monkeypatch.setattr(place, name, broken)
        assert change(client, delete=["b"]).status_code == (500 if isinstance(error, Panic) else 503)
        monkeypatch.undo()
        assert change(client, delete=["b"]).status_code == 200
    assert ids(client) == ["c", "d"]
    assert ids(writable()) == ["c", "d"]


def test_no_change_is_acknowledged_for_another_that_failed(writable: Callable[..., Any]) -> None:
    """Two at once, the second of which ends in a bug of ours: neither is on the disk, and neither is acknowledged."""
    client = writable()
    writer = client.app.service.writer
    whole = writer._tried

    def broken(served: Any, record: Any) -> Any:
        if record["delete"] == ["b"]:
            raise RuntimeError("canary")
        return whole(served, record)

    writer._tried = broken

    async def both() -> list[Any]:
        send = client._client.post
        return await asyncio.gather(
            *(send("/v1/candidates", json={"delete": [one]}, headers=KEY) for one in ("a", "b"))
        )

    assert [reply.status_code for reply in client.loop.run_until_complete(both())] == [500, 500]
    assert ids(client) == ids(writable()) == ["c", "d", "b", "a"]


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
    reply = client.post("/v1/recommend", {"queries": [{"id": "u1"}], "k": 3, "exclude_seen": False})
    assert reply.status_code == 200, reply.text
    deadline = time.monotonic() + 120
    while "shortlist_recall_exact_items_total 3.0" not in (text := client.get("/metrics").text):
        assert time.monotonic() < deadline, text
    assert "shortlist_recall_found_items_total 2.0" in text


def test_however_many_requests_are_sampled_one_is_compared_at_a_time(
    clients: Callable[..., Any], approximate: Path
) -> None:
    """Exact answers of a large catalogue take longer than requests: what waits for one would be without a bound."""
    client = clients(Settings(sample=1.0), sl.Recommender(Loaded.read(approximate).served))
    service, held = client.app.service, threading.Event()
    whole, begun = service.batcher._answer, []

    def answer(group: Any, asks: Any) -> Any:
        if group.exact:
            begun.append(group)
            held.wait(60)
        return whole(group, asks)

    service._answer = answer
    body = {"queries": [{"id": "u1"}], "k": 3}
    for _ in range(10):
        assert client.post("/v1/recommend", body).status_code == 200
    assert service.background._work_queue.qsize() <= 1
    held.set()
    assert client.get("/v1/card").status_code == 200  # behind what was compared
    assert len(begun) == 1
    before = service._compare_after
    service._compare_after = before + 1e6
    assert client.post("/v1/recommend", body).status_code == 200
    service._compare_after = 0.0
    assert client.post("/v1/recommend", body).status_code == 200
    assert client.get("/v1/card").status_code == 200
    assert len(begun) == 2
    assert before > 0.0


def _facts(found: Any) -> dict[str, Any]:
    return {
        "query": found.query,
        "known": found.known,
        "ids": found.ids[:2],
        "scores": found.scores[:2],
        "reasons": None,
    }


# A log that was not read to its end, and one that is shortened at the end.


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_start_that_is_interrupted_leaves_the_log_as_it_is(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """As by Ctrl-C: not even the half that was read counts for the whole."""
    service = Service(Loaded.read(bundles / "one"), Settings(write_keys=(WRITE,), state=tmp_path))
    for one in "abc":
        applied(service, {"op": "change", "at": 1.0, "upsert": [], "delete": [one], "expire": []})
    service.close()
    log = (tmp_path / "changes.log").read_bytes()
    whole, count = Changes._apply, [0]

    def some(changes: Changes, *arguments: Any) -> None:
        count[0] += 1
        if count[0] == 3:
            raise error
        whole(changes, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(journal, "CHUNK", 100)
        patched.setattr(Changes, "_apply", some)
        with pytest.raises(error):
            Service(Loaded.read(bundles / "one"), Settings(write_keys=(WRITE,), state=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["changes.log"]
    assert (tmp_path / "changes.log").read_bytes() == log
    again = Service(Loaded.read(bundles / "one"), Settings(write_keys=(WRITE,), state=tmp_path))
    assert sorted(facts(again)) == ["d"]
    again.close()


def test_an_altered_log_is_refused_again_and_again_and_stays_as_it_is(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever restarts the server: it must not go on with what stands before the damage."""
    service = Service(Loaded.read(bundles / "one"), Settings(write_keys=(WRITE,), state=tmp_path))
    for one in "abc":
        applied(service, {"op": "change", "at": 1.0, "upsert": [], "delete": [one], "expire": []})
    service.close()
    path = tmp_path / "changes.log"
    log = path.read_bytes().replace(b'"delete":["b"]', b'"delete":["x"]')
    path.write_bytes(log)
    monkeypatch.setattr(journal, "CHUNK", 100)
    for _ in range(3):
        with pytest.raises(sl.BundleError, match="was altered"):
            Service(Loaded.read(bundles / "one"), Settings(write_keys=(WRITE,), state=tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["changes.log"]
        assert path.read_bytes() == log


def test_a_server_that_stops_while_its_log_is_shortened_has_not_failed(
    writable: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waiting:
        def __init__(self, last: Any, closing: Any) -> None:
            self.pause = closing.wait

    monkeypatch.setattr("shortlist.serve.change_log.Throttle", Waiting)
    client = writable()
    writer = client.app.service.writer
    log = client.app.service.log = Log(io.StringIO(), requests=False)
    for one in ["a"] * 1200 + ["b"]:
        writer.changes.apply(deletion := {"op": "change", "at": 1.0, "upsert": [], "delete": [one], "expire": []})
        writer._log._journal.append([deletion])
    writer._apply([])
    assert writer._log._shortening is not None
    assert change(client, delete=["d"]).status_code == 200
    again = writable()  # the one before is closed
    assert ids(again) == ["c"]
    assert log._out.getvalue() == ""
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["changes.log"]


def test_a_log_that_is_put_back_while_it_is_shortened_has_failed_nobody(
    writable: Callable[..., Any], tmp_path: Path
) -> None:
    client = writable()
    writer, changelog = client.app.service.writer, client.app.service.writer._log
    log = client.app.service.log = Log(io.StringIO(), requests=False)
    for _ in range(1200):
        writer.changes.apply(deletion := {"op": "change", "at": 1.0, "upsert": [], "delete": ["a"], "expire": []})
        changelog._journal.append([deletion])
    writer._apply([])
    (tmp_path / "state" / "changes.log").unlink()
    assert change(client, delete=["b"]).status_code == 200
    changelog._shortener.submit(int).result()
    while changelog._shortening is not None:
        writer._apply([])
    assert [json.loads(line)["event"] for line in log._out.getvalue().splitlines()] == ["log_restored"]
    assert ids(writable()) == ["c", "d"]


# Expiries, whatever is made together.


def applied(service: Service, *records: dict[str, Any]) -> list[Any]:
    """The outcomes of changes that are made together."""
    outcomes, loaded, _ = service.writer._apply([_Task(Future(), record=record) for record in records])
    if loaded is not None:
        service.activate(loaded)
    return outcomes


def facts(service: Service) -> dict[str, int | None]:
    """The candidates that are served, with their stock."""
    state = service.loaded.state
    alive = np.setdiff1d(np.arange(state.size), state.dead)
    return dict(zip(state.candidate_ids.take(alive), state.candidates["stock"][alive].to_list(), strict=True))


STEP = st.one_of(
    st.tuples(st.just("upsert"), st.sampled_from("abz"), st.integers(0, 3)),
    st.tuples(st.just("kind"), st.sampled_from("abz"), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.sampled_from("abz"), st.just(0)),
    st.tuples(st.just("expire"), st.sampled_from("abz"), st.integers(0, 12)),
    st.tuples(st.just("event"), st.just("a"), st.just(0)),
)


@pytest.fixture(scope="module")
def one_bundle(bundles: Path) -> Loaded:
    return Loaded.read(bundles / "one")


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.tuples(st.integers(-3, 3), st.lists(STEP, max_size=4)), max_size=5))
def test_what_is_served_is_what_the_next_start_serves(
    one_bundle: Loaded, tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[int, list[tuple[str, str, int]]]]
) -> None:
    """Whatever changes are made together, when they expire, and however the clock is set; in those who follow, too."""
    folder, now = tmp_path_factory.mktemp("state"), 5.0
    writes = Settings(write_keys=(WRITE,), state=folder)
    none = {"op": "change", "upsert": [], "delete": [], "expire": []}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "time", lambda: now)
        service = Service(one_bundle, writes)
        follower = Service(one_bundle, writes, follows=[])
        for passed, steps in batches:
            records: list[dict[str, Any]] = []
            for kind, one, value in steps:
                made = {
                    "upsert": {"upsert": [{"what": one, "stock": value}]},
                    "kind": {"upsert": [{"what": one, "kind": "x"}]},
                    "delete": {"delete": [one]},
                    "expire": {"expire": [{"id": one, "at": float(value)}]},
                    "event": {"op": "events", "events": [{"query": "ann", "candidate": one, "at": now}]},
                }[kind]
                records.append({**none, **made, "at": now})
            now += passed
            for each in (service, follower):
                assert not any(isinstance(outcome, Exception) for outcome in applied(each, *records))
        for each in (service, follower):
            applied(each)
        served = facts(service)
        assert facts(follower) == served
        service.close()
        again = Service(one_bundle, writes)
        assert facts(again) == served
        again.close()
        follower.close()


def test_a_candidate_that_expires_at_once_goes_whatever_is_made_with_it(
    writable: Callable[..., Any], clock: list[float]
) -> None:
    service = writable().app.service
    change = {"op": "change", "at": 1000.0, "upsert": [], "delete": [], "expire": []}
    event = {"op": "events", "at": 1000.0, "events": [{"query": "ann", "candidate": "d", "at": 1000.0}]}
    applied(service, {**change, "expire": [{"id": "a", "at": 900.0}]}, event, {**change, "delete": ["b"]})
    applied(service)
    assert sorted(facts(service)) == ["c", "d"]
    applied(
        service,
        {**change, "expire": [{"id": "c", "at": 900.0}, {"id": "d", "at": 900.0}]},
        {**change, "upsert": [{"what": "d", "stock": 1}]},
    )
    applied(service)
    assert facts(service) == {"d": 1}


@pytest.mark.parametrize("follows", [None, []])
def test_a_candidate_expires_soon_after_its_time_however_the_clock_is_set(
    bundles: Path, tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch, follows: list[Any] | None
) -> None:
    """As where a machine slept. Who writes looks each second at the least, and so does who follows."""
    service = Service(Loaded.read(bundles / "one"), Settings(write_keys=(WRITE,), state=tmp_path), follows=follows)
    applied(service, {"op": "change", "at": 1.0, "upsert": [], "delete": [], "expire": [{"id": "a", "at": 9000.0}]})
    waits: list[float | None] = []

    async def wait_for(waiting: Any, timeout: float | None) -> None:
        waiting.close()
        waits.append(timeout)
        clock[0] = 9001.0
        raise asyncio.TimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "wait_for", wait_for)
        assert asyncio.run(service.writer._next()) == []
    assert waits == [1.0]
    applied(service)
    assert sorted(facts(service)) == ["b", "c", "d"]
    service.close()


# One that fails, and those that are made with it.


@pytest.mark.parametrize("error", [RuntimeError("canary"), Panic()])
@pytest.mark.parametrize("what", ["loaded", "look", "renew"])
def test_changes_are_made_and_acknowledged_whatever_fails_with_them(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, what: str, error: BaseException
) -> None:
    """Another bundle that cannot take the changes, a look at them that fails, and a new index that does not fit."""
    client = writable()
    service = client.app.service

    def broken(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(service.writer, "_with_changes", broken)
    deletion = {"op": "change", "at": 1.0, "upsert": [], "delete": ["a"], "expire": []}
    failing = {
        "loaded": _Task(Future(), loaded=service.loaded),
        "look": _Task(Future(), look=broken),
        "renew": _Task(Future(), renew=broken, of=service.loaded.bundle),
    }[what]
    outcomes, loaded, records = service.writer._apply([_Task(Future(), record=deletion), failing])
    assert tuple(outcomes[0])[:3] == (0, 1, 3)
    assert isinstance(outcomes[1], RuntimeError)
    assert records == [deletion]
    service.activate(loaded)
    assert ids(client) == ids(writable()) == ["c", "d", "b"]


def test_a_change_is_acknowledged_where_its_index_cannot_be_looked_at(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = writable()
    log = client.app.service.log = Log(io.StringIO(), requests=False)

    def broken(*_: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(client.app.service.writer, "_look", broken)
    assert change(client, delete=["a"]).status_code == 200
    assert ids(client) == ["c", "d", "b"]
    assert [json.loads(line)["event"] for line in log._out.getvalue().splitlines()] == ["writer_failed"]


def kept(loaded: Loaded) -> set[tuple[str, int, str]]:
    """What is kept by what answers: values that were computed when they were first needed."""
    parts: list[Any] = []
    for served in (loaded.served, *loaded.served.others):
        snapshot = served.index._now()  # type: ignore[attr-defined]
        parts += [served, served.state, served.state.near, snapshot]
        for block in (snapshot.base, snapshot.extra):
            parts += [block, block.positions, block.equal]
    if (fold_in := vars(loaded.served).get("fold_in")) is not None:
        parts.append(fold_in)
    found = set()
    for number, part in enumerate(parts):
        found |= {(type(part).__name__, number, name) for name in (vars(part) if hasattr(part, "__dict__") else ())}
    return found


@pytest.mark.parametrize("index", [BruteForce(), BruteForce("int8"), Quantized()], ids=repr)
@pytest.mark.parametrize("events", [False, True])
def test_the_first_list_after_a_change_computes_nothing_that_the_next_one_does_not(
    index: Any, events: bool, tmp_path: Path, clients: Callable[..., Any]
) -> None:
    """The thread that makes changes does, before the list: what is computed once grows with the candidates."""
    people, items = [f"p{n % 40}" for n in range(400)], [f"i{n % 100}" for n in range(400)]
    data = sl.Dataset({"who": people, "what": items}, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=8), sl.Tower(sl.StringLookup("what"), dim=8))
    model.prepare(data)
    recommender = sl.Recommender(model.eval(), index=index, seen=data)
    client = clients(Settings(write_keys=(WRITE,), state=tmp_path / "state", sample=0.0), recommender)
    service = client.app.service
    service.writer._look = lambda *arguments: None  # it measures in a thread of its own
    changes: list[dict[str, Any]] = [
        {"upsert": [{"what": f"new{n}"} for n in range(30)]},
        {"upsert": [{"what": "i3"}], "delete": ["i4"]},
        {"delete": [f"new{n}" for n in range(20)]},
        {"upsert": [{"what": f"more{n}"} for n in range(1500)]},
    ]
    for body in changes:
        if events:  # what a deletion needs for folding in anew has a thread of its own, see ``prepare_fold_in``
            body.pop("delete", None)
            chosen = {"events": [{"query": "p1", "candidate": "i9"}]}
            assert client.post("/v1/events", chosen, headers=KEY).status_code == 200
        assert not body or change(client, **body).status_code == 200
        before = kept(service.loaded)
        for query in ("p1", "p2"):
            assert client.post("/v1/recommend", {"queries": [{"id": query}]}).status_code == 200
        assert kept(service.loaded) - before == set()


@pytest.mark.parametrize("deleted", [[], [0], [50], [0, 1, 2, 7], list(range(99))], ids=len)
def test_a_list_with_a_history_is_rehearsed_whichever_candidates_were_deleted(
    deleted: list[int], tmp_path: Path, clients: Callable[..., Any]
) -> None:
    people, items = [f"p{n % 40}" for n in range(400)], [f"i{n % 100}" for n in range(400)]
    data = sl.Dataset({"who": people, "what": items}, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=8), sl.Tower(sl.StringLookup("what"), dim=8))
    model.prepare(data)
    recommender = sl.Recommender(model.eval(), index=BruteForce(), seen=data)
    client = clients(Settings(write_keys=(WRITE,), state=tmp_path / "state", sample=0.0), recommender)
    service = client.app.service
    rows = service.loaded.state.candidate_ids.ids
    given = [rows[row] for row in deleted]
    assert change(client, upsert=[{"what": "i9"}], delete=[one for one in given if one != "i9"]).status_code == 200
    with_history = {"queries": [{"id": "p1", "history": ["i9"]}]}
    assert client.post("/v1/recommend", with_history).status_code == 200  # what folding in needs is made from here on
    for body in ({"upsert": [{"what": f"new{n}"} for n in range(30)]}, {"upsert": [{"what": "new3"}]}):
        assert change(client, **body).status_code == 200
        before = kept(service.loaded)
        assert client.post("/v1/recommend", with_history).status_code == 200
        assert kept(service.loaded) - before == set()


@pytest.mark.parametrize("error", [RuntimeError("no list"), MemoryError(), Panic()])
def test_a_change_is_made_although_no_list_can_be_rehearsed(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    client = writable()

    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("shortlist.serve.writer.pipeline.recommend", fail)
        assert change(client, delete=["c"]).status_code == 200
    assert "c" not in ids(client)
