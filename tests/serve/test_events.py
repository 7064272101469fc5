"""Choices by query: against a plain list of all that was added."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

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


def test_a_choice_is_left_out_of_lists_for_so_many_seconds(monkeypatch) -> None:
    monkeypatch.setattr(module.time, "time", lambda: 1000.0)
    events = Events(60)
    for candidate, at in (("old", 939.0), ("new", 940.0)):
        events.add("ann", candidate, at)
    assert events.excluded("ann") == ["new"]
    assert events.of("ann") == ["old", "new"]
