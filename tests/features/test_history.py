"""Histories: windows by hand, against a plain form, and without the target or the future."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist import ConfigError
from shortlist.features import History
from shortlist.features.history import last_of_each, windows_of

CHOICES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=40)


def history_of(windows, interaction: int) -> list[int]:
    """The interactions that a window reads."""
    places = range(windows.start[interaction], windows.stop[interaction])
    left_out = -1 if windows.left_out is None else windows.left_out[interaction]
    return [int(windows.order[place]) for place in places if place != left_out]


def first_alike(choices, interaction: int) -> int:
    """The first interaction of the same query, candidate and time."""
    return choices.index(choices[interaction])


def test_choices_of_the_same_time_are_in_the_order_of_their_rows() -> None:
    query = np.array([1, 0, 0, 0, 0])
    time = np.array([3, 9, 1, 9, 5])  # query 0: interaction 2, then 4, then 1 and 3 at once
    windows = windows_of(query, np.array([7, 5, 6, 7, 8]), time, 10, "past")
    assert [history_of(windows, each) for each in range(5)] == [[], [2, 4], [], [2, 4, 1], [2]]


def test_rows_that_repeat_a_choice_and_its_time_have_one_history() -> None:
    time, candidate = np.array([1, 5, 5, 5, 5]), np.array([3, 4, 6, 4, 4])  # candidate 4 three times at once
    windows = windows_of(np.zeros(5, np.int64), candidate, time, 10, "past")
    assert [history_of(windows, each) for each in range(5)] == [[], [0], [0, 1], [0], [0]]


def test_without_times_a_window_is_every_other_candidate_of_the_query() -> None:
    query, candidate = np.array([0, 0, 1, 0]), np.array([5, 6, 5, 5])  # candidate 5 twice: the later one stays
    windows = windows_of(query, candidate, None, 10, "others")
    assert [history_of(windows, each) for each in range(4)] == [[1], [3], [], [1]]


def test_of_a_set_that_is_too_long_the_last_remain() -> None:
    windows = windows_of(np.zeros(4, np.int64), np.arange(4), np.array([4, 3, 2, 1]), 2, "others")
    assert [history_of(windows, each) for each in range(4)] == [[1], [0], [1, 0], [1, 0]]


@given(CHOICES, st.integers(1, 5))
def test_past_windows_against_a_plain_form(choices, length: int) -> None:
    query, candidate, time = (np.array(column) for column in zip(*choices, strict=True))
    windows = windows_of(query, candidate, time, length, "past")
    by_time = sorted(range(len(choices)), key=lambda each: (time[each], each))
    for each in range(len(choices)):
        own = first_alike(choices, each)
        earlier = [other for other in by_time[: by_time.index(own)] if query[other] == query[each]]
        read = history_of(windows, each)
        assert read == earlier[len(earlier) - len(read) :]  # the latest, in order, none left out in between
        assert min(len(earlier), (length + 1) // 2) <= len(read) <= length


@given(CHOICES, st.integers(1, 5), st.sampled_from([None, "times"]))
def test_other_windows_against_a_plain_form(choices, length: int, times: str | None) -> None:
    query, candidate, time = (np.array(column) for column in zip(*choices, strict=True))
    windows = windows_of(query, candidate, None if times is None else time, length, "others")
    for each in range(len(choices)):
        order = sorted(range(len(choices)), key=lambda other: (0 if times is None else time[other], other))
        last = {candidate[other]: other for other in order if query[other] == query[each]}
        kept = sorted(last.values(), key=order.index)[-length:]
        assert history_of(windows, each) == [other for other in kept if candidate[other] != candidate[each]]


@given(CHOICES, st.integers(1, 5))
def test_the_target_and_the_future_change_no_history(choices, length: int) -> None:
    query, candidate, time = (np.array(column) for column in zip(*choices, strict=True))
    for each in range(len(choices)):
        later = (query == query[each]) & (
            (time > time[each]) | ((time == time[each]) & (np.arange(len(time)) >= first_alike(choices, each)))
        )
        changed = np.where(later, candidate + 100, candidate)
        before, after = (windows_of(query, what, time, length, "past") for what in (candidate, changed))
        assert [candidate[i] for i in history_of(before, each)] == [changed[i] for i in history_of(after, each)]
        others = windows_of(query, candidate, None, length, "others")
        assert candidate[each] not in candidate[history_of(others, each)]


@given(CHOICES, st.integers(1, 5))
def test_the_history_after_training_is_the_last_choices(choices, length: int) -> None:
    query, candidate, time = (np.array(column) for column in zip(*choices, strict=True))
    offsets, order = last_of_each(query, candidate, time, 5, length, "past")
    for owner in range(5):
        mine = sorted(
            (each for each in range(len(choices)) if query[each] == owner), key=lambda each: (time[each], each)
        )
        assert order[offsets[owner] : offsets[owner + 1]].tolist() == mine[-length:]


def test_the_latest_known_ids_are_read() -> None:
    history = History(length=2)
    history.fit(pl.Series([["a", "b", "c"]]))
    encoded = history.encode(pl.Series([["c", "b", "a"], ["x", "b", None, "y"], [], None]))
    read = [encoded.values[start:stop].tolist() for start, stop in zip(encoded.start, encoded.stop, strict=True)]
    assert read == [[2, 1], [2], [], []]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "transfomer"}, "transformer"),
        ({"length": 0}, "length=0"),
        ({"layers": 1.5}, r"layers=1\.5"),
        ({"decay": 1.0}, r"decay=1\.0"),
        ({"dropout": 1.0}, r"dropout=1\.0"),
        ({"context": "future"}, "context='future'"),
        ({"encoder": "gru", "context": "others"}, "in order of time"),
    ],
)
def test_what_cannot_be_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        History(**options)
    assert re.search(message, str(error.value))


def test_the_context_follows_from_the_timestamps() -> None:
    assert History().settled_context(timestamps=True) == "past"
    assert History().settled_context(timestamps=False) == "others"
    assert History(context="others").settled_context(timestamps=True) == "others"
    for history in (History(encoder="gru"), History(context="past")):
        with pytest.raises(ConfigError, match="timestamp"):
            history.settled_context(timestamps=False)
