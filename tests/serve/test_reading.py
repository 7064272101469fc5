"""What does not fit a request is named, and never repeated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.serve.paces import on_loop

import shortlist as sl
from shortlist.recommender.embedding import Embedder
from shortlist.serve import reading
from shortlist.serve.batching import Paces
from shortlist.serve.schema import Query


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/recommend", {}, 422, "$"),
        ("/v1/recommend", {"queries": []}, 422, "$.queries"),
        ("/v1/recommend", {"queries": [{"id": 7}]}, 422, "$.queries[0].id"),
        ("/v1/recommend", {"queries": [{"id": True}]}, 422, "$.queries[0].id"),
        ("/v1/recommend", {"queries": [{"id": 1.5}]}, 422, "$.queries[0].id"),
        ("/v1/recommend", {"queries": [{"id": "x" * 1025}]}, 422, "$.queries[0].id"),
        ("/v1/recommend", {"queries": [{"id": "ann", "canary": 1}]}, 422, "$.queries[0]"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "canary": 1}, 422, "$"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": 0}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": "3"}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": 3.5}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": 1001}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": 10**30}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}] * 257}, 422, "$.queries"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "allow": [1]}, 422, "$.allow[0]"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "deny": ["a"] * 10_001}, 422, "$.deny"),
        ("/v1/recommend", {"queries": [{"id": "ann", "exclude": ["a", 1]}]}, 422, "$.queries[0].exclude[1]"),
        ("/v1/recommend", {"queries": [{"id": "ann", "features": {"canary": 1}}]}, 422, "$.queries[0].features"),
        ("/v1/recommend", {"queries": [{"id": "ann", "history": [7]}]}, 422, "$.queries[0].history[0]"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "columns": ["canary"]}, 422, "$.columns[0]"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "where": "canary = 1"}, 422, "$.where"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "where": "stock ="}, 422, "$.where"),
        ("/v1/recommend", [], 422, "$"),
        ("/v1/similar", {"candidates": ["canary"]}, 404, "$.candidates[0]"),
        ("/v1/similar", {"candidates": []}, 422, "$.candidates"),
        ("/v1/embed", {}, 422, "$"),
        ("/v1/score", {"queries": [{"id": "ann"}], "candidates": [1]}, 422, "$.candidates[0]"),
        ("/v1/models/one:predict", {"instances": [{"canary": "x"}]}, 422, "$.instances[0]"),
        ("/v1/models/one:predict", {}, 422, "$"),
        ("/v1/models/one:predict", {"inputs": {"who": ["a"], "canary": []}}, 422, "$.inputs"),
    ],
)
def test_what_does_not_fit_is_named_and_never_repeated(
    client: Any, path: str, body: Any, status: int, field: str
) -> None:
    reply = client.post(path, body)
    assert reply.status_code == status, reply.text
    problem = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["field"] == field, problem
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert "canary" not in reply.text


# What does not fit is found by column.


def aged() -> sl.Recommender:
    """A query tower that also reads an age and genres; untrained."""
    queries = {"who": ["ann", "bob"], "age": [30, 40], "genres": [["x"], ["y", "x"]]}
    train = sl.Dataset({"who": ["ann", "bob"], "what": ["a", "b"]}, "who", "what", queries=queries)
    reads = sl.StringLookup("who"), sl.Normalization("age"), sl.MultiCategory("genres")
    model = sl.TwoTower(sl.Tower(*reads, dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(train)
    return sl.Recommender(model.eval(), seen=train)


class Counted:
    """How many rows the feature encoded and the towers embedded, and whether any of it was on the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.encoded = self.embedded = 0
        self.on_loop = False
        encode, vectors = sl.Normalization.encode, Embedder.vectors

        def encoding(feature: Any, values: Any) -> Any:
            self.encoded += len(values)
            self.on_loop |= on_loop()
            return encode(feature, values)

        def embedding(embedder: Any, side: str, table: Any) -> Any:
            self.embedded += len(table)
            self.on_loop |= on_loop()
            return vectors(embedder, side, table)

        monkeypatch.setattr(sl.Normalization, "encode", encoding)
        monkeypatch.setattr(Embedder, "vectors", embedding)


def bodies(values: list[Any]) -> list[tuple[str, dict[str, Any], str]]:
    """A request to each route that takes features, and how it names the last query's age."""
    queries = [{"id": "ann", "features": {"age": value}} for value in values]
    last = len(values) - 1
    return [
        ("/v1/recommend", {"queries": queries}, f"$.queries[{last}].features.age"),
        ("/v1/embed", {"queries": queries}, f"$.queries[{last}].features.age"),
        ("/v1/score", {"queries": queries, "candidates": ["a"]}, f"$.queries[{last}].features.age"),
        (
            "/v1/models/one:predict",
            {"instances": [{"who": "ann", "age": value} for value in values]},
            f"$.instances[{last}].age",
        ),
    ]


@pytest.mark.parametrize("wrong", ["x", True, [1], ["x"]])
@pytest.mark.parametrize("route", range(4))
def test_a_wrong_feature_among_many_costs_no_more_than_right_ones(
    clients: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, route: int, wrong: Any
) -> None:
    """256 ages are encoded once to check them and once to answer; where the last is wrong, halves of them are, and no tower
    is asked. Nothing of either is on the event loop."""
    client = clients(recommender=aged())
    monkeypatch.setattr(Paces, "of", lambda *_: 1e-4)
    path, body, _ = bodies([33] * 256)[route]
    client.post(path, body)  # Torch comes to life
    right = Counted(monkeypatch)
    assert client.post(path, body).status_code == 200
    assert (right.encoded, right.embedded, right.on_loop) == (512, 256, False)
    monkeypatch.undo()
    monkeypatch.setattr(Paces, "of", lambda *_: 1e-4)
    counted = Counted(monkeypatch)
    path, body, field = bodies([33] * 255 + [wrong])[route]
    reply = client.post(path, body)
    assert reply.status_code == 422
    assert reply.json()["field"] == field
    assert counted.embedded == 0
    assert counted.encoded <= 3 * 256
    assert not counted.on_loop


def test_all_wrong_features_are_named_up_to_a_bound(
    clients: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, counted = clients(recommender=aged()), Counted(monkeypatch)
    values = [33, "a", 33.5, None, "b"] * 10
    problem = client.post("/v1/recommend", {"queries": [{"features": {"age": value}} for value in values]}).json()
    wrong = [f"$.queries[{number}].features.age" for number, value in enumerate(values) if isinstance(value, str)]
    assert problem["fields"] == wrong
    assert problem["field"] == wrong[0]
    assert counted.embedded == 0
    problem = client.post("/v1/recommend", {"queries": [{"features": {"age": "x"}}] * 100}).json()
    assert len(problem["fields"]) == 20


@pytest.mark.parametrize(
    ("features", "status"),
    [
        ({"age": 33}, 200),
        ({"age": 33.5}, 200),
        ({"age": None}, 200),
        ({"age": True}, 422),
        ({"genres": ["x", "z"]}, 200),
        ({"genres": []}, 200),
        ({"genres": "x"}, 422),
        ({"genres": [1]}, 422),
        ({"genres": ["x", 1]}, 422),
    ],
)
def test_a_value_fits_alone_as_among_others(clients: Callable[..., Any], features: dict[str, Any], status: int) -> None:
    """A client's values are never converted by what other clients sent with theirs."""
    client = clients(recommender=aged())
    alone = {"queries": [{"id": "ann", "features": features}]}
    others = [{"queries": [{"id": "bob", "features": one}]} for one in ({"age": 1}, {"age": 2.5}, {"genres": ["y"]})]
    assert client.post("/v1/recommend", alone).status_code == status
    replies = client.together([("/v1/recommend", body) for body in (others[0], alone, others[1], others[2])])
    assert [reply.status_code for reply in replies] == [200, status, 200, 200]
    expected = [client.post("/v1/embed", body).json()["vectors"] for body in others]
    replies = client.together([("/v1/embed", body) for body in (others[0], alone, others[1], others[2])])
    found = [replies[place].json()["vectors"] for place in (0, 2, 3)]
    assert [pytest.approx(one[0], abs=1e-6) for one in expected] == [one[0] for one in found]


def test_long_bodies_are_read_in_a_thread(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a request costs before it is answered grows with its body."""
    from shortlist.serve import answers

    seen: list[bool] = []
    real = answers.decoded
    monkeypatch.setattr(answers, "decoded", lambda *arguments: (seen.append(on_loop()), real(*arguments))[1])
    for count in (1, 250):
        queries = [{"id": "ann" * 5}] * count
        for path, body in (
            ("recommend", {"queries": queries}),
            ("score", {"queries": queries, "candidates": ["a"]}),
            ("embed", {"queries": queries}),
            (
                "similar",
                {
                    "candidates": ["a"] * count,
                    "k": 1,
                    "where": "stock > 0" + " " * 20 * count if count == 1 else "stock > 0" + " " * 4000,
                },
            ),
        ):
            assert client.post(f"/v1/{path}", body).status_code == 200, path
    assert seen == [True] * 4 + [False] * 4


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/recommend", lambda count: {"queries": [{"id": "ann"}] * count}),
        ("/v1/embed", lambda count: {"queries": [{"id": "ann"}] * count}),
        ("/v1/score", lambda count: {"queries": [{"id": "ann"}] * count, "candidates": ["a"]}),
        ("/v1/models/one:predict", lambda count: {"instances": ["ann"] * count}),
        ("/v1/models/one:predict", lambda count: {"inputs": {"who": ["ann"] * count}}),
    ],
)
def test_choices_of_many_queries_are_read_in_the_thread(
    client: Any, monkeypatch: pytest.MonkeyPatch, path: str, body: Callable[[int], Any]
) -> None:
    """A short body may name 256 queries of two hundred choices each."""
    places: list[bool] = []
    whole = reading.read_query
    monkeypatch.setattr(reading, "read_query", lambda *given: (places.append(on_loop()), whole(*given))[1])
    for recorded, count, expected in ((False, 100, True), (True, 1, True), (True, 5, True), (True, 20, False)):
        if recorded:
            client.app.service.events.add("ann", "c", time.time())
        places.clear()
        assert client.post(path, body(count)).status_code == 200
        assert places == [expected] * count


def test_others_have_their_turn_while_the_choices_of_queries_are_read(client: Any) -> None:
    """A hundred queries of two hundred choices each, which are left out too; 257 queries of none are read as before."""
    service, pauses = client.app.service, [0]

    def pause() -> None:
        pauses[0] += 1

    for count in (257, 100):
        if count == 100:
            for number in range(200):
                service.events.add("ann", f"c{number}", time.time())
        pauses[0] = 0
        asks = reading.read_queries(service.loaded, service.events, [Query("ann")] * count, True, pause)
        assert {(len(ask.chosen), len(ask.exclude)) for ask in asks} == {(0, 0) if count == 257 else (200, 200)}
        assert pauses[0] == (2 if count == 257 else 19)  # one before each query by which 2,000 values are read
