"""The client of ``shortlist serve``: against the real server, and against one that misbehaves."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.serve.running import Running

import shortlist as sl
from shortlist.client import Client, ServerError

KEY = "write-key-of-the-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Users like films of their own parity; a write key, and a state folder."""
    folder = tmp_path_factory.mktemp("client")
    log = [
        {"user": user, "film": film}
        for user in range(6)
        for film in range(10)
        if (user + film) % 2 == 0 and film != user
    ]
    films = {"film": list(range(11)), "title": [f"film {n}" for n in range(11)]}
    data = sl.Dataset(log, "user", "film", candidates=films)
    model = sl.Mixture([sl.popularity(data), sl.Cooccurrence().fit(data)], data, weights=[0.1, 0.9])
    sl.Recommender(model, seen=data).save(folder / "films.shortlist")
    running = Running(folder / "films.shortlist", "--state", folder / "state", SHORTLIST_WRITE_KEYS=KEY)
    yield running
    running.stop()


def test_lists(server: Running) -> None:
    with Client(server.url) as client:
        assert client.ready()
        (first, second) = client.recommend([0, {"id": 99, "history": [1, 3]}], k=2, columns=["title"], explain=True)
        assert (first.id, first.known, second.known) == (0, True, False)
        assert first.items[0].columns == {"title": f"film {first.ids[0]}"}
        assert {one % 2 for one in second.ids} == {1}
        assert second.items[0].reason["because"]
        assert first.scores == sorted(first.scores, reverse=True)
        assert client.recommend([0], where="title = 'film 0'")[0].ids == [0]
        (alike,) = client.similar([4], k=2)
        assert {one % 2 for one in alike.ids} == {0}
        ((one, none),) = client.score([0], [2, 77])
        assert isinstance(one, float)
        assert none is None
        assert client.about()["candidate_column"] == "film"


def test_changes(server: Running) -> None:
    client = Client(server.url, key=KEY, timeout=120)  # the first change imports torch
    assert client.upsert([{"film": 50, "title": "new"}]) == 12
    assert client.delete([50]) == 11
    before = client.recommend([1], k=1)[0].ids
    assert client.record([(1, before[0])]) == 1
    assert before[0] not in client.recommend([1], k=11)[0].ids


def test_errors_say_what_the_server_says(server: Running) -> None:
    client = Client(server.url)
    with pytest.raises(ServerError, match="422") as error:
        client.recommend([0], where="titel = 'x'")
    assert "title" in str(error.value)
    with pytest.raises(ServerError, match="401") as error:
        client.delete([1])
    assert error.value.status == 401
    with pytest.raises(sl.ConfigError, match="not the address"):
        Client("127.0.0.1:8080")


def test_many_threads(server: Running) -> None:
    client = Client(server.url)
    expected = [client.recommend([user])[0].ids for user in range(6)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda user: client.recommend([user])[0].ids, list(range(6)) * 10))
    assert found == expected * 10


def scripted(*replies: bytes | None) -> tuple[str, list[int]]:
    """The address of a server that gives these replies, one a request; None closes the connection instead."""
    listener = socket.create_server(("127.0.0.1", 0))
    counted: list[int] = []

    def run() -> None:
        connection: socket.socket | None = None
        for reply in replies:
            while True:
                if connection is None:
                    connection, _ = listener.accept()
                if request_of(connection):
                    break
                connection = None
            counted.append(1)
            if reply is None:
                connection.close()
                connection = None
            else:
                connection.sendall(reply)
        listener.close()

    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", counted


def request_of(connection: socket.socket) -> bytes:
    """A request with its body, or nothing where the other side has gone."""
    content = b""
    while b"\r\n\r\n" not in content:
        part = connection.recv(65536)
        if not part:
            return b""
        content += part
    head, _, body = content.partition(b"\r\n\r\n")
    size = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    while len(body) < size:
        body += connection.recv(65536)
    return head


def reply(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


EMPTY = reply("200 OK", b'{"results": []}')
FULL = reply("503 Service Unavailable", b'{"detail": "The server is overloaded.", "hint": "wait"}', "Retry-After: 0")
RECORDED = reply("200 OK", b'{"recorded": 1}')


NOTHING: dict[str, tuple[tuple[list[int], ...], object]] = {
    "recommend": (([],), []), "similar": (([],), []), "score": (([], [1]), []), "record": (([],), 0),
}  # fmt: skip


@pytest.mark.parametrize("method", NOTHING)
def test_nothing_is_answered_without_a_request(method: str) -> None:
    arguments, expected = NOTHING[method]
    assert getattr(Client("http://127.0.0.1:9"), method)(*arguments) == expected  # where nobody listens


def test_no_change_leaves_the_catalogue_as_it_is(server: Running) -> None:
    client = Client(server.url, key=KEY)
    size = client.about()["candidates"]
    assert client.upsert([]) == client.delete([]) == size
    assert client.score([0], []) == [[]]


def test_a_refusal_is_asked_again() -> None:
    url, counted = scripted(FULL, FULL, EMPTY)
    assert Client(url).recommend([1]) == []
    assert len(counted) == 3


def test_a_refusal_is_an_error_when_the_time_is_over() -> None:
    url, counted = scripted(FULL, EMPTY)
    with pytest.raises(ServerError, match="overloaded") as error:
        Client(url, wait=-1).recommend([1])
    assert (error.value.status, error.value.hint, len(counted)) == (503, "wait", 1)


@pytest.mark.parametrize(
    ("ask", "requests"),
    [(lambda client: client.recommend([1]), 2), (lambda client: client.record([(1, 2)]), 1)],
    ids=["a read", "an event"],
)
def test_a_lost_connection(ask: Callable[[Client], object], requests: int) -> None:
    """A read is sent again; an event is not, for it may have arrived."""
    url, counted = scripted(None, EMPTY if requests == 2 else RECORDED)
    client = Client(url)
    if requests == 2:
        assert ask(client) == []
    else:
        with pytest.raises(ServerError, match="no reply") as error:
            ask(client)
        assert error.value.status == 0
    assert len(counted) == requests


def test_what_is_no_problem_of_ours() -> None:
    url, _ = scripted(reply("502 Bad Gateway", b"<html>a proxy"))
    with pytest.raises(ServerError, match="502: <html>a proxy"):
        Client(url).recommend([1])


def test_nobody_there(tmp_path: Path) -> None:
    client = Client("http://127.0.0.1:9")
    assert not client.ready()
    with pytest.raises(ServerError, match="no reply"):
        client.about()


LISTS: dict[str, Callable[[Client, object], object]] = {
    "recommend": lambda client, given: client.recommend(given),
    "recommend, columns": lambda client, given: client.recommend([1], columns=given),
    "similar": lambda client, given: client.similar(given),
    "similar, columns": lambda client, given: client.similar([1], columns=given),
    "score, queries": lambda client, given: client.score(given, [1]),
    "score, candidates": lambda client, given: client.score([1], given),
    "record": lambda client, given: client.record(given),
    "upsert": lambda client, given: client.upsert(given),
    "delete": lambda client, given: client.delete(given),
}


@pytest.mark.parametrize("given", ["xyz", b"xyz", None, 7, {"xyz": 1}, pl.DataFrame({"xyz": [1]})])
@pytest.mark.parametrize("call", LISTS)
def test_what_is_no_list_is_sent_to_nobody(call: str, given: object) -> None:
    """``delete("xyz")`` deleted the candidates x, y and z."""
    with pytest.raises(sl.ConfigError, match=r"a list of .* was expected") as error:
        LISTS[call](Client("http://127.0.0.1:9"), given)
    assert not isinstance(given, str) or error.value.hint == "for one: ['xyz']"


@pytest.mark.parametrize("given", [b"u1", None, float("nan"), True, 1.5, "\ud800", 2**70, (1, 2, 3), ("u1",), "ab"])
@pytest.mark.parametrize("call", ["recommend", "similar", "score, queries", "score, candidates", "record", "delete"])
def test_what_is_no_id_is_sent_to_nobody(call: str, given: object) -> None:
    if given == "ab" and call != "record":
        return  # an id; of pairs, its characters would be taken for two
    with pytest.raises(sl.ConfigError, match=r"\[0\]"):
        LISTS[call](Client("http://127.0.0.1:9"), [given])


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda client: client.recommend([1], k=math.nan), "k is nan"),
        (lambda client: client.recommend([1], where=b"x"), "where is b'x'"),
        (lambda client: client.recommend([1], rerank={"diversify": math.inf}), "rerank.diversify is inf"),
        (lambda client: client.recommend([{"id": 1, "features": {"age": math.nan}}]), "queries[0].features.age is nan"),
        (lambda client: client.upsert([{"film": 1, "tags": ["a", b"b"]}]), "upsert[0].tags[1] is b'b'"),
        (lambda client: client.upsert([{"film": 1, "year": {1, 2}}]), "upsert[0].year is {1, 2}"),
    ],
)
def test_values_that_would_arrive_as_others_are_refused(ask: Callable[[Client], object], field: str) -> None:
    """NaN became null, bytes base64."""
    with pytest.raises(sl.ConfigError) as error:
        ask(Client("http://127.0.0.1:9"))
    assert error.value.message.startswith(field)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://x",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://a b",
        "http://x?y",
        None,
        b"http://x",
    ],
)
def test_what_is_no_address(url: object) -> None:
    with pytest.raises(sl.ConfigError, match="not the address"):
        Client(url)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [{"key": "a\r\nb"}, {"key": b"a"}, {"key": "\u00e9"}, {"timeout": 0}, {"timeout": math.nan}, {"wait": "1"}],
)
def test_options_that_cannot_work(options: Mapping[str, Any]) -> None:
    with pytest.raises(sl.ConfigError, match="Client got"):
        Client("http://127.0.0.1:9", **options)


def test_numpy_ids(server: Running) -> None:
    client = Client(server.url)
    expected = client.recommend([0, 1], k=2)
    assert client.recommend([np.int64(0), np.int32(1)], k=np.int64(2)) == expected
    assert client.recommend(np.arange(2), k=2) == expected
    assert client.recommend(pl.Series([0, 1]), k=2) == expected


def test_a_reply_of_another_server() -> None:
    url, _ = scripted(reply("200 OK", b"<html>"), reply("200 OK", b'{"results": 7}'))
    for _ in range(2):
        with pytest.raises(ServerError, match="not one of shortlist") as error:
            Client(url).recommend([1])
        assert error.value.status == 200
