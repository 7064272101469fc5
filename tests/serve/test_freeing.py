"""What a long request brought is freed a part at a time, in the thread."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from tests.serve.paces import on_loop

from shortlist.serve import Settings, service
from shortlist.serve.freeing import Freeing, free
from shortlist.serve.problems import Problem
from shortlist.serve.settings import Limits
from shortlist.serve.turns import Lane


class Row(msgspec.Struct, weakref=True):
    ids: list[int]


def test_each_part_is_freed_after_the_one_that_holds_it() -> None:
    """A tuple, a list, a mapping, two rows and three lists of ids, each 20 values and those within: 160, and 3 + 2 + 1 + 2 + 4."""
    outer, inner = Row([1, 2]), Row([3])
    living = [weakref.ref(outer), weakref.ref(inner)]
    held: list[Any] = [([outer, inner], "text", {"a": [4]})]
    del outer, inner
    pauses: list[int] = []
    free(held, lambda: pauses.append(len(held)))
    assert (held, pauses) == ([], [])
    assert [one() for one in living] == [None, None]


def test_few_of_many_small_parts_are_freed_between_two_pauses() -> None:
    """Each row and its list of two ids are 20 + 1 and 20 + 2 values: 47 rows make more than 2,000, and 1,000 rows 21 pauses.

    To look into a small part takes longer than to free it, so it counts.
    """
    pauses: list[int] = []
    free([[Row([1, 2]) for _ in range(1000)]], lambda: pauses.append(1))
    assert len(pauses) == 43_000 // 2_021


def test_what_is_freed_lets_a_turn_go_first() -> None:
    """Nothing more is freed while something else waits for the thread; afterwards the rest is."""
    rows = [Row(list(range(1990))) for _ in range(4)]
    living = [weakref.ref(row) for row in rows]
    thread = ThreadPoolExecutor(1)
    order: list[Any] = []
    waiting = [True]

    def turn() -> None:
        order.append(sum(one() is not None for one in living))
        waiting.clear()

    gate = threading.Event()
    thread.submit(gate.wait, 60)
    freeing = Freeing(thread, lambda: order.append("pause"), lambda: bool(waiting))
    freeing.add([rows])
    del rows
    thread.submit(turn)
    gate.set()
    while not thread.submit(lambda: not freeing._submitted).result():
        pass
    thread.shutdown()
    assert order[:2] == ["pause", 3]  # one of four was freed, then the other work was done
    assert sum(one() is not None for one in living) == 0


def test_few_are_freed_between_two_pauses() -> None:
    """Eight rows of 900 ids: after two or three of them, which are more than 2,000 values, others have their turn."""
    rows = [Row(list(range(900))) for _ in range(8)]
    living = [weakref.ref(row) for row in rows]
    held, left = [rows], []
    del rows
    free(held, lambda: left.append(sum(one() is not None for one in living)))
    assert held == []
    assert sum(one() is not None for one in living) == 0
    assert len(left) == 7200 // 2703  # lists of three rows at a time; the rows themselves are small
    assert left == sorted(left, reverse=True)


def test_an_error_in_the_thread_keeps_nothing_that_was_made_there() -> None:
    made: list[Any] = []

    def failing() -> None:
        row = Row([1])
        made.append(weakref.ref(row))
        raise Problem(422, "wrong.")

    gc.disable()
    try:
        with pytest.raises(Problem) as caught:
            service._read(failing)
        assert made[0]() is None
        assert caught.value.status == 422
    finally:
        gc.enable()


def test_a_long_request_is_freed_in_the_thread_and_not_remembered(
    clients: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """5,000 ids of one request: 20 kB. A short one is remembered, to warm the next bundle with, and freed by nobody."""
    client = clients(Settings(limits=Limits(wait_seconds=100.0)))
    freed: list[tuple[bool, Any]] = []
    monkeypatch.setattr("shortlist.serve.freeing.free", lambda held, pause: freed.append((on_loop(), held.pop())))
    for exclude in (["c"], ["c"] * 5000):
        body = {"queries": [{"id": "ann", "exclude": exclude}]}
        assert client.post("/v1/recommend", body).status_code == 200
    client.app.service.turns._thread.submit(int).result()
    assert [here for here, _ in freed] == [False]
    (ask,) = freed[0][1].asks
    assert len(ask.exclude) == 5000
    assert len(freed[0][1].request.queries[0].exclude) == 5000
    assert [len(one.queries[0].exclude) for one in client.app.service.asked] == [1]
    assert client.app.service._held == {}


def test_what_frees_is_behind_while_more_is_given_than_was_freed() -> None:
    """Then turns of long requests no longer come first: what one brings is freed before the next one brings as much."""
    rows = [[Row(list(range(1990))) for _ in range(4)] for _ in range(2)]
    living = [weakref.ref(row) for some in rows for row in some]
    thread, gate, behind = ThreadPoolExecutor(1), threading.Event(), []

    def wanted() -> bool:
        behind.append(freeing.behind)
        return not freeing.behind

    thread.submit(gate.wait, 60)
    freeing = Freeing(thread, lambda: None, wanted)
    freeing.add([rows.pop()])
    assert not freeing.behind
    freeing.add([rows.pop()])
    assert freeing.behind
    thread.submit(lambda: None)
    gate.set()
    while not thread.submit(lambda: not freeing._submitted).result():
        pass
    thread.shutdown()
    assert behind == [True] * len(behind) != []
    assert not freeing.behind
    assert sum(one() is not None for one in living) == 0


def test_small_turns_come_before_what_is_to_be_freed_and_long_ones_unless_that_is_behind(client: Any) -> None:
    turns = client.app.service.turns
    for running, last, offers, behind, waits in (
        (False, Lane.LARGE, False, True, False),
        (True, Lane.LARGE, False, False, True),
        (True, Lane.LARGE, False, True, False),
        (True, Lane.LARGE, True, True, True),
        (True, Lane.SMALL, False, True, True),
    ):
        turns._running, turns._last, turns._freeing.behind = running, last, behind
        turns._offers.extend([None] * offers)
        assert turns._keeps_from_freeing() is waits
        turns._offers.clear()
    turns._running = turns._freeing.behind = False
