"""The edge: keys, limits, mistakes of our own; whatever comes, one reply that says what is wrong and repeats nothing."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.serve.paces import Steady

from shortlist.serve import Settings
from shortlist.serve.logs import Log
from shortlist.serve.settings import Limits

READ, WRITE = "r" * 20, "w" * 20
GOOD = b'{"queries":[{"id":"ann"}]}'


def test_keys(clients: Callable[..., Any], tmp_path: Any) -> None:
    client = clients(Settings(keys=(READ,), write_keys=(WRITE,), state=tmp_path))

    def status(**headers: str | bytes) -> int:
        return int(client.ask("POST", "/v1/recommend", content=GOOD, headers=headers).status_code)

    assert status() == 401
    assert status(authorization=f"Bearer {READ}") == 200
    assert status(authorization=f"Bearer {READ[:-1]}") == 401
    assert status(authorization=f"Basic {READ}") == 401
    assert status(**{"x-api-key": READ}) == 200
    assert status(**{"x-api-key": WRITE}) == 200
    assert status(**{"x-api-key": "é".encode()}) == 401
    assert client.get("/healthz").status_code == 200
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"x-api-key": READ}).status_code == 200


def test_a_reading_key_may_not_write(clients: Callable[..., Any], tmp_path: Any) -> None:
    client = clients(Settings(keys=(READ,), write_keys=(WRITE,), state=tmp_path))
    for path in ("/v1/candidates", "/v1/events"):

        def status(key: str | None, path: str = path) -> int:
            headers = {} if key is None else {"x-api-key": key}
            return int(client.ask("POST", path, content=b"{", headers=headers).status_code)

        assert status(READ) == 403
        assert status(None) == 401
        assert status("x" * 20) == 401
        assert status(WRITE) == 400


def test_a_page_under_another_name_is_refused(clients: Callable[..., Any]) -> None:
    """DNS rebinding: the browser sends the name of the stranger's page."""
    client = clients(Settings(hosts=("localhost", "127.0.0.1", "[::1]")))
    for path in ("/v1/queries", "/v1/card", "/", "/healthz", "/metrics", "/openapi.json"):

        def status(host: str, path: str = path) -> int:
            return int(client.get(path, headers={"host": host}).status_code)

        assert status("evil.example") == 421
        assert status("evil.example:8080") == 421
        assert status("localhost.evil.example") == 421
        assert status("127.0.0.1.evil.example:80") == 421
        assert status("") == 421
        assert [status(host) for host in ("localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]")] == [
            200
        ] * 5
    assert client.ask("POST", "/v1/recommend", content=GOOD).status_code == 421  # host: test


def test_one_too_many_is_a_503_with_retry_after(clients: Callable[..., Any]) -> None:
    client = clients(Settings(limits=Limits(under_way=5)))
    replies = client.together([("/v1/recommend", {"queries": [{"id": "ann"}]})] * 40)
    codes = [reply.status_code for reply in replies]
    assert set(codes) == {200, 503}
    assert codes.count(200) >= 5
    assert all(reply.headers["retry-after"] == "1" for reply in replies if reply.status_code == 503)
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}]}).status_code == 200


def test_a_queue_that_would_take_too_long_is_a_503(clients: Callable[..., Any]) -> None:
    client = clients(Settings(limits=Limits(wait_seconds=0.5)))
    client.app.service.batcher.paces = Steady(0.1)  # seconds a query: the sixth would wait for 0.6
    replies = client.together([("/v1/recommend", {"queries": [{"id": "ann"}], "k": k}) for k in range(1, 21)])
    assert {reply.status_code for reply in replies} == {200, 503}


def test_a_reply_longer_than_all_may_be_is_refused(clients: Callable[..., Any]) -> None:
    client = clients(Settings(limits=Limits(unsent=200)))
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}], "k": 1}).status_code == 200
    reply = client.post("/v1/recommend", {"queries": [{"id": "ann"}] * 10})
    assert reply.status_code == 422
    assert "at most 200 are sent" in reply.json()["detail"]


def test_a_bug_is_a_500_that_is_logged_without_what_came(clients: Callable[..., Any]) -> None:
    client = clients()
    out = io.StringIO()
    client.app.service.log = Log(out)

    def broken(*_: Any) -> Any:
        raise RuntimeError("canary-message")

    client.app.service.batcher._answer = broken
    reply = client.post("/v1/recommend", {"queries": [{"id": "canary-id"}]})
    assert reply.status_code == 500
    assert "canary" not in reply.text
    client.app.service.log.flush()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["error", "request"]
    assert lines[0]["kind"] == "RuntimeError"
    assert lines[0]["id"] == reply.headers["x-request-id"] == lines[1]["id"]
    assert "canary" not in out.getvalue()


def test_twenty_canaries_come_back_nowhere(clients: Callable[..., Any]) -> None:
    """What a request brings, in twenty places, is in no error, no log line and no metric."""
    client = clients()
    out = io.StringIO()
    client.app.service.log = Log(out)
    query = {"id": "ann"}
    bodies: list[Any] = [
        {"canary1": 1},
        {"queries": [{"id": "ann", "canary2": 1}]},
        {"queries": [{"id": ["canary3"]}]},
        {"queries": [{"id": "ann", "features": {"canary4": 1}}]},
        {"queries": [{"id": "ann", "features": {"canary5": {"x": 1}}}]},
        {"queries": [{"id": "ann", "history": [["canary6"]]}]},
        {"queries": [{"id": "ann", "exclude": [["canary7"]]}]},
        {"queries": [query], "k": "canary8"},
        {"queries": [query], "columns": ["canary9"]},
        {"queries": [query], "where": "canary10 = 'canary11'"},
        {"queries": [query], "where": "stock = 'canary12' +"},
        {"queries": [query], "allow": "canary13"},
        {"queries": "canary14"},
        "canary15",
    ]
    replies = [client.post("/v1/recommend", body) for body in bodies]
    replies.append(client.ask("POST", "/v1/recommend", content=b'{"canary16'))
    replies.append(client.get("/v1/history", params={"canary17": "x"}))
    replies.append(client.get("/v1/map", params={"column": "canary18"}))
    replies.append(client.get("/canary19"))
    replies.append(client.post("/v1/similar", {"candidates": ["canary20"]}))
    headers = {
        "x-request-id": "canary 21",
        "traceparent": "canary21",
        "content-encoding": "canary22",
        "user-agent": "canary23",
    }
    replies.append(client.ask("POST", "/v1/recommend", content=GOOD, headers=headers))
    for reply in replies:
        assert 400 <= reply.status_code < 500, reply.text
        assert "canary" not in reply.text + str(reply.headers), reply.text
    assert client.post("/v1/recommend", {"queries": [{"id": "canary24"}]}).status_code == 200
    client.app.service.log.flush()
    assert "canary" not in out.getvalue() + client.get("/metrics").text


class Panic(BaseException):
    """What native code may raise: no Exception."""


def test_whatever_ends_an_answer_it_is_a_500_and_the_next_is_answered(clients: Callable[..., Any]) -> None:
    """A 503 where the system has no thread for it."""
    client = clients()
    service = client.app.service
    whole, body = service.batcher._answer, {"queries": [{"id": "ann"}]}

    def broken(*_: Any) -> Any:
        raise Panic

    def no_thread(*_: Any) -> Any:
        raise RuntimeError("can't start new thread")

    thread = service.turns._thread
    submit = thread.submit
    for pace in (0.0, 1.0):  # on the event loop, and in a thread
        service.batcher.paces = Steady(pace)
        service.batcher._answer = broken
        assert client.post("/v1/recommend", body).status_code == 500
        service.batcher._answer = whole
        thread.submit = no_thread
        assert client.post("/v1/recommend", body).status_code == (503 if pace else 200)
        thread.submit = submit
        assert client.post("/v1/recommend", body).status_code == 200


def test_ready_means_that_requests_are_answered_and_none_waits_for_good(clients: Callable[..., Any]) -> None:
    """An answer that never comes: not ready after 20 s, a 503 after 60, and then ready again."""
    client = clients()
    app, held = client.app, asyncio.Event()

    async def stuck(*_: Any) -> Any:
        await held.wait()

    async def talk() -> None:
        app.service.recommend = stuck
        asked = asyncio.create_task(client._client.post("/v1/recommend", content=GOOD))
        while not app._in_progress:
            await asyncio.sleep(0)
        began = next(iter(app._in_progress.values()))
        assert app.progressing(began + 19)
        assert not app.progressing(began + 21)
        app.service.progress = lambda now: app.progressing(began + 21)
        assert (await client._client.get("/readyz")).status_code == 503
        app.cancel_overdue(began + 59)
        assert app._in_progress
        app.cancel_overdue(began + 61)
        reply = await asked
        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "5"
        assert (await client._client.get("/readyz")).status_code == 200

    client.loop.run_until_complete(talk())


def test_the_callers_request_id_and_trace_come_back(clients: Callable[..., Any]) -> None:
    client = clients()
    log = client.app.service.log = Log(io.StringIO())
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

    def headers_of(path: str, **headers: str | bytes) -> Any:
        return client.ask("POST", path, content=GOOD, headers=headers).headers

    came = headers_of("/v1/recommend", **{"x-request-id": "a-1_2.3:4/5=6+7", "traceparent": f"00-{trace}-{parent}-01"})
    assert came["x-request-id"] == "a-1_2.3:4/5=6+7"
    version, same, own, flags = came["traceparent"].split("-")
    assert (version, same, flags) == ("00", trace, "01")
    assert own != parent
    assert len(own) == 16
    assert int(own, 16)
    for odd in ("", "a b", "a\tb", "é".encode(), "x" * 129, 'a"b', "a;b"):
        given = headers_of("/v1/recommend", **{"x-request-id": odd})["x-request-id"]
        assert given.startswith(client.app._instance)
    for odd in (f"00-{'0' * 32}-{parent}-01", f"00-{trace}-{'0' * 16}-01", f"01-{trace}-{parent}-01", "canary"):
        assert "traceparent" not in headers_of("/v1/recommend", traceparent=odd)
    assert headers_of("/nowhere", **{"x-request-id": "mine"})["x-request-id"] == "mine"
    log.flush()
    first = json.loads(log._out.getvalue().splitlines()[0])
    assert (first["id"], first["trace"]) == ("a-1_2.3:4/5=6+7", trace)


def test_few_requests_with_long_bodies_are_answered_at_once(clients: Callable[..., Any]) -> None:
    """What is made of a body of a megabyte takes twenty: two at a time, and short requests do not wait for them."""
    client = clients()
    service, at_once, order = client.app.service, [0, 0], []
    answer = service.recommend

    async def counted(asked: Any, *arguments: Any) -> None:
        long = len(asked.request.queries) > 1
        at_once[0] += long
        at_once[1] = max(at_once)
        await answer(asked, *arguments)
        at_once[0] -= long
        order.append(long)

    service.recommend = counted
    long = {"queries": [{"id": "ann", "exclude": ["c"] * 9_000}] * 2}
    assert len(json.dumps(long)) > 1 << 16
    replies = client.together([("/v1/recommend", long)] * 6 + [("/v1/recommend", {"queries": [{"id": "ann"}]})])
    assert [reply.status_code for reply in replies] == [200] * 7
    assert at_once == [0, 2]
    assert order.index(False) < 3


def test_a_reply_that_nobody_was_there_for_counts_as_499(client: Any) -> None:
    scope = {"type": "http", "method": "GET", "path": "/v1/card", "query_string": b"", "headers": [(b"host", b"test")]}
    client.loop.run_until_complete(client.app.answer(scope, None, lambda *reply: False))
    assert 'shortlist_requests_total{route="/v1/card",status="499"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("compressed", [False, True])
def test_few_requests_with_long_bodies_wait(clients: Callable[..., Any], compressed: bool) -> None:
    """Of forty 2 are answered, 32 wait and take nothing of the thread's time, and 6 are refused; a short one is answered."""
    client = clients()
    service, held, stopped = client.app.service, asyncio.Event(), []
    answer, content = service.recommend, json.dumps({"queries": [{"id": "ann", "exclude": ["c"] * 9_000}] * 2}).encode()
    headers = {"content-encoding": "gzip"} if compressed else {}
    content = gzip.compress(content) if compressed else content

    async def stuck(asked: Any, *arguments: Any) -> None:
        if len(asked.request.queries) > 1:
            stopped.append(asked)
            with service.turns.off_loop():
                await held.wait()
        await answer(asked, *arguments)

    async def talk() -> list[Any]:
        service.recommend = stuck
        asking = client._client.post
        long = [asyncio.create_task(asking("/v1/recommend", content=content, headers=headers)) for _ in range(40)]
        while sum(one.done() for one in long) < 6:
            await asyncio.sleep(0)
        refused = [one.result() for one in long if one.done()]
        assert [(one.status_code, one.headers["retry-after"]) for one in refused] == [(503, "1")] * 6
        assert (await asking("/v1/recommend", content=GOOD)).status_code == 200
        while len(stopped) < 2:
            await asyncio.sleep(0)
        assert sum(one.done() for one in long) == 6
        assert service.turns._free.is_set()
        held.set()
        return [one.status_code for one in await asyncio.gather(*long)]

    codes = client.loop.run_until_complete(talk())
    assert (codes.count(200), codes.count(503)) == (34, 6)
    assert 'shortlist_refused_total{reason="wait"} 6.0' in client.get("/metrics").text
    assert client.app._large.waiting == client.app._large.inside == 0
