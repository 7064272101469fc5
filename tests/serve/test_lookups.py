"""What the page looks up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.serve.paces import on_loop

import shortlist as sl
from shortlist.serve import Settings, loaded
from shortlist.serve.loaded import Loaded


def test_card(client: Any) -> None:
    card = client.get("/v1/card").json()
    assert card["name"] == "one"
    assert card["bundle"] == client.app.service.loaded.bundle
    assert (card["queries"], card["candidates"], card["seen"], card["dim"]) == (4, 4, 5, 2)
    assert card["index"] == "BruteForce"
    assert card["exact"] is True
    assert card["columns"] == ["what", "full_name", "kind", "stock"]
    assert card["title_column"] == "full_name"
    assert card["colour_column"] == "kind"
    assert card["example_query"] in ("ann", "bob", "cat")
    assert card["metrics"] == [
        {"title": "Test interactions, seen items left in", "rows": [{"name": "model", "values": {"top-1": 0.5}}]}
    ]


def test_queries_by_prefix(client: Any) -> None:
    assert client.get("/v1/queries").json()["items"] == [
        {"id": "ann", "count": 2}, {"id": "bob", "count": 2}, {"id": "cat", "count": 1}, {"id": "dan", "count": 0},
    ]  # fmt: skip
    assert client.get("/v1/queries", params={"text": "CA"}).json()["items"] == [{"id": "cat", "count": 1}]
    assert client.get("/v1/queries", params={"limit": "1"}).json()["items"] == [{"id": "ann", "count": 2}]
    assert client.get("/v1/queries", params={"text": "%"}).json()["items"] == []


def test_candidates_by_name_or_id(client: Any) -> None:
    found = client.get("/v1/candidates", params={"text": "eta"}).json()["items"]
    assert found == [{"id": "b", "columns": {"full_name": "Beta", "kind": "y", "stock": 0}}]
    assert client.get("/v1/candidates", params={"text": "c"}).json()["items"][0]["id"] == "c"  # it has no name
    assert client.get("/v1/candidates", params={"text": "[("}).json()["items"] == []


def test_history(client: Any) -> None:
    history = client.get("/v1/history", params={"query": "bob"}).json()
    assert [item["id"] for item in history["items"]] == ["b", "c"]
    assert history["total"] == 2
    assert client.get("/v1/history", params={"query": "nobody"}).json() == {"items": [], "total": 0}


def test_map(client: Any) -> None:
    plain = client.get("/v1/map").json()
    assert plain["ids"] == ["a", "b", "c", "d"]
    assert plain["labels"] == ["Alpha", "Beta", "None", "Delta"]
    assert plain["values"] is None
    assert plain["columns"] == ["kind"]
    assert max(map(abs, plain["x"] + plain["y"])) == 1.0
    # two dimensions are all there are, so distances keep their ratios: a to b is √2, a to c is 5
    x, y = plain["x"], plain["y"]
    near, far = ((x[0] - x[n]) ** 2 + (y[0] - y[n]) ** 2 for n in (1, 2))
    assert far / near == pytest.approx(25 / 2, rel=1e-2)
    assert client.get("/v1/map", params={"column": "kind"}).json()["values"] == ["x", "y", "x", "y"]


def test_map_of_a_catalogue_without_columns(clients: Callable[..., Any]) -> None:
    """It has its points, and no column is offered to colour them by."""
    data = sl.Dataset({"who": ["ann"] * 5, "what": list("abcde")}, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(data)
    client = clients(recommender=sl.Recommender(model.eval(), index=sl.BruteForce(), seen=data))
    assert client.get("/v1/card").json()["colour_column"] is None
    reply = client.get("/v1/map")
    assert (reply.status_code, reply.json()["ids"], reply.json()["columns"]) == (200, list("abcde"), [])
    refused = client.get("/v1/map", params={"column": "null"})
    assert (refused.status_code, refused.json()["field"]) == (422, "?column")


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/v1/queries", {"limit": "0"}, "?limit"),
        ("/v1/queries", {"limit": "101"}, "?limit"),
        ("/v1/queries", {"limit": "²"}, "?limit"),
        ("/v1/queries", {"what": "x"}, "?"),
        ("/v1/history", {}, "?query"),
        ("/v1/map", {"column": "stock"}, "?column"),
    ],
)
def test_parameters_that_do_not_fit(client: Any, path: str, params: dict[str, str], field: str) -> None:
    reply = client.get(path, params=params)
    assert reply.status_code == 422
    assert reply.json()["field"] == field


def test_without_the_page_nobody_is_looked_up(clients: Callable[..., Any]) -> None:
    client = clients(Settings(page=False))
    for path in ("/", "/v1/card", "/v1/queries", "/v1/history?query=ann", "/v1/map", "/v1/candidates"):
        assert client.get(path).status_code in (404, 405), path


def test_columns_of_a_large_catalogue_are_those_of_a_small_one(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from shortlist.serve import loaded

    body = {"queries": [{"id": "cat"}], "columns": ["full_name", "stock"], "exclude_seen": False}
    small = client.post("/v1/recommend", body).json()["results"]
    monkeypatch.setattr(loaded, "LISTED", 1)
    assert client.post("/v1/recommend", body).json()["results"] == small
    assert {item["columns"]["stock"] for item in small[0]["items"]} == {3, 0, 5, 7}


@pytest.mark.parametrize("text", ["5_863", "+5863", "٥", " 5", "05", "5.0", "-0", "", "9" * 1024])
def test_an_integer_in_the_address_is_what_is_written_as_one(text: str) -> None:
    from shortlist.serve.loaded import IdKind
    from shortlist.serve.lookups import _typed
    from shortlist.serve.problems import Problem

    with pytest.raises(Problem):
        _typed(text, IdKind(False))
    assert _typed(text, IdKind(True)) == text
    assert [_typed(one, IdKind(False)) for one in ("5863", "-5", "9007199254740993")] == [5863, -5, 2**53 + 1]


@pytest.mark.parametrize("path", ["/v1/queries", "/v1/candidates"])
def test_a_text_to_search_for_has_a_bound(client: Any, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    assert client.get(path, params={"text": "é" * 256}).json() == {"items": []}
    monkeypatch.setattr(client.app.service, "run", None)  # what is refused searches for nothing
    reply = client.get(path, params={"text": "a" * 257})
    assert (reply.status_code, reply.json()["field"]) == (422, "?text")
    assert client.get(path, params={"text": "a" * 60_000}).status_code == 422


@pytest.mark.parametrize(
    ("path", "name"), [("/v1/history", "query"), ("/v1/map", "column"), ("/v1/queries", "limit"), ("/v1/card", "x")]
)
def test_no_parameter_is_taken_at_any_length(client: Any, path: str, name: str) -> None:
    assert client.get(path, params={name: "7" * 16_000}).status_code == 422


def test_many_look_ups_take_few_places_of_others(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 one is made, 15 wait, and 24 are refused; a list is answered meanwhile."""
    held = threading.Event()
    monkeypatch.setattr(Loaded, "found", lambda *_: [] if held.wait(60) else None)

    async def talk() -> list[int]:
        asking = client._client
        many = [asyncio.create_task(asking.get("/v1/candidates", params={"text": "a"})) for _ in range(40)]
        while sum(one.done() for one in many) < 24:
            await asyncio.sleep(0)
        refused = [one.result() for one in many if one.done()]
        assert [(one.status_code, one.headers["retry-after"]) for one in refused] == [(503, "1")] * 24
        for path in ("/v1/card", "/v1/queries", "/v1/history?query=ann", "/v1/map", "/openapi.json"):
            assert (await asking.get(path)).status_code == 503
        assert (await asking.post("/v1/recommend", json={"queries": [{"id": "ann"}]})).status_code == 200
        assert sum(one.done() for one in many) == 24
        held.set()
        return [one.status_code for one in await asyncio.gather(*many)]

    codes = client.loop.run_until_complete(talk())
    assert (codes.count(200), codes.count(503)) == (16, 24)
    assert client.get("/v1/card").status_code == 200


@pytest.mark.parametrize("column", ["kind", "stock", "nothing"])
def test_columns_are_not_looked_through_on_the_event_loop(
    client: Any, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of them the map may be coloured by takes a look at every value, again after each change."""
    seen: list[bool] = []
    few = loaded._few_values

    def watched(values: Any) -> bool:
        seen.append(on_loop())
        return few(values)

    monkeypatch.setattr(loaded, "_few_values", watched)
    assert client.get("/v1/map", params={"column": column}).status_code == (200 if column == "kind" else 422)
    assert seen
    assert not any(seen)
