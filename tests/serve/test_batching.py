"""Where requests are answered: on the loop while they are quick, in a thread otherwise, and long ones in pieces."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.serve.changing import KEY, change
from tests.serve.paces import Steady, watched
from tests.serve.wires import POST, Wire, connected, settled

from shortlist.errors import DataError
from shortlist.recommender import served as served_module
from shortlist.recommender.eligible import Open
from shortlist.serve import Settings, batching
from shortlist.serve.batching import INLINE, Paces
from shortlist.serve.clock import Work
from shortlist.serve.problems import Problem
from shortlist.serve.reading import Group
from shortlist.serve.settings import Limits
from shortlist.serve.turns import TURN, Lane

ANN = {"queries": [{"id": "ann"}]}


def test_what_comes_together_is_one_batch_on_the_loop(client: Any) -> None:
    """At a quarter of the time that one request may take there, twelve of them are no reason for a thread, nor for parts."""
    seen = watched(client)
    client.app.service.batcher.paces = Steady(INLINE / 4)
    replies = client.together([("/v1/recommend", ANN)] * 12)
    assert {reply.status_code for reply in replies} == {200}
    assert seen == [(12, True)]


@pytest.mark.parametrize(
    ("arrivals", "batches"),
    [
        ([1], [1]),
        ([1, 1, 1, 1], [3, 1]),  # a batch waits for two turns, as long as others arrive in them
        ([2, 0, 1], [2, 1]),  # and in a turn without others it is answered
        ([5, 3, 0], [8]),
    ],
)
def test_who_arrives_while_a_batch_waits_joins_it(client: Any, arrivals: list[int], batches: list[int]) -> None:
    """``arrivals`` is how many requests are read in each turn of the loop."""
    seen = watched(client)
    client.app.service.batcher.paces = Steady(INLINE / 4)
    body = b'{"queries":[{"id":"ann"}]}'

    async def turns() -> None:
        wires = []
        for count in arrivals:
            for _ in range(count):
                wires.append(wire := Wire())
                connected(client, wire).data_received(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
            await asyncio.sleep(0)
        for wire in wires:
            await settled(wire.protocol)
            assert wire.written[:12] == b"HTTP/1.1 200"
            wire.protocol.connection_lost(None)

    client.loop.run_until_complete(turns())
    assert seen == [(count, True) for count in batches]


def test_a_request_of_one_turn_goes_to_a_thread_whole(client: Any) -> None:
    seen = watched(client)
    client.app.service.batcher.paces = Steady(INLINE / 4)
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}] * 5}).status_code == 200
    assert seen == [(5, False)]


def test_a_filter_that_leaves_much_is_not_taken_for_one_that_leaves_little(client: Any) -> None:
    """Thousands that leave one candidate say nothing of one that leaves a thousand, nor of one without a filter."""
    loaded, paces = client.app.service.loaded, Paces()
    open_ = [None, *(Open(np.arange(count)) for count in (1, 1000, 1023, 1024)), Open(None, np.arange(1))]
    groups = [Group(loaded, "lists", 10, open=one) for one in open_]
    guess = paces.of(groups[0])
    for _ in range(3000):
        paces.measured(groups[1], 1e-6)
    assert paces.of(groups[1]) == pytest.approx(1e-6)
    assert [paces.of(one) for one in (groups[0], *groups[2:])] == [guess] * 5
    paces.measured(groups[2], 1.0)
    assert [paces.of(one) > guess for one in groups] == [False, False, True, True, False, False]


def test_a_long_body_goes_to_a_thread_whatever_others_of_its_kind_take(client: Any) -> None:
    seen = watched(client)
    client.app.service.batcher.paces = Steady(INLINE / 4)
    body = {"queries": [{"id": "ann", "exclude": ["c"] * 2_000}]}
    assert client.post("/v1/recommend", body).status_code == 200
    assert seen == [(1, False)]


def test_a_long_request_is_cut_into_pieces_of_a_turn_by_what_the_last_one_took(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At first four queries are expected to fill a turn. They take half of one: so eight, and again eight, are the next."""
    seen = watched(client)
    batcher = client.app.service.batcher
    batcher.paces = Steady(TURN / 4)
    piece = batcher._piece

    def timed(group: Any, asks: Sequence[Any], take: Any, at: int) -> tuple[float, int]:
        piece(group, asks, take, at)
        return len(asks) * TURN / 8, len(asks)

    batcher._piece = timed
    reply = client.post("/v1/recommend", {"queries": [{"id": name} for name in ("ann", "bob", "cat") * 10]})
    assert [count for count, _ in seen] == [4, 8, 8, 8, 2]
    assert not any(on_loop for _, on_loop in seen)
    assert [one["id"] for one in reply.json()["results"]] == ["ann", "bob", "cat"] * 10


@pytest.mark.parametrize(
    ("route", "more", "read", "batches"),
    [
        ("/v1/recommend", {"k": 2}, 0, [2, 2, 1]),  # each query takes twice a turn; a second one hardly adds to it
        ("/v1/recommend", {"k": 2, "where": "what = 'a'"}, 0, [1] * 5),  # few candidates are read
        ("/v1/recommend", {"k": 2}, 10**6, [1] * 5),
        ("/v1/embed", {}, 0, [1] * 5),
    ],
)
def test_two_queries_that_read_all_vectors_are_answered_together_however_long_it_takes(
    client: Any, monkeypatch: pytest.MonkeyPatch, route: str, more: dict[str, Any], read: int, batches: list[int]
) -> None:
    """Five of one request, and five requests of one query that wait together."""
    monkeypatch.setattr(batching, "READ", read)
    client.app.service.batcher.paces = Steady(2 * TURN)
    seen = watched(client)
    piece = client.app.service.batcher._piece
    client.app.service.batcher._piece = lambda *given: (2 * TURN * len(given[1]), piece(*given)[1])
    assert client.post(route, {"queries": [{"id": "ann"}] * 5, **more}).status_code == 200
    assert [count for count, _ in seen] == batches
    seen.clear()
    replies = client.together([(route, {"queries": [{"id": "ann"}], **more})] * 5)
    assert {reply.status_code for reply in replies} == {200}
    assert sorted((count for count, _ in seen), reverse=True) == batches


def test_single_requests_wait_for_one_piece_of_a_long_one(client: Any) -> None:
    """A request of 40 pieces and three of a single query, which all wait before anything is answered. Each of the three
    waits for one piece at most, whatever the loop does while the thread answers; and all 40 pieces are answered."""
    service = client.app.service
    service.batcher.paces = Steady(TURN)
    order: list[int] = []
    arrived, all_wait = [], threading.Event()
    answer, turn = service.batcher._answer, service.turns.take_prepared

    def noted(group: Any, asks: Sequence[Any]) -> Any:
        assert all_wait.wait(60)
        order.append(group.k)
        return answer(group, asks)

    async def counted(lane: Lane, *arguments: Any, **options: Any) -> Any:
        arrived.append(lane)
        if len(arrived) == 4:
            asyncio.get_running_loop().call_soon(all_wait.set)  # once this one is in its lane, too
        return await turn(lane, *arguments, **options)

    service.batcher._answer, service.turns.take_prepared = noted, counted
    piece = service.batcher._piece
    service.batcher._piece = lambda group, asks, take, at: (TURN, piece(group, asks, take, at)[1])
    bodies = [{"queries": [{"id": "ann"}] * 40, "k": 1}, *({**ANN, "k": k} for k in (2, 3, 4))]
    replies = client.together([("/v1/recommend", body) for body in bodies])
    assert [reply.status_code for reply in replies] == [200] * 4
    assert order.count(1) == 40
    singles = [at for at, k in enumerate(order) if k != 1]
    assert sorted(order[at] for at in singles) == [2, 3, 4]
    assert all(later - earlier <= 2 for earlier, later in pairwise([-1, *singles]))


def test_all_single_requests_that_wait_are_seen_in_their_lane(client: Any) -> None:
    """Four, each of which takes a turn: when the first has its turn three wait, then two, one and none."""
    service = client.app.service
    service.batcher.paces = Steady(TURN)
    waiting: list[int] = []
    answer = service.batcher._answer

    def noted(group: Any, asks: Sequence[Any]) -> Any:
        waiting.append(service.turns.waiting(Lane.SMALL))
        return answer(group, asks)

    service.batcher._answer = noted
    for rounds in (1, 2):  # the first one begins as soon as it arrives
        client.together([("/v1/recommend", ANN)] * 4)
        assert waiting[-3:] == [2, 1, 0]
        assert len(waiting) == 4 * rounds


def test_four_clients_with_long_requests_refuse_no_single_one(clients: Callable[..., Any]) -> None:
    """Each of four long requests would take 64 turns, far more than anybody shall wait; all are answered, and so are 20
    single ones, each of which waits for its own kind and as many pieces of the others."""
    client = clients(Settings(limits=Limits(wait_seconds=0.5)))
    client.app.service.batcher.paces = Steady(TURN)
    long = {"queries": [{"id": "ann"}] * 64, "exact": True}
    replies = client.together([("/v1/recommend", long)] * 4 + [("/v1/recommend", ANN)] * 20)
    assert [reply.status_code for reply in replies] == [200] * 24


def test_more_long_requests_than_turns_in_the_longest_wait_are_refused(clients: Callable[..., Any]) -> None:
    """With a hundredth of a second for each, five wait for 0.05 s: the seventh would wait longer."""
    client = clients(Settings(limits=Limits(wait_seconds=5 * TURN)))
    client.app.service.batcher.paces = Steady(TURN)
    batcher, body = client.app.service.batcher, {"queries": [{"id": "ann"}] * 8}
    for under_way, status in ((5, 200), (6, 503), (0, 200)):
        batcher._long = under_way
        reply = client.post("/v1/recommend", body)
        assert reply.status_code == status
    assert reply.headers.get("retry-after") is None
    assert client.post("/v1/recommend", ANN).status_code == 200


def test_what_was_slow_once_comes_back_to_the_loop(client: Any) -> None:
    """A tenth of the difference is forgotten each time: with answers of no time at all, 0.9^59 s is the first below 2 ms."""
    seen = watched(client)
    batcher = client.app.service.batcher
    batcher._timed = lambda batch: (batcher._outcomes(batch), 0.0)
    batcher._watch.since = lambda begun: 0.0
    group = Group(client.app.service.loaded, k=10, exclude_seen=True)
    batcher.paces._of[group.kind()] = 1.0
    for _ in range(70):
        assert client.post("/v1/recommend", ANN).status_code == 200
    assert [on_loop for _, on_loop in seen] == [False] * 59 + [True] * 11


def test_folding_in_is_answered_on_the_loop_once_its_prior_is_there(writable: Any) -> None:
    """The first takes a computation over all candidates, and so does the first after a deletion; the others cost little."""
    client = writable()
    client.app.service.batcher.paces = Steady(0.0)
    seen, body = watched(client), {"queries": [{"id": "ann", "history": ["c"]}]}
    before = [client.post("/v1/recommend", body).status_code for _ in range(3)]
    gone = change(client, delete=["d"])
    after = [client.post("/v1/recommend", body).status_code for _ in range(3)]
    assert (before, gone.status_code, after) == ([200] * 3, 200, [200] * 3)
    assert [on_loop for _, on_loop in seen] == [False, True, True, False, True, True]
    assert client.post("/v1/events", {"events": [{"query": "ann", "candidate": "a"}]}, headers=KEY).status_code == 200
    assert client.post("/v1/recommend", ANN).status_code == 200
    assert seen[-1] == (1, True)


def test_no_turn_is_spent_on_what_folding_in_needs_first(writable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is computed in a thread of its own; after recorded choices in that of the writer, before they are acknowledged: the
    first list that they change is answered on the loop, too."""
    threads: list[str] = []
    prior = served_module._prior

    def watching(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name.rpartition("_")[0])
        return prior(*arguments)

    monkeypatch.setattr(served_module, "_prior", watching)
    client = writable()
    client.app.service.batcher.paces = Steady(0.0)
    seen = watched(client)
    body = {"queries": [{"id": "ann", "history": ["c"]}]}
    assert [client.post("/v1/recommend", body).status_code for _ in range(2)] == [200] * 2
    assert threads == ["folding"]
    assert change(client, delete=["d"]).status_code == 200
    event = {"events": [{"query": "ann", "candidate": "a"}]}
    assert [client.post("/v1/events", event, headers=KEY).status_code for _ in range(2)] == [200] * 2
    assert threads == ["folding", "writer"]
    assert client.post("/v1/recommend", ANN).status_code == 200
    assert seen[-1] == (1, True)
    assert threads == ["folding", "writer"]


def test_a_kind_has_a_pace_of_its_own(client: Any) -> None:
    """Exact search and fold-in that are slow make plain requests no slower; what was never asked is guessed."""
    loaded = client.app.service.loaded
    plain, folded = Group(loaded, k=10), Group(loaded, k=10, chosen=True)
    paces = Paces()
    assert paces.of(folded) > paces.of(plain)
    before = paces.of(plain)
    paces.measured(folded, 100.0)
    assert paces.of(folded) > 10
    assert paces.of(plain) == before
    assert paces.of(Group(loaded, k=1000)) > before


def test_requests_that_bring_much_make_others_of_their_kind_no_slower(client: Any) -> None:
    """What a long body of candidates to exclude costs says nothing of those that exclude none."""
    batcher, group = client.app.service.batcher, Group(client.app.service.loaded, k=10, exclude_seen=True)
    assert client.post("/v1/recommend", ANN).status_code == 200
    before = batcher.paces.of(group)
    assert client.post("/v1/recommend", {"queries": [{"id": "ann", "exclude": ["c"] * 2_000}] * 4}).status_code == 200
    assert batcher.paces.of(group) == before
    assert len(batcher.paces._of) == 2


def test_a_queue_that_takes_too_long_is_refused_but_not_at_the_end(clients: Callable[..., Any]) -> None:
    """At a second for each query, the second that comes together with a first is one too many; after SIGTERM it is not."""
    client = clients(Settings(limits=Limits(wait_seconds=0.5)))
    body = ("/v1/recommend", ANN)
    client.app.service.batcher.paces = Steady(1.0)
    assert sorted(reply.status_code for reply in client.together([body] * 2)) == [200, 503]
    client.app.finish()
    assert [reply.status_code for reply in client.together([body] * 2)] == [200, 200]


def test_one_error_among_many_costs_a_few_batches_and_spoils_no_other(client: Any) -> None:
    """Sixteen requests in one batch: it, eight, four, two and one of its halves fail, and their other halves are answered."""
    batcher, sizes = client.app.service.batcher, []
    answer = batcher._answer

    def failing(group: Any, asks: Sequence[Any]) -> Any:
        sizes.append(len(asks))
        if any(ask.id == "bob" for ask in asks):
            raise DataError("one of them does not fit")
        return answer(group, asks)

    batcher._answer = failing
    names = ["ann"] * 5 + ["bob"] + ["ann"] * 10
    replies = client.together([("/v1/recommend", {"queries": [{"id": name}]}) for name in names])
    assert [reply.status_code for reply in replies] == [422 if name == "bob" else 200 for name in names]
    assert sum(sizes) <= 16 * 3
    assert sorted(sizes) == [1, 1, 2, 2, 4, 4, 8, 8, 16]


@pytest.mark.parametrize("count", [1, 20])
def test_whatever_an_answer_raises_ends_one_request_and_no_turn(client: Any, count: int) -> None:
    """In a thread and in pieces alike, also what is no Exception; the next request is answered."""
    service = client.app.service
    service.batcher.paces = Steady(TURN)
    answer = service.batcher._answer

    def broken(*_: Any) -> Any:
        raise SystemExit(3)

    service.batcher._answer = broken
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}] * count}).status_code == 500
    service.batcher._answer = answer
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}] * count}).status_code == 200
    assert [service.turns.waiting(lane) for lane in Lane] == [0, 0, 0]


def test_a_problem_of_a_piece_ends_the_request(client: Any) -> None:
    service, seen = client.app.service, watched(client)
    service.batcher.paces = Steady(TURN)

    def full(at: int, found: list[Any]) -> None:
        raise Problem(422, "the reply would be too long.")

    async def ask() -> None:
        from shortlist.serve.reading import Ask

        await service.batcher.ask(Group(service.loaded, k=2), [Ask("ann")] * 10, full)

    with pytest.raises(Problem):
        client.loop.run_until_complete(asyncio.wait_for(ask(), 60))
    assert len(seen) == 1


def test_while_others_are_answered_on_the_loop_pieces_are_taken_in_slices(client: Any) -> None:
    """A piece of sixteen as eight times two, between which the loop goes first; without others as one."""
    service, seen = client.app.service, watched(client)
    service.batcher.paces = Steady(TURN / 16)
    service.turns.loop_answers = lambda: None
    service.turns._loop_answered = math.inf  # a moment ago, however long the test takes
    piece = service.batcher._piece
    service.batcher._piece = lambda group, asks, take, at: (TURN, piece(group, asks, take, at)[1])
    body = {"queries": [{"id": name} for name in ("ann", "bob", "cat") * 6][:18]}
    reply = client.post("/v1/recommend", body)
    assert [count for count, _ in seen][:8] == [2, 2, 2, 2, 2, 2, 2, 2]
    assert [one["id"] for one in reply.json()["results"]] == ["ann", "bob", "cat"] * 6
    service.turns._loop_answered = -1.0
    seen.clear()
    client.post("/v1/recommend", body)
    assert [count for count, _ in seen] == [16, 2]


def test_a_long_reply_is_written_in_pieces(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty scores of each of ten queries, where a turn's worth is a hundred: two queries in the first piece."""
    monkeypatch.setattr("shortlist.serve.batching.WRITTEN", 50)
    seen = watched(client)
    service = client.app.service
    service.batcher.paces = Steady(TURN / 50)
    piece = service.batcher._piece
    service.batcher._piece = lambda group, asks, take, at: (TURN, piece(group, asks, take, at)[1])
    said = client.post("/v1/score", {"queries": [{"id": "ann"}] * 10, "candidates": ["a", "b"] * 20})
    assert [count for count, _ in seen] == [2, 2, 2, 2, 2]
    assert said.json()["results"][9]["scores"] == [4.0, 3.0] * 20


def test_the_loop_goes_first_before_each_answer_of_a_piece_is_written(client: Any) -> None:
    """Eighteen lists in pieces: before each of them, and before each search."""
    service, order = client.app.service, []
    service.batcher.paces = Steady(TURN / 16)
    service.turns.yield_to_loop = lambda: order.append("pause") or 0.0
    answer, piece = service.batcher._answer, service.batcher._piece
    service.batcher._answer = lambda group, asks: (order.append("search"), answer(group, asks))[1]

    def noting(group: Any, asks: Any, take: Any, at: int) -> Any:
        return piece(group, asks, lambda number, found: (order.append(len(found)), take(number, found)), at)

    service.batcher._piece = noting
    client.post("/v1/recommend", {"queries": [{"id": "ann"}] * 18})
    assert [one for one in order if one not in ("pause", "search")] == [1] * 18
    assert {before for before, one in pairwise(order) if one != "pause"} == {"pause"}


def test_the_pace_is_of_answers_not_of_what_is_written_around_them(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By clocks that writing alone moves, by 100 seconds: a reply that takes long to write makes others of its kind no slower."""
    service = client.app.service
    batcher, asked, passed = service.batcher, [], [0.0]
    monkeypatch.setattr("shortlist.serve.turns.Work.now", lambda *_: Work(*passed * 3))

    class Noted(Steady):
        def measured(self, group: Any, seconds: float) -> None:
            asked.append(seconds)

    batcher.paces = Noted(TURN)
    from shortlist.serve.reading import Ask

    def take(at: int, found: list[Any]) -> None:
        passed[0] += 100

    client.loop.run_until_complete(batcher.ask(Group(service.loaded, k=2), [Ask("ann")] * 2, take))
    assert asked == [0.0, 0.0]
