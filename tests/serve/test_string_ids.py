"""Integer ids as strings, on a server that was started so; and never elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tests.serve.conftest import READ, WRITE

import shortlist as sl
from shortlist.serve import Settings
from shortlist.serve.loaded import Loaded
from shortlist.serve.string_ids import StringIds

ANN, BOB = 2**53 + 1, 2**60 + 7
FIRST, SECOND = 2**53 + 3, 2**61 + 5


@pytest.fixture
def long(clients: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Makes a client over a model of long integer ids."""
    torch.manual_seed(0)
    pairs = {"who": [ANN, BOB], "what": [FIRST, SECOND]}
    train = sl.Dataset(pairs, "who", "what", candidates={"what": [FIRST, SECOND], "kind": ["x", "y"]})
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("who"), dim=2), sl.Tower(sl.IntegerLookup("what"), dim=2))
    model.prepare(train)
    recommender = sl.Recommender(model.eval(), seen=train)

    def make(**options: Any) -> Any:
        settings = Settings(keys=(READ,), write_keys=(WRITE,), state=tmp_path / "state", **options)
        return clients(settings, recommender)

    return make


def post(client: Any, path: str, body: Any) -> Any:
    return client.post(path, body, headers={"x-api-key": WRITE})


def get(client: Any, path: str, **parameters: str) -> Any:
    return client.get(path, params=parameters, headers={"x-api-key": READ}).json()


def test_every_route_gives_and_takes_strings(long: Callable[..., Any]) -> None:
    client = long(string_ids=True)
    ann, first, second = str(ANN), str(FIRST), str(SECOND)
    body = {"queries": [{"id": ann}], "exclude_seen": False, "columns": ["what", "kind"]}
    (found,) = post(client, "/v1/recommend", body).json()["results"]
    assert (found["id"], found["known"]) == (ann, True)
    assert {item["id"]: item["columns"] for item in found["items"]} == {
        first: {"what": first, "kind": "x"},
        second: {"what": second, "kind": "y"},
    }
    narrowed = {**body, "columns": [], "allow": [second, first], "deny": [first]}
    (found,) = post(client, "/v1/recommend", narrowed).json()["results"]
    assert [item["id"] for item in found["items"]] == [second]
    ruled = {**body, "columns": [], "rerank": {"pin": [{"place": 1, "id": second}]}, "explain": True}
    (found,) = post(client, "/v1/recommend", ruled).json()["results"]
    assert (found["items"][0]["id"], found["items"][0]["source"]) == (second, "pinned")
    with_history = {"queries": [{"history": [first, second]}], "exclude_seen": False, "explain": True}
    (found,) = post(client, "/v1/recommend", with_history).json()["results"]
    assert {one for item in found["items"] for one in item["reason"]["because"]} <= {first, second}
    excluding = {"queries": [{"id": ann, "exclude": [first]}, {"id": ann, "history": [first]}]}
    lists = post(client, "/v1/recommend", excluding).json()["results"]
    assert [[item["id"] for item in one["items"]] for one in lists] == [[second], [second]]
    (found,) = post(client, "/v1/similar", {"candidates": [first]}).json()["results"]
    assert (found["id"], [item["id"] for item in found["items"]]) == (first, [second])
    (found,) = post(client, "/v1/score", {"queries": [{"id": ann}], "candidates": [first, "7"]}).json()["results"]
    assert (found["id"], found["known"], found["scores"][1]) == (ann, True, None)
    assert found["scores"][0] is not None
    assert None not in post(client, "/v1/embed", {"candidates": [first]}).json()["vectors"]
    (found,) = post(client, "/v1/models/one:predict", {"instances": [{"input_1": ann}]}).json()["predictions"]
    assert sorted(found["output_2"]) == sorted([first, second])
    assert get(client, "/v1/card")["example_query"] in (ann, str(BOB))
    assert [one["id"] for one in get(client, "/v1/queries", text=ann)["items"]] == [ann]
    assert [one["id"] for one in get(client, "/v1/history", query=ann)["items"]] == [first]
    assert sorted(get(client, "/v1/map")["ids"]) == sorted([first, second])
    assert post(client, "/v1/events", {"events": [{"query": ann, "candidate": second}]}).json() == {"recorded": 1}
    assert [one["id"] for one in get(client, "/v1/history", query=ann)["items"]] == [second, first]
    change = {"upsert": [{"what": first, "kind": "z"}], "expire": [{"id": first, "at": 9e9}], "delete": [second]}
    assert post(client, "/v1/candidates", change).json()["candidates"] == 1


def test_integers_and_other_texts_are_what_they_were(long: Callable[..., Any]) -> None:
    """Numbers are still taken; text that is no integer, or not written as one, is refused as before."""
    client = long(string_ids=True)
    assert post(client, "/v1/recommend", {"queries": [{"id": ANN}]}).json()["results"][0]["id"] == str(ANN)
    for text in ("x", "07", "+7", "7.0", ""):
        assert post(client, "/v1/recommend", {"queries": [{"id": text}]}).json()["field"] == "$.queries[0].id"


def bodies(one: Any) -> list[tuple[str, Any, str]]:
    """On every route that takes an id: a body with it, and its place."""
    return [
        ("/v1/recommend", {"queries": [{"id": one}]}, "$.queries[0].id"),
        ("/v1/recommend", {"queries": [{"history": [one]}]}, "$.queries[0].history[0]"),
        ("/v1/recommend", {"queries": [{"exclude": [one]}]}, "$.queries[0].exclude[0]"),
        ("/v1/recommend", {"queries": [{}], "allow": [one]}, "$.allow[0]"),
        ("/v1/recommend", {"queries": [{}], "deny": [one]}, "$.deny[0]"),
        ("/v1/recommend", {"queries": [{}], "rerank": {"pin": [{"place": 1, "id": one}]}}, "$.rerank.pin[0].id"),
        ("/v1/similar", {"candidates": [one]}, "$.candidates[0]"),
        ("/v1/score", {"queries": [{"id": ANN}], "candidates": [one]}, "$.candidates[0]"),
        ("/v1/score", {"queries": [{"id": one}], "candidates": []}, "$.queries[0].id"),
        ("/v1/embed", {"candidates": [one]}, "$.candidates[0]"),
        ("/v1/embed", {"queries": [{"id": one}]}, "$.queries[0].id"),
        ("/v1/candidates", {"upsert": [{"what": one}]}, "$.upsert[0].what"),
        ("/v1/candidates", {"delete": [one]}, "$.delete[0]"),
        ("/v1/candidates", {"expire": [{"id": one, "at": 9e9}]}, "$.expire[0].id"),
        ("/v1/events", {"events": [{"query": one, "candidate": FIRST}]}, "$.events[0].query"),
        ("/v1/events", {"events": [{"query": ANN, "candidate": one}]}, "$.events[0].candidate"),
        (
            "/v1/impressions",
            {"impressions": [{"query": one, "items": [{"candidate": FIRST}]}]},
            "$.impressions[0].query",
        ),
        (
            "/v1/impressions",
            {"impressions": [{"query": ANN, "items": [{"candidate": one}]}]},
            "$.impressions[0].items[0].candidate",
        ),
        ("/v1/models/one:predict", {"instances": [one]}, "$.instances[0]"),
        ("/v1/models/one:predict", {"instances": [{"input_1": one}]}, "$.instances[0].input_1"),
    ]


@pytest.mark.parametrize("text", [str(2**63), str(-(2**63) - 1), str(2**64 - 1), str(2**64), "05", "+5", "x", ""])
def test_what_is_no_integer_of_64_bits_is_refused_alike_on_every_route(long: Callable[..., Any], text: str) -> None:
    client = long(string_ids=True)
    for path, body, field in bodies(text):
        reply = post(client, path, body)
        assert (reply.status_code, reply.json()["field"]) == (422, field), (path, body, reply.text)
        assert reply.json()["hint"] == "digits alone, from -2^63 to 2^63 - 1"
    reply = client.get("/v1/history", params={"query": text}, headers={"x-api-key": READ})
    assert (reply.status_code, reply.json()["hint"]) == (422, "digits alone, from -2^63 to 2^63 - 1")


@pytest.mark.parametrize("text", [str(2**63 - 1), str(-(2**63)), "0", "-1"])
def test_integers_of_64_bits_are_taken_on_every_route(long: Callable[..., Any], text: str) -> None:
    client = long(string_ids=True)
    for path, body, _ in bodies(text)[:-3]:
        assert post(client, path, body).status_code in (200, 404), (path, body)  # 404: similar to an unknown one


def test_the_type_that_came_is_named(long: Callable[..., Any]) -> None:
    client = long()
    for value, given in ((None, "null was"), (True, "true or false was"), (1.5, "a number with a fraction was")):
        detail = post(client, "/v1/candidates", {"upsert": [{"what": value}]}).json()["detail"]
        assert detail == f"{given} given; ids of this model are integers, and are never converted."
    reply = post(client, "/v1/recommend", {"queries": [{"id": "7"}]}).json()
    assert reply["detail"] == "a string was given; ids of this model are integers, and are never converted."
    assert reply["hint"] == "write numbers without quotes, strings with quotes"


def test_without_it_nothing_is_converted(long: Callable[..., Any]) -> None:
    client = long()
    assert post(client, "/v1/recommend", {"queries": [{"id": str(ANN)}]}).status_code == 422
    assert post(client, "/v1/recommend", {"queries": [{"id": ANN}]}).json()["results"][0]["id"] == ANN


def test_text_ids_stay_as_they_are(client: Any) -> None:
    ids, loaded = StringIds(True), client.app.service.loaded
    request = object()
    assert ids.read(request, loaded) is request  # type: ignore[type-var]
    assert (ids.shown("7"), ids.shown(7), ids.shown(None)) == ("7", "7", None)
    assert StringIds(False).shown(7) == 7


@pytest.mark.parametrize(
    ("queries", "candidates", "said"),
    [
        ([1, 2**53 - 1], [-(2**53) + 1], None),
        ([1, 2**53], [3], "query ids"),
        ([1], [-(2**53)], "candidate ids"),
        ([2**62], [2**62], "query ids and candidate ids"),
        (["9" * 20], ["x"], None),
    ],
)
def test_ids_that_a_double_cannot_hold_are_noticed(queries: list[Any], candidates: list[Any], said: str | None) -> None:
    from types import SimpleNamespace

    from shortlist.data.id_map import IdMap

    state = SimpleNamespace(query_ids=IdMap(pl.Series(queries)), candidate_ids=IdMap(pl.Series(candidates)))
    assert Loaded.long_ids.func(SimpleNamespace(state=state)) == said  # type: ignore[attr-defined]
