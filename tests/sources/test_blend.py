"""Blend: through an exact index the list is the top k of the dense blend, under every filter, and never short."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import blended, lists_of, scores, table_of, weights_of

from shortlist.errors import ConfigError
from shortlist.index import BruteForce, Lists
from shortlist.sources import Blend, Filters, NeighbourSource, search_blend, without

SIZE = 7  # candidates in the index; the table has one less
rows = st.integers(0, SIZE - 1)
some = st.lists(rows, max_size=4)


@st.composite
def asked(draw):
    """Vectors of candidates and queries, a table, histories, filters, k and a blend."""
    heads = draw(st.integers(1, 2))
    number = st.integers(-3, 3)
    queries = draw(st.integers(1, 3))
    pairs = st.tuples(st.integers(0, SIZE - 2), st.integers(0, SIZE - 2))
    return {
        "heads": heads,
        "vectors": draw(st.lists(st.lists(number, min_size=2, max_size=2), min_size=SIZE, max_size=SIZE)),
        "queries": draw(
            st.lists(st.lists(number, min_size=2 * heads, max_size=2 * heads), min_size=queries, max_size=queries)
        ),
        "weights": draw(st.dictionaries(pairs, st.sampled_from([0.5, 1.0, 2.0]))),
        "histories": draw(st.lists(some, min_size=queries, max_size=queries)),
        "exclude": draw(st.none() | st.lists(some, min_size=queries, max_size=queries)),
        "allow": draw(st.none() | some),
        "deny": draw(st.none() | some),
        "k": draw(st.integers(1, SIZE + 2)),
        "blend": Blend(draw(st.sampled_from([0.0, 0.25, 0.9, 1.0])), draw(st.sampled_from([0.001, 0.5, 3.0]))),
    }


def rows_of(values) -> np.ndarray | None:
    return None if values is None else np.array(values, np.int64)


def expected_of(case, number: int) -> dict[int, float]:
    """The blended score of each candidate that the query may have."""
    query = np.array(case["queries"][number]).reshape(-1, 2)
    closed = {*(case["exclude"][number] if case["exclude"] else ()), *(case["deny"] or ())}
    eligible = [one for one in range(SIZE) if one not in closed and (case["allow"] is None or one in case["allow"])]
    towers = {one: float((query @ np.array(case["vectors"][one])).max()) for one in eligible}
    near = scores(case["weights"], case["histories"][number], 0.5, 3)
    return blended(towers, near, case["blend"].share, case["blend"].temperature)


@given(asked())
def test_it_is_the_top_of_the_dense_blend(case) -> None:
    vectors = np.array(case["vectors"], np.float32)
    exclude = None if case["exclude"] is None else lists_of(case["exclude"])
    hits = search_blend(
        BruteForce().build(vectors),
        lambda wanted: vectors[wanted],
        table_of(case["weights"], SIZE - 1, age=0.5, length=3),
        case["blend"],
        np.array(case["queries"], np.float32),
        lists_of(case["histories"]),
        case["k"],
        Filters(exclude, rows_of(case["allow"]), rows_of(case["deny"])),
    )
    assert len(hits) == len(case["queries"])
    for number, (found, values) in enumerate(hits):
        expected = expected_of(case, number)
        assert len(found) == len({*found.tolist()}) == min(case["k"], len(expected))
        assert values.tolist() == pytest.approx([expected[one] for one in found.tolist()], rel=1e-5, abs=1e-12)
        left = [(-score, one) for one, score in expected.items() if one not in found]
        order = [(-expected[one], one) for one in found.tolist()]
        assert order == sorted(order)
        for last, other in zip(order[-1:], sorted(left), strict=False):  # of equal heads' scores any may be the last
            assert last < other or (
                last[0] == pytest.approx(other[0], rel=1e-12) and (case["heads"] > 1 or last[0] != other[0])
            )


def test_by_hand() -> None:
    # towers: 3, 3 − ln 2, 3 − ln 4 at temperature 1: parts 1, 1/2, 1/4; neighbours of 0: 1 → 2, 2 → 4
    vectors = np.array([[3], [3 - math.log(2)], [3 - math.log(4)]], np.float32)
    table = table_of({(0, 1): 2.0, (0, 2): 4.0}, 3)

    def found(share: float, k: int, history, **filters):
        hits = search_blend(
            BruteForce().build(vectors), lambda rows: vectors[rows], table, Blend(share), np.ones((1, 1), np.float32),
            Lists.of([history]), k, Filters(**filters),
        )  # fmt: skip
        ids, values = hits.row(0)
        return dict(zip(ids.tolist(), values.tolist(), strict=True))

    # share 1/2: 0: 1/2; 1: 1/4 + 1/4; 2: 1/8 + 1/2
    assert found(0.5, 3, [0]) == pytest.approx({2: 5 / 8, 0: 1 / 2, 1: 1 / 2}, rel=1e-6)
    assert list(found(0.5, 1, [0])) == [2]  # which the towers alone put last
    assert found(0.0, 3, [0]) == pytest.approx({0: 1, 1: 1 / 2, 2: 1 / 4}, rel=1e-6)
    assert found(0.5, 3, np.zeros(0, np.int64)) == pytest.approx({0: 1 / 2, 1: 1 / 4, 2: 1 / 8}, rel=1e-6)
    # without 2 and 0, the best of each source is 1
    assert found(0.5, 3, [0], deny=np.array([2]), exclude=Lists.of([[0]])) == pytest.approx({1: 1.0})
    # neighbours alone: 2, 1; what they do not reach is below, in the towers' order
    assert found(1.0, 3, [0]) == pytest.approx({2: 1, 1: 1 / 2, 0: 0}, abs=1e-9)
    assert found(1.0, 3, [1]) == pytest.approx({0: 0, 1: -math.log(2), 2: -math.log(4)}, rel=1e-6)
    assert found(0.5, 3, [0], allow=np.zeros(0, np.int64)) == {}


def test_where_the_first_part_is_too_small_the_towers_order_is_kept() -> None:
    vectors = np.array([[0], [-5], [-4], [-6]], np.float32)
    hits = search_blend(
        BruteForce().build(vectors), lambda rows: vectors[rows], table_of({}, 4), Blend(0.5, 1e-3),
        np.ones((1, 1), np.float32), Lists.of([[0]]), 4, Filters(),
    )  # fmt: skip
    assert hits.row(0)[0].tolist() == [0, 2, 1, 3]
    assert (np.diff(hits.row(0)[1]) < 0).all()


def test_equal_vectors_come_by_row_whichever_source_found_them() -> None:
    generator = np.random.default_rng(0)
    vectors = np.repeat(generator.standard_normal((4, 24)).astype(np.float32), 5, axis=0)  # five of each
    table = table_of({(0, one): 1.0 for one in range(20)}, 20)
    queries = generator.standard_normal((6, 24)).astype(np.float32)
    hits = search_blend(
        BruteForce().build(vectors), lambda rows: vectors[rows], table, Blend(0.5, 0.01), queries,
        Lists.of([[0]] * 6), 20, Filters(),
    )  # fmt: skip
    for ids, _ in hits:
        assert (np.diff(ids.reshape(4, 5), axis=1) == 1).all()


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
    source = NeighbourSource(table_of(weights, SIZE, age=0.5), lists_of(histories), Blend(0.5))
    alive = [one for one in range(SIZE + more) if one not in gone]  # some came after the table was made
    row = np.full(SIZE + more, -1)
    row[alive] = np.arange(len(alive))
    after = source.renumbered(row)
    kept = {(row[a], row[b]): weight for (a, b), weight in weights.items() if a in alive and b in alive}
    assert weights_of(after.neighbours) == kept
    assert (len(after.neighbours), after.neighbours.age, after.blend) == (len(alive), 0.5, source.blend)
    for number, history in enumerate(histories):
        assert after.histories.row(number).tolist() == [row[one] for one in history if one in alive]


def test_histories_of_stored_queries_and_of_others() -> None:
    source = NeighbourSource(table_of({}, 3), Lists.of([[0, 1], [2]]), Blend(0.5))

    def found(*given):
        lists = source.of_queries(*given)
        return [lists.row(number).tolist() for number in range(len(lists))]

    assert found(np.array([1, -1, 0])) == [[2], [], [0, 1]]
    assert found(np.array([1, -1]), [np.array([0]), np.array([1, 0])]) == [[2, 0], [1, 0]]
    assert found(np.zeros(0, np.int64)) == []


@pytest.mark.parametrize(
    "options", [(-0.1,), (1.1,), (True,), ("1",), (math.nan,), (0.5, 0.0), (0.5, -1.0), (0.5, math.nan)]
)
def test_blends_that_cannot_be(options) -> None:
    with pytest.raises(ConfigError, match="a mixture got"):
        Blend(*options)
