"""What a long request brought is freed a part at a time, in the thread."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.serve.paces import on_loop

from shortlist.serve import Settings, service
from shortlist.serve.freeing import free, parts_of
from shortlist.serve.problems import Problem
from shortlist.serve.settings import Limits


class Row(msgspec.Struct, weakref=True):
    ids: list[int]


def test_each_part_comes_after_the_one_that_holds_it() -> None:
    rows = [Row([1, 2]), Row([3])]
    assert parts_of((rows, "text", {"a": [4]})) == [
        (rows, "text", {"a": [4]}), rows, {"a": [4]}, rows[0], rows[1], [4], [1, 2], [3],
    ]  # fmt: skip


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
    freed: list[tuple[bool, int]] = []
    monkeypatch.setattr(
        "shortlist.serve.turns.free", lambda held, pause: freed.append((on_loop(), len(parts_of(held.pop()))))
    )
    for exclude in (["c"], ["c"] * 5000):
        body = {"queries": [{"id": "ann", "exclude": exclude}]}
        assert client.post("/v1/recommend", body).status_code == 200
    client.app.service.turns._thread.submit(int).result()
    assert [here for here, _ in freed] == [False]
    assert freed[0][1] > 3  # the request, its queries, their lists
    assert [len(one.queries[0].exclude) for one in client.app.service.asked] == [1]
    assert client.app.service._held == {}
