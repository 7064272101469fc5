"""Choices by query: against a plain list of all that was added."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.changing import KEY

from shortlist.serve import events as module
from shortlist.serve.events import Events

ADDED = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 14), st.just(0.0)), max_size=60)


@given(ADDED, st.integers(0, 60))
def test_the_latest_choice_of_each_candidate_is_kept_in_order(added: list[tuple[str, int, float]], half: int) -> None:
    events, copy, before = Events(None), None, []
    for number, (query, candidate, _) in enumerate(added):
        if number == half:
            copy, before = events.copied(), added[:number]
        events.add(query, candidate, float(number))
    for query in "ab":
        assert events.of(query) == events.excluded(query) == _latest(added, query)
        if copy is not None:  # what is added after a copy is not in it
            assert copy.of(query) == _latest(before, query)
    assert events.count == sum(len(_latest(added, query)) for query in "ab") == len(list(events.all()))
    assert bool(events) == bool(added)


def test_no_query_is_remembered_for_a_copy_once_it_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries of many choices, of which the three latest are kept; one that comes back chooses without the copy."""
    monkeypatch.setattr(module, "QUERIES", 3)
    events = Events(None)
    for candidate in range(12):
        events.add("first", candidate, 0.0)
    copy = events.copied()
    for query in [*range(50), "first"]:
        for candidate in range(12, 24):
            events.add(query, candidate, 0.0)
    assert events._shared == {48, 49, "first"}
    assert copy.of("first") == [*range(12)]
    assert events.of("first") == [*range(12, 24)]


def _latest(added: list[tuple[str, int, float]], query: str) -> list[int]:
    own = [candidate for one, candidate, _ in added if one == query]
    return [candidate for place, candidate in enumerate(own) if candidate not in own[place + 1 :]]


def test_the_latest_200_choices_of_the_latest_queries_are_kept(monkeypatch) -> None:
    monkeypatch.setattr(module, "QUERIES", 3)
    events = Events(None)
    for candidate in range(250):
        events.add("ann", candidate, 0.0)
    assert events.of("ann") == list(range(50, 250))
    for query in ("bob", "cat", "ann", "dan"):
        events.add(query, 1, 0.0)
    assert [query for query, _, _ in events.all() if query != "ann"] == ["cat", "dan"]  # bob was longest without news
    assert events.count == 202


CANDIDATES = st.one_of(st.integers(0, 9), st.sampled_from(["a", "b" * 5, "c" * 30, "가나", "😀" * 4]))


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b" * 5, 1, "가나"]), CANDIDATES), max_size=80),
    st.integers(1, 6),
    st.integers(1, 400),
    st.integers(8, 12),
    st.integers(1, 3),
)
def test_bytes_of_all_choices_have_a_bound_and_the_oldest_queries_leave_first(
    added: list[tuple[Any, Any]], queries: int, most: int, kept: int, at_a_time: int
) -> None:
    """Against a plain list of queries, each with its choices: an id of a number or a time is 8 bytes, a letter 1, others 4."""
    sizes = {"a": 1, "b" * 5: 5, "c" * 30: 30, "가나": 8, "😀" * 4: 16}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("QUERIES", queries), ("BYTES", most), ("KEPT", kept), ("NEXT", at_a_time)):
            patch.setattr(module, name, value)
        events = Events(None)
        plain: list[tuple[Any, list[Any]]] = []

        def size() -> int:
            return sum(sizes.get(one, 8) + sum(sizes.get(other, 8) + 8 for other in chosen) for one, chosen in plain)

        for query, candidate in added:
            events.add(query, candidate, 0.0)
            own = next((chosen for one, chosen in plain if one == query), [])
            plain = [(one, chosen) for one, chosen in plain if one != query]
            plain.append((query, [*(one for one in own if one != candidate), candidate][-kept:]))
            while len(plain) > queries or (size() > most and len(plain) > 1):
                plain.pop(0)
            assert events.size == size()
            assert [(one, other) for one, other, _ in events.all()] == [(q, c) for q, chosen in plain for c in chosen]
            assert events.count == sum(len(chosen) for _, chosen in plain)


def test_choices_with_long_ids_take_no_more_than_their_bytes(
    writable: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the server, and the same after a restart, from the log as it was written and from one that was shortened."""
    monkeypatch.setattr(module, "BYTES", 100_000)
    client = writable()
    for first in range(0, 300, 100):
        chosen = [{"query": f"{number:01000}", "candidate": f"{number:01024}"} for number in range(first, first + 100)]
        assert client.post("/v1/events", {"events": chosen}, headers=KEY).status_code == 200
    events = client.app.service.events
    assert events.size == 49 * (1000 + 1024 + 8)  # 99,568; one more would be 101,600
    kept = list(events.all())
    assert [int(query) for query, _, _ in kept] == list(range(251, 300))
    assert list(writable().app.service.events.all()) == kept
    shortened = list(client.app.service.writer.changes.records())
    assert sum(len(record["events"]) for record in shortened) == 49
    assert len(json.dumps(shortened)) < 110_000


def test_the_oldest_of_many_queries_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each choice drops a query, the first of all is not looked for behind those that were dropped before."""
    looks: list[int] = []
    whole = module.islice

    def counted(queries: Any, most: int) -> Any:
        looks.append(most)
        return whole(queries, most)

    monkeypatch.setattr(module, "islice", counted)
    monkeypatch.setattr(module, "QUERIES", 2000)
    events = Events(None)
    for number in range(12_000):
        events.add(number, 1, 0.0)
    assert looks == [500] * 20
    assert [query for query, _, _ in events.all()] == list(range(10_000, 12_000))


def test_a_choice_is_left_out_of_lists_for_so_many_seconds(monkeypatch) -> None:
    monkeypatch.setattr(module.time, "time", lambda: 1000.0)
    events = Events(60)
    for candidate, at in (("old", 939.0), ("new", 940.0)):
        events.add("ann", candidate, at)
    assert events.excluded("ann") == ["new"]
    assert events.of("ann") == ["old", "new"]
