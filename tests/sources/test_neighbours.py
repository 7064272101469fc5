"""Neighbours: the sparse sums are the plain ones, for any history, and cost what the history's neighbours cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import CANDIDATES, histories, latest_first, lists_of, scores, table_of

from shortlist.errors import ConfigError
from shortlist.index import Lists
from shortlist.sources import Neighbours, neighbours
from shortlist.sources.neighbours import latest

some = st.lists(st.integers(0, CANDIDATES - 1), max_size=2)
tables = st.dictionaries(
    st.tuples(st.integers(0, CANDIDATES - 1), st.integers(0, CANDIDATES - 1)), st.sampled_from([0.25, 0.5, 1.0, 3.0])
)


@given(tables, histories, st.sampled_from([0.5, 1.0]), st.integers(1, 4))
def test_scores_are_the_plain_sums(weights, given_histories, age, length) -> None:
    table = table_of(weights, CANDIDATES, age=age, length=length)
    found = table.scores(lists_of(given_histories))
    dense = table.dense(lists_of(given_histories), CANDIDATES + 2)
    for number, history in enumerate(given_histories):
        expected = scores(weights, history, age, length)
        rows, values = found.row(number)
        assert dict(zip(rows.tolist(), values.tolist(), strict=True)) == expected  # powers of two: no rounding
        assert rows.tolist() == sorted(expected)
        row = dense[number]
        assert {one: row[one] for one in expected} == expected
        assert np.count_nonzero(row) == len(expected)


def test_a_history_in_another_order_scores_otherwise() -> None:
    table = table_of({(0, 2): 1.0, (1, 3): 1.0}, 4, age=0.5)
    assert table.dense(Lists.of([[0, 1], [1, 0]]), 4).tolist() == [[0, 0, 0.5, 1], [0, 0, 1, 0.5]]


def test_ages_and_repeats_by_hand() -> None:
    # 1 and 0 chosen, then 1 again: 1 is the latest, 0 one before; the first 1 does not count
    table = table_of({(0, 2): 4.0, (1, 2): 2.0, (1, 0): 8.0}, 3, age=0.25)
    rows, values = table.scores(Lists.of([[1, 0, 1]])).row(0)
    assert (rows.tolist(), values.tolist()) == ([0, 2], [8.0, 2.0 + 4.0 / 4])


def test_rows_beyond_the_table_have_no_neighbours_and_take_a_place() -> None:
    table = table_of({(0, 1): 1.0}, 2, age=0.5, length=2)
    histories = Lists.of([[0, 7], [0, 7, 8], [-1, 0], [7]])
    assert table.dense(histories, 3).tolist() == [[0, 0.5, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]


@given(tables, histories, st.sampled_from([0.5, 1.0]), st.integers(1, 4), st.integers(0, 3), some)
def test_the_heaviest_have_the_scores_of_all_and_no_other_has_more_than_the_rest(
    weights, given_histories, age, length, most, also
) -> None:
    table = table_of(weights, CANDIDATES, age=age, length=length)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"BRIEF": 1, "SAMPLE": 1, "FEW": 0}.items():
            patched.setattr(neighbours, name, value)
        for history in given_histories:
            expected = scores(weights, history, age, length)
            rows, values, rest = table.heaviest(np.array(history, np.int64), most, np.array(also, np.int64))
            assert rows.tolist() == sorted(rows.tolist())
            assert dict(zip(rows.tolist(), values.tolist(), strict=True)) == {
                one: expected[one] for one in rows.tolist()
            }
            left = {one: value for one, value in expected.items() if one not in rows}
            assert all(value <= rest for value in left.values())
            assert not {*left} & {*also}


def test_the_heaviest_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # six weights, buckets by the last three bits: 1 and 9 together have 5, 2 has 4, 3 and 4 have 2 and 1
    monkeypatch.setattr(neighbours, "BRIEF", 1)
    monkeypatch.setattr(neighbours, "SAMPLE", 1)
    table = table_of({(0, 1): 3.0, (0, 9): 2.0, (0, 2): 4.0, (0, 3): 1.0, (0, 4): 1.0, (5, 3): 1.0}, 10)
    history, nothing = np.array([5, 0]), np.zeros(0, np.int64)
    rows, values, rest = table.heaviest(history, 1, nothing)
    assert (rows.tolist(), values.tolist(), rest) == ([1, 9], [3, 2], 5)
    rows, values, rest = table.heaviest(history, 2, nothing)
    assert (rows.tolist(), values.tolist(), rest) == ([1, 2, 9], [3, 4, 2], 4)
    rows, values, rest = table.heaviest(history, 2, np.array([4, 8]))  # 4 has a score, 8 has none
    assert (rows.tolist(), values.tolist(), rest) == ([1, 4, 9], [3, 1, 2], 5)
    assert table.heaviest(history, 6, nothing)[2] == 0


@pytest.mark.parametrize("end", [1, 256, 65_536, 65_537, 1 << 33])
def test_keys_rise_and_equal_ones_stay(end: int) -> None:
    keys = np.random.default_rng(0).integers(0, end, 1000)
    keys[::3] = keys[0]
    np.testing.assert_array_equal(neighbours._rising(keys, end), np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("lists", [[], [[]], [[], [], []]])
def test_nothing_asked_and_empty_histories(lists) -> None:
    table = table_of({(0, 1): 1.0}, 2)
    found = table.scores(lists_of(lists))
    assert found.offsets.tolist() == [0] * (len(lists) + 1)
    assert (len(found.rows), len(found.scores)) == (0, 0)
    assert table.dense(lists_of(lists), 2).shape == (len(lists), 2)


def test_a_table_of_nobody_and_a_table_of_one() -> None:
    nobody = Neighbours(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    assert nobody.dense(Lists.of([[0]]), 2).tolist() == [[0, 0]]
    assert nobody.scores(Lists.of([[0]])).offsets.tolist() == [0, 0]
    assert table_of({}, 1).dense(Lists.of([[0]]), 1).tolist() == [[0]]


@given(st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=4))
def test_latest_is_each_item_at_its_last_place(rows) -> None:
    query = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    expected = [
        (number, item, back)
        for number, row in enumerate(rows)
        for back, item in reversed(list(enumerate(latest_first(row))))
    ]
    with pytest.MonkeyPatch.context() as patched:
        for few in (256, 0):  # sorted by comparisons, and by digits
            patched.setattr(neighbours, "FEW", few)
            found = latest(query, np.array([one for row in rows for one in row], np.int64))
            assert list(zip(*(part.tolist() for part in found), strict=True)) == expected


def test_latest_of_rows_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of which query times item has no 64 bits."""
    monkeypatch.setattr(neighbours, "FEW", 0)
    far = 1 << 62
    query, items, back = latest(np.array([0, 0, 0, 3]), np.array([far, -1, far, 5]))
    assert (query.tolist(), items.tolist(), back.tolist()) == ([0, 0, 3], [-1, far, 5], [1, 0, 0])


def test_in_pieces_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    weights = {(int(a), int(b)): 0.5 for a, b in generator.integers(0, CANDIDATES, (20, 2))}
    table = table_of(weights, CANDIDATES, age=0.5)
    asked = Lists.of([generator.integers(0, CANDIDATES, size) for size in generator.integers(0, 8, 40)])
    whole, dense = table.scores(asked), table.dense(asked, CANDIDATES)
    monkeypatch.setattr(neighbours, "ENTRIES", 10)
    for one, other in zip(whole, table.scores(asked), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(dense, table.dense(asked, CANDIDATES))


def test_a_piece_holds_what_its_own_histories_lead_to(monkeypatch: pytest.MonkeyPatch) -> None:
    # item 0 has 1,000 neighbours, the 999 others none: about one an item, yet 50 histories of item 0 lead to 50,000
    offsets = np.concatenate([[0], np.full(1000, 1000)])
    table = Neighbours(offsets, np.arange(1000, dtype=np.int32), np.ones(1000, np.float32))
    monkeypatch.setattr(neighbours, "ENTRIES", 5_000)
    sizes = []
    entries = Neighbours._entries

    def counted(self, *asked):
        keys, values = entries(self, *asked)
        sizes.append(len(keys))
        return keys, values

    monkeypatch.setattr(Neighbours, "_entries", counted)
    table.scores(Lists.of([[0]] * 50))
    assert (sum(sizes), max(sizes) <= 6_000) == (50_000, True)


def test_a_long_history_costs_its_latest_items_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of({(one, other): 1.0 for one in range(40) for other in range(3)}, 40, length=5)
    keys, _ = table._entries(*table._asked(np.zeros(4000, np.int64), np.tile(np.arange(40), 100)))
    assert len(keys) == 5 * 3


@pytest.mark.parametrize(
    ("offsets", "columns", "weights", "options"),
    [
        ([0, 1], [0], [1.0], {"age": 0.0}),
        ([0, 1], [0], [1.0], {"age": 1.5}),
        ([0, 1], [0], [1.0], {"length": 0}),
        ([], [], [], {}),
        ([1, 1], [0], [1.0], {}),
        ([0, 2, 1], [0, 1], [1.0, 1.0], {}),
        ([0, 1], [0], [1.0, 2.0], {}),
        ([0, 2], [0], [1.0], {}),
        ([0, 1], [1], [1.0], {}),
        ([0, 1], [-1], [1.0], {}),
        ([0, 1], [0], [0.0], {}),
        ([0, 1], [0], [np.nan], {}),
        ([0, 1], [0], [np.inf], {}),
    ],
)
def test_what_is_no_table_is_refused(offsets, columns, weights, options) -> None:
    arrays = np.array(offsets, np.int64), np.array(columns, np.int32), np.array(weights, np.float32)
    with pytest.raises(ConfigError):
        Neighbours(*arrays, **options)


def test_repr() -> None:
    assert (
        repr(table_of({(0, 1): 1.0}, 2, kind="ease", age=0.5)) == "Neighbours(ease: 2 candidates · 1 weight · age 0.5)"
    )
