"""Ranked lists: scores by place among what is open, sparse and dense alike; how they grow; what cannot be."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import ranked

from shortlist.errors import ConfigError, DataError
from shortlist.sources import RankedList

SIZE = 6
order = st.lists(st.integers(0, SIZE - 1), max_size=SIZE, unique=True)


@given(order, order, st.lists(st.tuples(st.integers(0, 1), st.sets(st.integers(0, SIZE - 1))), min_size=1, max_size=3))
def test_scores_are_by_place_among_what_is_open(everybody, segment, queries) -> None:
    offsets = np.array([0, len(everybody), len(everybody) + len(segment)])
    listed = RankedList(offsets, np.array([*everybody, *segment], np.int32), SIZE, "popular", by="land", values=("kr",))
    segments = np.array([place for place, _ in queries])
    shut = np.zeros((len(queries), SIZE), bool)
    for number, (_, closed) in enumerate(queries):
        shut[number, [*closed]] = True
    dense = listed.dense(segments, SIZE, shut)

    def closed_of(scored):
        query = np.repeat(np.arange(len(queries)), np.diff(scored.offsets))
        return shut[query, scored.rows]

    found = listed.scores(segments, closed_of)
    for number, (place, closed) in enumerate(queries):
        expected = ranked((everybody, segment)[place], [one for one in range(SIZE) if one not in closed])
        rows, values = found.row(number)
        assert rows.tolist() == sorted(expected)
        assert values.tolist() == pytest.approx([expected[one] for one in sorted(expected)])
        assert dense[number].tolist() == pytest.approx([expected.get(one, 0.0) for one in range(SIZE)])


def test_segments_are_values_of_the_column() -> None:
    listed = RankedList(np.array([0, 1, 2, 2]), np.array([0, 1], np.int32), 2, "popular", by="age", values=(18, 30))
    assert listed.segments(pl.Series([30, None, 18, 5]), 4).tolist() == [2, 0, 1, 0]
    assert listed.segments(None, 2).tolist() == [0, 0]
    everybody = RankedList(np.array([0, 1]), np.array([0], np.int32), 2, "popular")
    assert everybody.segments(pl.Series([30]), 1).tolist() == [0]


def test_new_candidates_come_first_by_arrival_or_where_their_column_says() -> None:
    table = pl.DataFrame({"id": range(5), "year": [3, None, 9, 7, 5]})
    arrival = RankedList(np.array([0, 2]), np.array([2, 0], np.int32), 3, "new", length=3)
    assert arrival.grown(table, np.array([1, 3, 4])).rows.tolist() == [4, 3, 2]
    by_year = RankedList(np.array([0, 1]), np.array([2], np.int32), 3, "new", newest="year", length=3)
    assert by_year.grown(table, np.array([4])).rows.tolist() == [2, 3, 4]
    popular = RankedList(np.array([0, 1]), np.array([2], np.int32), 3, "popular")
    assert (popular.grown(table, np.array([4])).rows.tolist(), len(popular.grown(table, np.array([4])))) == ([2], 5)


@pytest.mark.parametrize(
    ("offsets", "rows", "values"),
    [([0], [], ()), ([0, 2], [0], ()), ([1, 1], [0], ()), ([0, 1], [3], ()), ([0, 1], [-1], ()), ([0, 2], [1, 1], ()),
     ([0, 1, 1], [0], ()), ([0, 1], [0], ("kr",)), ([0, 2, 1], [0], ("kr",))],
)  # fmt: skip
def test_lists_that_cannot_be(offsets, rows, values) -> None:
    with pytest.raises(ConfigError, match="ranked lists"):
        RankedList(np.array(offsets), np.array(rows, np.int32), 3, "popular", by="land", values=values)


def test_a_column_of_another_type_is_refused_and_a_list_counts_its_candidates() -> None:
    ranked = RankedList(np.array([0, 2, 4]), np.array([1, 0, 0, 1], np.int32), 3, "popular", "land", ("kr",))
    assert repr(ranked) == "RankedList(popular: 2 of 3 candidates, by 'land': 1 segment)"
    assert ranked.segments(pl.Series([None, None]), 2).tolist() == [0, 0]
    with pytest.raises(DataError, match="'land' is of type Int64; in training it had values such as 'kr'"):
        ranked.segments(pl.Series([5]), 1)
    numbers = RankedList(np.array([0, 2, 4]), np.array([1, 0, 0, 1], np.int32), 3, "popular", "age", (30,))
    assert numbers.segments(pl.Series([30, 31], dtype=pl.Int8), 2).tolist() == [1, 0]
    with pytest.raises(DataError, match="values such as 30"):
        numbers.segments(pl.Series(["30"]), 1)
