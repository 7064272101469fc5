"""Rules for whole lists, and reasons, over HTTP: lists are those of ``recommend``, costs are bounded before anything is queued."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.recommender import test_many_sources as many
from tests.serve.changing import WRITE, change

import shortlist as sl
from shortlist.recommender import conditions
from shortlist.recommender.pipeline import recommend
from shortlist.serve import Settings
from shortlist.serve.rules import conditions_of
from shortlist.serve.schema import Boost, Rules
from shortlist.serve.settings import Limits

ASKED = {"queries": [{"id": "ann"}, {"id": "bob"}, {"id": "eve"}], "k": 4, "exclude_seen": False}
RULES = {
    "diversify": 0.4,
    "at_most": [{"column": "kind", "most": 1}],
    "pin": [{"place": 2, "id": "d"}, {"place": 1, "id": "nowhere"}],
    "boost": [{"where": "stock > 3", "factor": 1.5}, {"where": "kind = 'y'", "factor": -1}],
    "explore": 0.5,
    "explore_rarer_than": 2,
    "explore_where": "stock >= 0",
    "seed": 5,
}
SAME = {
    "diversify": {"diversify": 0.4},
    "at_most": {"at_most": {"kind": 1}},
    "pin": {"pin": {2: "d", 1: "nowhere"}},
    "boost": {"boost": {"stock > 3": 1.5, "kind = 'y'": -1}},
    "explore": {"explore": 0.5, "explore_rarer_than": 2, "explore_where": "stock >= 0", "seed": 5},
}


@pytest.mark.parametrize("name", [*SAME, "all"])
def test_lists_are_those_of_the_same_rules_in_python(client: Any, name: str) -> None:
    rules = {key: value for one in SAME.values() for key, value in one.items()} if name == "all" else SAME[name]
    served = client.app.service.loaded.served
    expected = recommend(served, ["ann", "bob", "eve"], 4, exclude_seen=False, rerank=sl.Rerank(**rules))
    body = {**ASKED, "rerank": {key: RULES[key] for key in rules}}
    for _ in range(2):
        reply = client.post("/v1/recommend", body)
        assert reply.status_code == 200, reply.text
        found = [[(item["id"], item["score"], item.get("source", "model")) for item in one["items"]]
                 for one in reply.json()["results"]]  # fmt: skip
        assert found == [list(one) for one in expected]


def test_pinned_ids_that_the_catalogue_lacks_are_named_by_their_place(client: Any) -> None:
    reply = client.post("/v1/recommend", {**ASKED, "rerank": {"pin": RULES["pin"]}}).json()
    assert [one["items"][1]["id"] for one in reply["results"]] == ["d"] * 3
    (warning,) = reply["warnings"]
    assert warning["field"] == "$.rerank.pin[1].id"
    assert "does not have this candidate" in warning["detail"]
    assert "nowhere" not in str(warning)
    for rules in ({"pin": RULES["pin"][:1]}, {"diversify": 0.1}, None):
        assert "warnings" not in client.post("/v1/recommend", {**ASKED, "rerank": rules}).json()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rerank": {"diversify": 1.5}}, "$.rerank.diversify"),
        ({"rerank": {"diversify": "canary"}}, "$.rerank.diversify"),
        ({"rerank": {"canary": 1}}, "$.rerank"),
        ({"rerank": {"at_most": [{"column": "canary", "most": 1}]}}, "$.rerank.at_most[0].column"),
        ({"rerank": {"at_most": [{"column": "kind", "most": 0}]}}, "$.rerank.at_most[0].most"),
        ({"rerank": {"at_most": [{"column": "kind", "most": 1}] * 2}}, "$.rerank.at_most[1]"),
        ({"rerank": {"pin": [{"place": 1, "id": "a"}, {"place": 2, "id": 7}]}}, "$.rerank.pin[1].id"),
        ({"rerank": {"pin": [{"place": 1, "id": "a"}, {"place": 2, "id": "a"}]}}, "$.rerank.pin[1].id"),
        ({"rerank": {"pin": [{"place": 1, "id": "a"}, {"place": 1, "id": "b"}]}}, "$.rerank.pin[1]"),
        ({"rerank": {"pin": [{"place": 0, "id": "a"}]}}, "$.rerank.pin[0].place"),
        ({"rerank": {"boost": [{"where": "stock > 0", "factor": 101}]}}, "$.rerank.boost[0].factor"),
        ({"rerank": {"boost": [{"where": "canary > 0", "factor": 1}]}}, "$.rerank.boost[0].where"),
        ({"rerank": {"boost": [{"where": "stock > 0", "factor": 1}, {"where": "stock >", "factor": 1}]}},
         "$.rerank.boost[1].where"),
        ({"rerank": {"boost": [{"where": "stock > 0", "factor": 1}] * 2}}, "$.rerank.boost[1]"),
        ({"rerank": {"boost": [{"where": f"stock > {n}", "factor": 1} for n in range(5)]}}, "$.rerank.boost"),
        ({"rerank": {"explore": 0.5}}, "$.rerank.explore"),
        ({"rerank": {"explore_where": "stock > 0"}}, "$.rerank.explore"),
        ({"rerank": {"explore": 0.5, "explore_where": "canary"}}, "$.rerank.explore_where"),
        ({"rerank": {"explore": 0.5, "explore_rarer_than": 0}}, "$.rerank.explore_rarer_than"),
        ({"rerank": {"seed": -1}}, "$.rerank.seed"),
        ({"rerank": {"diversify": 0.1}, "k": 201}, "$.k"),
        ({"explain": 1}, "$.explain"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_and_nothing_is_queued(
    client: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], field: str
) -> None:
    monkeypatch.setattr(client.app.service.batcher, "ask", lambda *_, **__: pytest.fail("it was queued"))
    reply = client.post("/v1/recommend", {**ASKED, **changes})
    assert (reply.status_code, reply.json()["field"]) == (422, field), reply.text
    assert "canary" not in reply.text


def test_a_number_that_is_not_finite_is_refused(client: Any) -> None:
    text = '{"queries": [{"id": "ann"}], "rerank": {"boost": [{"where": "stock > 0", "factor": 1e999}]}}'
    reply = client.ask("POST", "/v1/recommend", content=text)
    assert reply.status_code == 422


def test_the_candidates_that_rules_choose_among_are_counted(clients: Callable[..., Any]) -> None:
    """Three queries times a pool of 200: 600; each condition of boost doubles that."""
    client = clients(Settings(limits=Limits(pool=1199, wait_seconds=100.0)))
    one = {"boost": [{"where": "stock > 0", "factor": 1}]}
    assert client.post("/v1/recommend", {**ASKED, "rerank": {"diversify": 0.5}}).status_code == 200
    reply = client.post("/v1/recommend", {**ASKED, "rerank": one})
    assert (reply.status_code, reply.json()["field"]) == (422, "$.rerank")
    assert "1,200 candidates; at most 1,199" in reply.json()["detail"]
    assert "fewer" in reply.json()["hint"]
    assert client.post("/v1/recommend", {**ASKED, "queries": [{"id": "ann"}], "rerank": one}).status_code == 200


def test_conditions_of_rules_cost_as_those_of_filters(
    clients: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is computed once, in turns; one that costs more than the limit is not begun."""
    client = clients(Settings(limits=Limits(filter=12, wait_seconds=100.0)))
    steps: list[int] = []
    step = conditions.Evaluation.step
    monkeypatch.setattr(conditions.Evaluation, "step", lambda self, *part: (steps.append(1), step(self, *part))[1])
    body = {
        **ASKED,
        "rerank": {"boost": [{"where": "stock > 1", "factor": 1}], "explore": 0.5, "explore_where": "stock > 1"},
    }
    for _ in range(2):
        assert client.post("/v1/recommend", body).status_code == 200
    assert len(steps) == 1
    dear = {**ASKED, "rerank": {"boost": [{"where": "stock > 1 and stock < 9", "factor": 1}]}}
    reply = client.post("/v1/recommend", dear)
    assert (reply.status_code, reply.json()["field"]) == (422, "$.rerank.boost[0].where")
    assert len(steps) == 1


def test_a_condition_that_occurs_twice_is_named_where_it_is_first() -> None:
    rules = Rules(boost=[Boost("a > 1", 1.0), Boost("b > 1", 1.0)], explore=0.1, explore_where="a > 1")
    assert sorted(conditions_of(rules)) == [
        ("a > 1", "$.rerank.boost[0].where"), ("b > 1", "$.rerank.boost[1].where"),
    ]  # fmt: skip
    assert conditions_of(None) == []


@pytest.fixture
def mixed(clients: Callable[..., Any]) -> Any:
    return clients(recommender=sl.Recommender(many.mixture(), sl.BruteForce(), many.data()))


def test_reasons_are_those_of_recommend(mixed: Any) -> None:
    served = mixed.app.service.loaded.served
    expected = recommend(served, ["p0", "p1", "nobody"], 5, explain=True)
    body = {"queries": [{"id": one} for one in ("p0", "p1", "nobody")], "k": 5, "explain": True, "columns": ["year"]}
    results = mixed.post("/v1/recommend", body).json()["results"]
    assert [[item["reason"] for item in one["items"]] for one in results] == [
        [reason.to_dict() for reason in one.reasons or ()] for one in expected
    ]
    plain = mixed.post("/v1/recommend", {**body, "explain": False}).json()["results"]
    assert [[item["id"] for item in one["items"]] for one in plain] == [
        [item["id"] for item in one["items"]] for one in results
    ]
    assert "reason" not in plain[0]["items"][0]


@pytest.fixture
def changeable(clients: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    """A mixture whose newest films have a quarter of the places, and are the list of who chose nothing."""
    of = many.MODEL
    model = sl.Mixture(
        of.sources, of.histories, weights=many.WEIGHTS, temperatures=many.TEMPERATURES,
        by_history={0: [0, 0, 0, 0, 1, 0]}, quotas=[0, 0, 0, 0, 0.25, 0],
    )  # fmt: skip
    recommender = sl.Recommender(model, sl.BruteForce(), many.data())
    client = clients(Settings(write_keys=(WRITE,), state=tmp_path / "state"), recommender)
    yield client
    client.app.service.writer.close()


def test_quotas_hold_under_rules_and_new_people_get_their_weights(changeable: Any) -> None:
    served = changeable.app.service.loaded.served
    rules = {"diversify": 0.4, "boost": [{"where": "film < 4", "factor": 0.8}]}
    body = {"queries": [{"id": one} for one in ("p0", "p1", "nobody")], "k": 8, "rerank": rules}
    expected = recommend(served, ["p0", "p1", "nobody"], 8, rerank=sl.Rerank(diversify=0.4, boost={"film < 4": 0.8}))
    results = changeable.post("/v1/recommend", body).json()["results"]
    assert [[item["id"] for item in one["items"]] for one in results] == [one.ids for one in expected]
    years = dict(many.data().candidates.rows())
    newest = sorted(range(many.FILMS), key=lambda film: -years[film])
    (new,) = changeable.post("/v1/recommend", {"queries": [{"id": "nobody"}], "k": 4}).json()["results"]
    assert ([item["id"] for item in new["items"]], new["known"]) == (newest[:4], False)


def test_quotas_count_in_what_rules_cost(clients: Callable[..., Any], changeable: Any) -> None:
    """A list of 8 chooses among 200, and a source's own as many at most."""
    loaded = changeable.app.service.loaded
    client = clients(Settings(limits=Limits(pool=399, wait_seconds=100.0)), sl.Recommender(loaded.served))
    body = {"queries": [{"id": "p0"}], "k": 8, "rerank": {"diversify": 0.4}}
    assert client.post("/v1/recommend", body).json()["field"] == "$.rerank"


def test_what_is_folded_in_after_a_deletion_is_what_it_is_after_loading(changeable: Any, tmp_path: Path) -> None:
    body = {"queries": [{"id": "visitor", "history": [1, 9, 4]}, {"id": "p3", "history": [2]}], "k": many.FILMS}
    assert changeable.post("/v1/recommend", body).status_code == 200
    assert change(changeable, delete=[4, 7]).status_code == 200
    results = changeable.post("/v1/recommend", body).json()["results"]
    sl.Recommender(changeable.app.service.loaded.served).save(tmp_path / "a.shortlist")
    loaded = sl.Recommender.load(tmp_path / "a.shortlist")
    expected = loaded.recommend(["visitor", "p3"], k=many.FILMS, history=[[1, 9, 4], [2]])
    for found, one in zip(results, expected, strict=True):
        assert [item["id"] for item in found["items"]] == one.ids
        assert [item["score"] for item in found["items"]] == pytest.approx(one.scores, rel=1e-6)


def test_reasons_have_a_bound(clients: Callable[..., Any]) -> None:
    """Two queries of five items by six sources: 60."""
    recommender = sl.Recommender(many.mixture(), sl.BruteForce(), many.data())
    client = clients(Settings(limits=Limits(reasons=59, wait_seconds=100.0)), recommender)
    body = {"queries": [{"id": "p0"}, {"id": "p1"}], "k": 5}
    assert client.post("/v1/recommend", body).status_code == 200
    reply = client.post("/v1/recommend", {**body, "explain": True})
    assert (reply.status_code, reply.json()["field"]) == (422, "$.explain")
    assert client.post("/v1/recommend", {**body, "k": 4, "explain": True}).status_code == 200


def test_requests_with_and_without_reasons_are_not_joined(mixed: Any) -> None:
    bodies = [{"queries": [{"id": "p0"}], "explain": explain} for explain in (True, False)] * 4
    replies = mixed.together([("/v1/recommend", body) for body in bodies])
    assert ["reason" in reply.json()["results"][0]["items"][0] for reply in replies] == [True, False] * 4
