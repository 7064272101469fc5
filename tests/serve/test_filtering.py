"""Conditions have a cost that is known and bounded, and take turns with what they filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.serve.paces import on_loop

from shortlist.data.conditions import Condition
from shortlist.recommender import conditions
from shortlist.serve import Settings
from shortlist.serve.settings import Limits
from shortlist.serve.turns import Lane, Turns

ANN = {"queries": [{"id": "ann"}], "exclude_seen": False}


def ids(reply: Any) -> list[str]:
    return [item["id"] for item in reply.json()["results"][0]["items"]]


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> list[Lane]:
    """The lane of every turn."""
    seen: list[Lane] = []
    take = Turns.take

    async def noted(turns: Turns, lane: Lane, work: Callable[[], Any], due: float = 0.0) -> Any:
        seen.append(lane)
        return await take(turns, lane, work, due)

    monkeypatch.setattr(Turns, "take", noted)
    return seen


def test_a_condition_is_computed_in_turns_of_its_own_lane_and_once(
    client: Any, monkeypatch: pytest.MonkeyPatch, lanes: list[Lane]
) -> None:
    """Four candidates in pieces of one row: a turn reads the condition, four compute it; then it is remembered."""
    monkeypatch.setattr(conditions, "_LEAST", 1)
    monkeypatch.setattr(conditions, "_MOST", 1)
    threads: list[bool] = []
    step = conditions.Evaluation.step
    monkeypatch.setattr(
        conditions.Evaluation, "step", lambda self, *part: (threads.append(on_loop()), step(self, *part))[1]
    )
    body = {**ANN, "where": "stock > 3"}
    assert ids(client.post("/v1/recommend", body)) == ["c", "d"]
    assert lanes == [Lane.FILTERS] * 5
    assert threads == [False] * 4
    assert ids(client.post("/v1/recommend", body)) == ["c", "d"]
    similar = client.post("/v1/similar", {"candidates": ["a"], "where": "stock > 3"})
    assert ids(similar) == ["c", "d"]
    assert lanes == [Lane.FILTERS] * 5


def test_a_long_condition_is_read_in_several_turns_and_a_short_one_in_one(client: Any, lanes: list[Lane]) -> None:
    """40 comparisons: 159 words, and 159 parts of the expression; a turn looks at 64 of them, and Polars has two turns."""
    assert ids(client.post("/v1/recommend", {**ANN, "where": "stock = 5"})) == ["c"]
    assert len(lanes) == 2
    lanes.clear()
    where = " or ".join(f"stock = {number}" for number in range(3, 43))
    assert ids(client.post("/v1/recommend", {**ANN, "where": where})) == ["a", "c", "d"]
    assert len(lanes) == 1 + 1 + 159 // 64 + 1 + 1 + 1


@pytest.mark.parametrize(("lately", "pieces"), [(False, [4]), (True, [1, 1, 1, 1])])
def test_pieces_of_a_condition_are_shorter_while_others_are_answered(
    client: Any, monkeypatch: pytest.MonkeyPatch, lately: bool, pieces: list[int]
) -> None:
    monkeypatch.setattr(conditions, "_LEAST", 4)
    monkeypatch.setattr(conditions, "_MOST", 4)
    monkeypatch.setattr(Turns, "others_lately", property(lambda self: lately))
    rows: list[int] = []
    mask = Condition.mask
    monkeypatch.setattr(Condition, "mask", lambda self, frame: (rows.append(len(frame)), mask(self, frame))[1])
    assert ids(client.post("/v1/recommend", {**ANN, "where": "stock > 3"})) == ["c", "d"]
    assert rows == pieces


def test_a_condition_that_costs_too_much_is_refused_before_it_is_computed(
    clients: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four candidates times three (one, a comparison and "and") and then two: 16 are more than 12."""
    client = clients(Settings(limits=Limits(filter=12, wait_seconds=100.0)))
    assert client.post("/v1/recommend", {**ANN, "where": "stock > 3 "}).status_code == 200
    monkeypatch.setattr(conditions.Evaluation, "step", lambda self, *part: pytest.fail("it was computed"))
    for path, body in (("recommend", ANN), ("similar", {"candidates": ["a"]})):
        reply = client.post(f"/v1/{path}", {**body, "where": "stock > 3 and stock < 5"})
        assert (reply.status_code, reply.json()["field"]) == (422, "$.where")
        assert "16 comparisons" in reply.json()["detail"]


def test_texts_are_not_added(client: Any) -> None:
    reply = client.post("/v1/recommend", {**ANN, "where": "kind + kind like 'xx%'"})
    assert (reply.status_code, reply.json()["field"]) == (422, "$.where")
    assert client.post("/v1/recommend", {**ANN, "where": "stock + 1 > 3"}).status_code == 200


def test_more_conditions_than_turns_in_the_longest_wait_are_refused(clients: Callable[..., Any]) -> None:
    client = clients(Settings(limits=Limits(wait_seconds=0.05)))
    client.app.service.filtering._under_way = 6
    reply = client.post("/v1/recommend", {**ANN, "where": "stock > 3"})
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert client.post("/v1/recommend", ANN).status_code == 200


@pytest.mark.parametrize(("turn", "status"), [(0.001, 200), (0.03, 503)])
def test_fewer_are_let_in_where_their_turns_take_longer(clients: Callable[..., Any], turn: float, status: int) -> None:
    """Two are being computed: at three hundredths of a second for each turn a third would wait for six."""
    client = clients(Settings(limits=Limits(wait_seconds=0.05)))
    client.app.service.filtering._under_way = 2
    client.app.service.filtering._turn = turn
    assert client.post("/v1/recommend", {**ANN, "where": "stock > 3"}).status_code == status


def test_turns_are_measured(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two turns of a second each: a hundredth, then a tenth of the way to a second, twice."""
    monkeypatch.setattr("shortlist.serve.filtering.Moment.since", lambda self, earlier: 1.0)
    assert ids(client.post("/v1/recommend", {**ANN, "where": "stock > 3"})) == ["c", "d"]
    assert client.app.service.filtering._turn == pytest.approx(1 - 0.9 * 0.9 * 0.99)


def test_cheap_conditions_have_their_turns_before_long_ones(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five long ones come, then a short one; the first of them has begun by then, and the others wait for the short one."""
    order: list[int] = []
    begin = conditions.Conditions.begin
    monkeypatch.setattr(
        conditions.Conditions, "begin", lambda self, where: (order.append(len(where)), begin(self, where))[1]
    )
    long = [" or ".join([f"stock = {number}"] * 90) for number in range(5)]
    bodies = [{**ANN, "where": where} for where in [*long, "stock > 3"]]
    replies = client.together([("/v1/recommend", body) for body in bodies])
    assert [reply.status_code for reply in replies] == [200] * 6
    assert len(order) == 6
    assert order.index(len("stock > 3")) <= 1


@pytest.mark.parametrize("count", [1, 101])
def test_lists_of_ids_and_conditions_go_together(client: Any, count: int) -> None:
    """Long lists are looked up in a turn, short ones at once; what is allowed and meets the condition is found."""
    allow = ["d", "a", "nowhere"] * count
    assert ids(client.post("/v1/recommend", {**ANN, "allow": allow, "where": "stock > 1"})) == ["a", "d"]
    assert ids(client.post("/v1/recommend", {**ANN, "allow": allow, "where": "stock > 5"})) == ["d"]
    assert ids(client.post("/v1/recommend", {**ANN, "allow": allow, "where": "stock > 50"})) == []
    assert ids(client.post("/v1/recommend", {**ANN, "allow": allow, "deny": ["a"] * count})) == ["d"]


@pytest.mark.parametrize(
    ("where", "says", "hint"),
    [
        ("canary = 1", "no column of the name at character 1", "stock"),
        ("stock > 1 and canary = 1", "no column of the name at character 15", "stock"),
        ("stock > 'canary'", "types that do not fit", "stock is Int64"),
        ("kind = 5", "types that do not fit", "kind is String"),
        ("kind + 1 > 2", "types that do not fit", "kind is String"),
        ("1 + kind > 2", "types that do not fit", "kind is String"),
        ("kind + stock > 2", "types that do not fit", "kind is String"),
        ("kind + kind = 'canary'", "adds texts", ""),
        ("stock >", "not one that SQL can read", "for example"),
        ("stock in ()", "not one that SQL can read", "for example"),
        ("stock > 1 ; canary", "cannot be read from character 11", ""),
        ("canary(stock) > 1", "calls a function, at character 1,", "known: abs"),
        ("stock kind", "nothing before its character 7", ""),
        ("stock is canary", "after is, at character 7", ""),
        ("stock", "gives Int64", ""),
        ("starts_with(kind, 1)", "gives Int32 to starts_with", ""),
        ("not stock", "gives Int64 to not", ""),
        (" or ".join(["stock = 1"] * 102), "has 203 operators", "in (…)"),
        ("stock > " + "canary " * 200_000, "has 1,400,008 characters", ""),
    ],
)
def test_what_is_wrong_with_a_condition_is_said_without_repeating_it(
    client: Any, where: str, says: str, hint: str
) -> None:
    for body in ({**ANN, "where": where}, {**ANN, "rerank": {"boost": [{"where": where, "factor": 2}]}}):
        reply = client.post("/v1/recommend", body)
        assert reply.status_code in (413, 422), reply.text
        if reply.status_code == 422:
            assert says in reply.json()["detail"], reply.text
            assert hint in reply.json()["hint"], reply.text
        assert "canary" not in reply.text
