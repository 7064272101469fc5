"""The edge: bodies, keys, methods, limits; whatever comes, one reply that says what is wrong and repeats nothing."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from shortlist.serve import Settings
from shortlist.serve.settings import Limits

READ, WRITE = "r" * 20, "w" * 20
GOOD = b'{"queries":[{"id":"ann"}]}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b'{"queries":[{"id":"\xc3\x28"}]}',
        b'{"queries":[{"id":"\\ud800"}]}',
        b'{"queries":[{"id":NaN}]}',
        b'{"queries":[{"id":Infinity}]}',
        b'{"queries":[{"id":1e999}]}',
        b'{"queries":[{"id":"ann"}],"k":1' + b"0" * 400 + b"}",
        b'{"queries":[{"id":123456789012345678901234567890}]}',
        b'{"queries":[{"id":"ann","features":{"x":1e400}}]}',
        b"[" * 100_000,
        b'{"queries":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"queries":[{"id":"ann","features":{"x":' + b"[" * 3_000 + b"]" * 3_000 + b"}}]}",
        GOOD + b"x",
        GOOD + b"\x00",
        b'{"queries":"ann"}',
    ],
    ids=range(18),
)
def test_bad_bodies_are_clear_refusals(client: Any, body: bytes) -> None:
    reply = client.ask("POST", "/v1/recommend", content=body)
    assert reply.status_code in (400, 422), reply.text
    assert reply.json()["detail"]
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/recommend", b'{"queries":[{"id":"ann"}],"k":1,"k":2}', "$.k"),
        ("/v1/recommend", b'{"queries":[{"id":"ann"},{"id":"bob","id":"bob"}]}', "$.queries[1].id"),
        ("/v1/recommend", b'{"queries":[{"id":"ann"}],"k":1,"\\u006b":2}', "$.k"),
        ("/v1/recommend", b'{"queries":[{"features":{"canary":1,"canary":2}}]}', "$.queries[0].features[…]"),
        ("/v1/similar", b'{"candidates":["a"],"candidates":["b"]}', "$.candidates"),
        ("/v1/models/one:predict", b'{"instances":["ann"],"instances":["bob"]}', "$.instances"),
    ],
)
def test_a_key_that_comes_twice_is_refused(client: Any, path: str, body: bytes, field: str) -> None:
    reply = client.ask("POST", path, content=body)
    assert reply.status_code == 422, reply.text
    assert reply.json()["detail"] == "duplicate key in a JSON object."
    assert reply.json()["field"] == field
    assert "canary" not in reply.text


def test_the_same_key_in_two_objects_is_fine(client: Any) -> None:
    assert client.ask("POST", "/v1/recommend", content=b'{"queries":[{"id":"ann"},{"id":"ann"}]}').status_code == 200


def test_compressed_bodies_are_read_and_bounded(clients: Callable[..., Any]) -> None:
    client = clients(Settings(limits=Limits(body=10_000)))

    def send(content: bytes, coding: str) -> Any:
        return client.ask("POST", "/v1/recommend", content=content, headers={"content-encoding": coding})

    assert send(gzip.compress(GOOD), "gzip").status_code == 200
    assert send(zlib.compress(GOOD), "deflate").status_code == 200
    assert send(GOOD, "identity").status_code == 200
    assert send(gzip.compress(b" " * 5_000_000), "gzip").status_code == 413
    assert send(gzip.compress(GOOD)[:-4], "gzip").status_code == 400
    assert send(gzip.compress(GOOD) * 2, "gzip").status_code == 400
    assert send(GOOD, "gzip").status_code == 400
    assert send(GOOD, "br").status_code == 415


def test_paths_and_methods(client: Any) -> None:
    assert client.get("/nowhere").status_code == 404
    reply = client.get("/v1/recommend")
    assert reply.status_code == 405
    assert reply.headers["allow"] == "POST"
    assert client.ask("DELETE", "/healthz").status_code == 405
    assert client.ask("HEAD", "/healthz").status_code == 200
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "bundle": client.app.service.loaded.bundle}
    client.app.service.ready = False
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


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


@pytest.mark.parametrize(
    "options",
    [
        {"keys": ("short",)},
        {"keys": ("é" * 20,)},
        {"keys": (READ,), "write_keys": (READ,), "state": "x"},
        {"write_keys": (WRITE,)},
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any]) -> None:
    from shortlist.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        Settings(**options)
    assert READ not in str(caught.value)
    assert READ not in repr(Settings(keys=(READ,)))


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
    client.app.service.batcher._pace = 0.1  # seconds a query: the sixth would wait for 0.6
    replies = client.together([("/v1/recommend", {"queries": [{"id": "ann"}], "k": k}) for k in range(1, 21)])
    assert {reply.status_code for reply in replies} == {200, 503}


def test_a_bug_is_a_500_that_is_logged_without_what_came(clients: Callable[..., Any]) -> None:
    import io

    from shortlist.serve.logs import Log

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
    import io

    from shortlist.serve.logs import Log

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
    headers = {"x-request-id": "canary21", "content-encoding": "canary22", "user-agent": "canary23"}
    replies.append(client.ask("POST", "/v1/recommend", content=GOOD, headers=headers))
    for reply in replies:
        assert 400 <= reply.status_code < 500, reply.text
        assert "canary" not in reply.text + str(reply.headers), reply.text
    assert client.post("/v1/recommend", {"queries": [{"id": "canary24"}]}).status_code == 200
    client.app.service.log.flush()
    assert "canary" not in out.getvalue() + client.get("/metrics").text


def test_metrics_count(client: Any) -> None:
    client.post("/v1/recommend", {"queries": [{"id": "ann"}, {"id": "eve"}]})
    client.post("/v1/recommend", {"queries": []})
    text = client.get("/metrics").text
    assert 'shortlist_requests_total{route="/v1/recommend",status="200"} 1.0' in text
    assert 'shortlist_requests_total{route="/v1/recommend",status="422"} 1.0' in text
    assert "shortlist_queries_total 2.0" in text
    assert "shortlist_unknown_queries_total 1.0" in text
    assert "shortlist_candidates 4.0" in text
    assert f'shortlist_bundle{{id="{client.app.service.loaded.bundle}"}} 1.0' in text
