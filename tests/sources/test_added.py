"""What a mixture adds to its towers: histories, segments, and other rows after candidates came and went."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import lists_of, table_of, weights_of

from shortlist.index import Lists
from shortlist.sources import Added, Blend, RankedList, Weights, without

SIZE = 7
rows = st.integers(0, SIZE - 1)
some = st.lists(rows, max_size=4)


@given(st.lists(some, min_size=1, max_size=4), some)
def test_without(lists, gone) -> None:
    found = without(lists_of(lists), np.array(gone, np.int64))
    assert [row.tolist() for row in map(found.row, range(len(found)))] == [
        [one for one in row if one not in gone] for row in lists
    ]


@given(
    st.dictionaries(st.tuples(rows, rows), st.sampled_from([0.5, 1.0]), max_size=12),
    st.lists(some, min_size=1, max_size=3),
    st.sets(rows, max_size=SIZE - 1),
    st.integers(0, 2),
)
def test_renumbered_is_the_same_under_other_rows(weights, histories, gone, more) -> None:
    table = table_of(weights, SIZE, age=0.5)
    listed = RankedList(np.array([0, 3]), np.array([4, 0, 6], np.int32), SIZE, "popular")
    source = Added((table,), (listed,), lists_of(histories), Weights((0.5, 0.4, 0.1), (1.0,)))
    alive = [one for one in range(SIZE + more) if one not in gone]  # some came after the table was made
    row = np.full(SIZE + more, -1)
    row[alive] = np.arange(len(alive))
    after = source.renumbered(row)
    kept = {(row[a], row[b]): weight for (a, b), weight in weights.items() if a in alive and b in alive}
    assert weights_of(after.tables[0]) == kept
    assert (len(after.tables[0]), after.tables[0].age, after.weights) == (len(alive), 0.5, source.weights)
    assert after.lists[0].rows.tolist() == [row[one] for one in (4, 0, 6) if one in alive]
    assert len(after.lists[0]) == len(alive)
    for number, history in enumerate(histories):
        assert after.histories.row(number).tolist() == [row[one] for one in history if one in alive]


def test_histories_of_stored_queries_and_of_others() -> None:
    source = Added((table_of({}, 3),), (), Lists.of([[0, 1], [2]]), Blend(0.5).weights)

    def found(*given):
        lists = source.of_queries(*given)
        return [lists.row(number).tolist() for number in range(len(lists))]

    assert found(np.array([1, -1, 0])) == [[2], [], [0, 1]]
    assert found(np.array([1, -1]), [np.array([0]), np.array([1, 0])]) == [[2, 0], [1, 0]]
    assert found(np.zeros(0, np.int64)) == []


def test_segments_of_each_list() -> None:
    by_land = RankedList(np.array([0, 1, 2]), np.array([0, 1], np.int32), 2, "popular", by="land", values=("kr",))
    of_all = RankedList(np.array([0, 1]), np.array([0], np.int32), 2, "recent")
    added = Added((), (by_land, of_all), lists_of([[]]), Weights((1.0, 1.0, 1.0), (1.0,)))
    assert added.reads == ("land",)
    assert added.segments(pl.DataFrame({"land": ["kr", "us", None]})).tolist() == [[1, 0], [0, 0], [0, 0]]
    assert added.segments(pl.DataFrame({"other": [1]})).tolist() == [[0, 0]]
    assert added.without_lists.weights == Weights((1.0,), (1.0,))


def test_a_pair_is_one_table_with_weights_of_a_blend() -> None:
    table, nothing = table_of({}, 2), lists_of([[]])
    assert Added((table,), (), nothing, Blend(0.3, 2.0).weights).pair == Blend(0.3, 2.0)
    assert Added((table,), (), nothing, Weights((2.0, 1.0), (1.0,))).pair is None
    assert Added((), (), nothing, Weights((0.5, 0.5), (1.0, 1.0))).pair is None


def test_histories_whose_length_counts_have_each_candidate_once() -> None:
    table, weights = table_of({}, 4), Blend(0.5).weights
    source = Added((table,), (), Lists.of([[0, 1], [2]]), weights, by_history=((2, weights),))
    given = [np.array([0, 3, 0]), np.array([2]), np.array([3, 3]), np.zeros(0, np.int64)]
    lists = source.of_queries(np.array([0, 1, -1, 0]), given)
    assert [lists.row(number).tolist() for number in range(4)] == [[1, 3, 0], [2], [3], [0, 1]]
