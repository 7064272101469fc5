"""Transitions: counts by hand and by plain loops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import dataset, logs, most, ordered, transitions, weights_of

import shortlist as sl
from shortlist.errors import ConfigError, DataError


@given(
    logs, st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.25]), st.sampled_from([0.0, 1.0])
)
def test_it_is_the_plain_count(rows, window, decay, backward, power) -> None:
    source = sl.Transitions(window=window, decay=decay, backward=backward, source_power=power, target_power=power)
    found = weights_of(source.fit(dataset(rows)))
    expected = transitions(ordered(rows), window, decay, backward, power, power)
    assert found == pytest.approx({pair: weight for pair, weight in expected.items() if weight > 0}, rel=1e-6)


def test_by_hand() -> None:
    # query 0: 0 1 2; query 1: 1 0. f = 2, 2, 1
    # 0 → 1: 1 forward, ½ · 1 backward from "1 0"; 0 → 2: ¼ at distance 2; 1 → 0: 1 + ½; 1 → 2: 1; 2 → 0: ½ · ¼; 2 → 1: ½
    rows = [(0, 0, 0, 1.0), (0, 1, 1, 1.0), (0, 2, 2, 1.0), (1, 1, 0, 1.0), (1, 0, 1, 1.0)]
    source = sl.Transitions(window=2, decay=0.25, backward=0.5, source_power=1, target_power=0)
    expected = {(0, 1): 3 / 4, (0, 2): 1 / 8, (1, 0): 3 / 4, (1, 2): 1 / 2, (2, 0): 1 / 8, (2, 1): 1 / 2}
    assert weights_of(source.fit(dataset(rows))) == expected
    # another order of the same choices is another table
    turned = [(0, 2, 0, 1.0), (0, 1, 1, 1.0), (0, 0, 2, 1.0), *rows[3:]]
    assert weights_of(source.fit(dataset(turned))) != expected


@given(logs, st.integers(1, 2))
def test_the_heaviest_are_kept(rows, count) -> None:
    whole = weights_of(sl.Transitions().fit(dataset(rows)))
    assert weights_of(sl.Transitions(neighbours=count).fit(dataset(rows))) == most(whole, count)


def test_repeats_and_what_weighs_nothing() -> None:
    # 0 0 1: from the first 0 to 1 at distance 2, from the second at 1; never from 0 to 0; f(0) = 2. What weighs 0 is not there
    rows = [(0, 0, 0, 1.0), (0, 0, 1, 1.0), (0, 5, 2, 0.0), (0, 1, 3, 1.0)]
    source = sl.Transitions(window=2, decay=0.5, backward=0, source_power=1, target_power=0)
    assert weights_of(source.fit(dataset(rows))) == {(0, 1): (1 + 0.5) / 2}


def test_equal_times_come_in_the_order_of_rows() -> None:
    rows = [(0, 3, 7, 1.0), (0, 1, 7, 1.0)]
    assert weights_of(sl.Transitions(backward=0, source_power=0, target_power=0).fit(dataset(rows))) == {(3, 1): 1.0}


def test_one_choice_leads_nowhere() -> None:
    assert len(sl.Transitions().fit(dataset([(0, 0, 0, 1.0)])).columns) == 0


def test_a_window_wider_than_every_history_costs_no_more() -> None:
    rows = [(0, 0, 0, 1.0), (0, 1, 1, 1.0), (1, 2, 0, 1.0), (1, 3, 1, 1.0)]
    wide, narrow = (weights_of(sl.Transitions(window=size).fit(dataset(rows))) for size in (10**9, 1))
    assert wide == narrow


def test_in_pieces_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(one % 4, one * one % 6, one, 1.0) for one in range(40)]
    whole = weights_of(sl.Transitions().fit(dataset(rows)))
    for size in (1, 25):
        monkeypatch.setattr("shortlist.sources.tables.BLOCK", size)
        assert weights_of(sl.Transitions().fit(dataset(rows))) == whole


def test_what_it_asks_of_the_data() -> None:
    with pytest.raises(DataError, match="need timestamps"):
        sl.Transitions().fit(dataset([(0, 0, 0, 1.0)], timestamp=False))
    with pytest.raises(DataError, match="a Dataset or Shards was expected"):
        sl.Transitions().fit([1, 2])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"window": 0},
        {"decay": 1.1},
        {"backward": -0.1},
        {"age": 0},
        {"neighbours": True},
        {"length": 1.5},
        {"decay": "1"},
    ],
)
def test_settings_that_cannot_be(options) -> None:
    with pytest.raises(ConfigError, match=f"Transitions got {next(iter(options))}="):
        sl.Transitions(**options)


def test_it_hands_on_how_a_history_asks() -> None:
    table = sl.Transitions(age=0.5, length=3).fit(dataset([(0, 0, 0, 1.0), (0, 1, 1, 1.0)]))
    assert (table.age, table.length, table.kind, len(table)) == (0.5, 3, "transitions", 6)
