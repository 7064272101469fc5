"""Choices added many at once, against the same added one by one."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.serve import events as events_module
from shortlist.serve import replay as module
from shortlist.serve.events import Events
from shortlist.serve.replay import Replay

IDS = st.one_of(st.integers(0, 6), st.sampled_from("abcd"), st.just(2**63))
CHOSEN = st.fixed_dictionaries({"query": st.integers(0, 9), "candidate": st.integers(0, 30), "at": st.floats(0, 9)})
OF_ANY_TYPE = st.fixed_dictionaries({"query": IDS, "candidate": IDS, "at": st.one_of(st.floats(0, 9), st.just(1))})
RECORDS = st.lists(st.lists(st.one_of(CHOSEN, CHOSEN, OF_ANY_TYPE), max_size=40), max_size=12)


@pytest.fixture
def events() -> Events:
    """None are kept yet."""
    return Events(None)


@pytest.fixture
def replay(events: Events) -> Replay:
    """Adds to ``events``."""
    return Replay(events)


def rows_given(method: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each frame that a method of replays gets from now on."""
    counts: list[int] = []
    whole = getattr(Replay, method)

    def counted(self: Replay, *arguments: Any) -> None:
        (frame,) = (one for one in arguments if isinstance(one, pl.DataFrame))
        counts.append(len(frame))
        whole(self, *arguments)

    monkeypatch.setattr(Replay, method, counted)
    return counts


def state(events: Events) -> tuple[list[Any], int, int]:
    """Everything that is kept, in its order, and in the form in which it is kept."""
    return [(query, type(chosen), chosen) for query, chosen in events._of.items()], events.count, events.size


@given(
    RECORDS, st.integers(1, 60), st.integers(1, 60), st.integers(0, 5), st.integers(1, 12), st.integers(1, 30),
    st.integers(1, 3000),
)  # fmt: skip
def test_it_is_the_same_as_one_by_one(
    records: list[list[dict[str, Any]]], part: int, block: int, before: int, queries: int, at_once: int, most: int
) -> None:
    """With choices that were there before, and with fewer queries or bytes kept than there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART", part)
        patch.setattr(module, "BLOCK", block)
        patch.setattr(module, "AT_ONCE", at_once)
        patch.setattr(module, "SHARED", at_once)
        patch.setattr(events_module, "KEPT", 12)
        patch.setattr(events_module, "QUERIES", queries)
        patch.setattr(events_module, "BYTES", most)
        single, many = Events(None), Events(None)
        for one in (single, many):
            for number in range(before):
                one.add(number, number, 0.5)
        replay = Replay(many)
        for record in records:
            replay.add(record)
            for one in record:
                single.add(one["query"], one["candidate"], one["at"])
        replay.finish()
        assert state(many) == state(single)


@given(st.lists(st.text(max_size=20), max_size=20))
def test_bytes_of_a_column_are_those_of_its_ids(texts: list[str]) -> None:
    assert module._sizes(pl.Series(texts, dtype=pl.String)).tolist() == list(map(events_module.size_of, texts))
    assert module._sizes(pl.Series(range(len(texts)), dtype=pl.UInt64)).tolist() == [8] * len(texts)


def test_a_long_log_of_many_bytes_has_no_more_of_them_than_are_kept(
    events: Events, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though each block of it fits, and all of its ids are of one type."""
    monkeypatch.setattr(events_module, "BYTES", 50_000)
    monkeypatch.setattr(module, "BLOCK", 10)
    for number in range(200):
        replay.add([{"query": f"{number:0500}", "candidate": f"{number:0500}", "at": 1.0}])
        replay.finish()
        assert events.size <= 50_000
    assert [int(query) for query, _, _ in events.all()] == list(range(151, 200))


def test_columns_of_long_ids_are_not_held_together_without_end(
    events: Events, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = rows_given("_add_all", monkeypatch)
    monkeypatch.setattr(module, "PART", 10)
    monkeypatch.setattr(module, "BLOCK_BYTES", 100_000)
    for number in range(1000):
        replay.add([{"query": f"{number:01000}", "candidate": f"{number:01000}", "at": 1.0}])
    replay.finish()
    assert events.count == sum(counts) == 1000
    assert max(counts) <= 60  # of 2,000 bytes each, and a part more


def test_the_last_choices_in_the_order_of_queries(events: Events, replay: Replay) -> None:
    """ann chose 1, 2 and 1 again; bob 3 in between, so ann is later."""
    replay.add([{"query": "ann", "candidate": 1, "at": 1.0}, {"query": "ann", "candidate": 2, "at": 2.0}])
    replay.add([{"query": "bob", "candidate": 3, "at": 3.0}, {"query": "ann", "candidate": 1, "at": 4.0}])
    assert not events  # not yet
    replay.finish()
    assert list(events.all()) == [("bob", 3, 3.0), ("ann", 2, 2.0), ("ann", 1, 4.0)]
    assert events.count == 3


def test_a_candidate_that_many_chose_is_one_object(events: Events, replay: Replay) -> None:
    """As a log is read, each record has an id of its own."""
    for number in range(3000):
        replay.add([{"query": number, "candidate": "".join(["film ", str(number % 2)]), "at": float(number)}])
    replay.finish()
    assert events.count == 3000
    assert len({id(candidate) for _, candidate, _ in events.all()}) == 2


def test_a_long_log_is_made_into_objects_in_parts(
    events: Events, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query's choices are in one part, even where there are more of them than a part has."""
    counts = rows_given("_extend", monkeypatch)
    monkeypatch.setattr(module, "AT_ONCE", 100)
    replay.add([{"query": "one", "candidate": number, "at": 1.0} for number in range(150)])
    replay.add([{"query": f"other {number // 5}", "candidate": number, "at": 2.0} for number in range(500)])
    replay.finish()
    assert (events.count, len(events.of("one"))) == (650, 150)
    assert counts == [150, 100, 100, 100, 100, 100]
