"""Search: through exact indexes the list is the top k of the dense mixture, under every filter, and never short."""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import blended, lists_of, mixed, ranked, scores, table_of

from shortlist.index import BruteForce, Lists
from shortlist.sources import (
    Added,
    Blend,
    Context,
    Filters,
    Neighbours,
    RankedList,
    Searched,
    Weights,
    compared,
    neighbours,
    search,
    search_with_scale,
)
from shortlist.sources.search import first_of

searching = sys.modules["shortlist.sources.search"]  # the package has the function by this name
BRIEF = [  # all that is too small to be cut short here is cut short
    (searching, "BRIEF", 1), (searching, "WIDE", 1), (searching, "FEW", 0), (compared, "FEW", 0),
    (neighbours, "BRIEF", 0), (neighbours, "SAMPLE", 1), (neighbours, "FEW", 0),
]  # fmt: skip
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


def search_blend(vectors, table, blend, queries, histories, k, filters):
    """One pair of towers and one table through an exact index."""
    index = BruteForce().build(vectors)
    towers = Searched(index, index.vectors_of, queries)
    context = Context(histories, np.zeros((len(queries), 0), np.int64))
    return search([towers], Added((table,), (), histories, blend.weights), context, k, filters)


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


@contextmanager
def shortened(brief: bool):
    """What is done for large tables alone, done here too."""
    with pytest.MonkeyPatch.context() as patched:
        for module, name, value in BRIEF if brief else ():
            patched.setattr(module, name, value)
        yield


@given(asked(), st.booleans())
def test_it_is_the_top_of_the_dense_blend(case, brief) -> None:
    with shortened(brief):
        _the_top_of_the_dense_blend(case)


def _the_top_of_the_dense_blend(case) -> None:
    vectors = np.array(case["vectors"], np.float32)
    exclude = None if case["exclude"] is None else lists_of(case["exclude"])
    hits = search_blend(
        vectors,
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
            vectors, table, Blend(share), np.ones((1, 1), np.float32),
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
        vectors, table_of({}, 4), Blend(0.5, 1e-3),
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
        vectors, table, Blend(0.5, 0.01), queries,
        Lists.of([[0]] * 6), 20, Filters(),
    )  # fmt: skip
    for ids, _ in hits:
        assert (np.diff(ids.reshape(4, 5), axis=1) == 1).all()


@st.composite
def asked_of_many(draw):
    """Up to three towers, two tables and two ranked lists; what each query chose and may have; k and weights."""
    number = st.integers(-3, 3)
    queries, heads = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    towers = draw(st.integers(1, 3))
    pairs = st.tuples(st.integers(0, SIZE - 2), st.integers(0, SIZE - 2))
    order = st.lists(rows, max_size=SIZE, unique=True)
    tables, lists = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    weight = st.sampled_from([0.0, 0.25, 1.0, 2.0])
    count = towers + tables + lists
    vector = st.lists(number, min_size=2, max_size=2)
    return {
        "vectors": [draw(st.lists(vector, min_size=SIZE, max_size=SIZE)) for _ in range(towers)],
        "queries": [
            draw(st.lists(st.lists(number, min_size=2 * heads, max_size=2 * heads), min_size=queries, max_size=queries))
            for _ in range(towers)
        ],
        "weights": draw(st.lists(weight, min_size=count, max_size=count).filter(any)),
        "temperatures": draw(st.lists(st.sampled_from([0.001, 0.5, 3.0]), min_size=towers, max_size=towers)),
        "tables": [draw(st.dictionaries(pairs, st.sampled_from([0.5, 1.0, 2.0]))) for _ in range(tables)],
        "lists": [(draw(order), draw(order)) for _ in range(lists)],  # everybody's, and that of a segment
        "segments": draw(st.lists(st.lists(st.integers(0, 1), min_size=lists, max_size=lists), min_size=queries, max_size=queries)),
        "histories": draw(st.lists(some, min_size=queries, max_size=queries)),
        "exclude": draw(st.none() | st.lists(some, min_size=queries, max_size=queries)),
        "allow": draw(st.none() | some),
        "deny": draw(st.none() | some),
        "k": draw(st.integers(1, SIZE + 2)),
    }  # fmt: skip


def expected_of_many(case, number: int) -> dict[int, float]:
    """The mixture's score of each candidate that the query may have, by a double loop."""
    closed = {*(case["exclude"][number] if case["exclude"] else ()), *(case["deny"] or ())}
    eligible = [one for one in range(SIZE) if one not in closed and (case["allow"] is None or one in case["allow"])]
    towers = []
    for vectors, queries in zip(case["vectors"], case["queries"], strict=True):
        heads = np.array(queries[number]).reshape(-1, 2)
        towers.append({one: float((heads @ np.array(vectors[one])).max()) for one in eligible})
    others = [scores(table, case["histories"][number], 0.5, 3) for table in case["tables"]]
    others += [
        ranked(lists[segment], eligible) for lists, segment in zip(case["lists"], case["segments"][number], strict=True)
    ]
    return mixed(towers, others, case["weights"], case["temperatures"])


def built_of_many(case):
    """Towers, the other sources, their context and filters, as ``search`` takes them."""
    towers = []
    for vectors, queries in zip(case["vectors"], case["queries"], strict=True):
        array = np.array(vectors, np.float32)
        towers.append(Searched(BruteForce().build(array), array.__getitem__, np.array(queries, np.float32)))
    lists = tuple(
        RankedList(
            np.cumsum([0, *map(len, both)]), np.array([one for each in both for one in each], np.int32), SIZE, "popular",
            by="land", values=("kr",),
        )
        for both in case["lists"]
    )  # fmt: skip
    tables = tuple(table_of(weights, SIZE - 1, age=0.5, length=3) for weights in case["tables"])
    histories = lists_of(case["histories"])
    added = Added(tables, lists, histories, Weights(tuple(case["weights"]), tuple(case["temperatures"])))
    segments = np.array(case["segments"], np.int64).reshape(len(histories), len(lists))
    exclude = None if case["exclude"] is None else lists_of(case["exclude"])
    filters = Filters(exclude, rows_of(case["allow"]), rows_of(case["deny"]))
    return towers, added, Context(histories, segments), filters


@given(asked_of_many(), st.booleans())
def test_any_number_of_sources(case, brief) -> None:
    towers, added, context, filters = built_of_many(case)
    with shortened(brief):
        hits = search(towers, added, context, case["k"], filters)
    assert len(hits) == len(case["histories"])
    for number, (found, values) in enumerate(hits):
        expected = expected_of_many(case, number)
        assert len(found) == len({*found.tolist()}) == min(case["k"], len(expected))
        assert values.tolist() == pytest.approx([expected[one] for one in found.tolist()], rel=1e-5, abs=1e-9)
        best = sorted(expected.values(), reverse=True)[: len(found)]
        assert values.tolist() == pytest.approx(best, rel=1e-5, abs=1e-9)


@given(asked_of_many(), some)
def test_scores_of_a_search_within_some_rows_compare_with_those_of_all(case, within: list[int]) -> None:
    towers, added, context, filters = built_of_many(case)
    _, scale = search_with_scale(towers, added, context, case["k"], filters)
    hits, same = search_with_scale(towers, added, context, SIZE, filters, rows_of(within), scale)
    assert same is scale
    for number, (found, values) in enumerate(hits):
        expected = {one: score for one, score in expected_of_many(case, number).items() if one in within}
        assert sorted(found.tolist()) == sorted(expected)
        assert values.tolist() == pytest.approx([expected[one] for one in found.tolist()], rel=1e-5, abs=1e-9)
        assert values.tolist() == sorted(values.tolist(), reverse=True)


def test_a_candidate_that_no_towers_put_first_can_be_the_best() -> None:
    # by either towers alone 0 or 1 is first, and 40 others are before 50; by both together it is 50
    generator = np.random.default_rng(0)
    first, second = generator.uniform(0, 0.5, (2, 60))
    first[:20], second[20:40] = 3, 3
    first[50] = second[50] = 2.9
    towers = []
    for scores_ in (first, second):
        array = scores_[:, None].astype(np.float32)
        towers.append(Searched(BruteForce().build(array), array.__getitem__, np.ones((1, 1), np.float32)))
    nothing = lists_of([[]])
    added = Added((), (), nothing, Weights((0.5, 0.5), (1.0, 1.0)))
    context = Context(nothing, np.zeros((1, 0), np.int64))
    assert search(towers, added, context, 1, Filters()).row(0)[0].tolist() == [50]


def test_a_place_is_counted_among_what_a_query_may_have() -> None:
    # 61 / 61, 61 / 62, 61 / 63 for the first three that are left; 4 is denied, 2 excluded for the second query
    listed = RankedList(np.array([0, 4]), np.array([4, 2, 0, 1], np.int32), 5, "popular")
    vectors = np.zeros((5, 1), np.float32)
    towers = Searched(BruteForce().build(vectors), vectors.__getitem__, np.ones((2, 1), np.float32))
    nothing = lists_of([[], []])
    added = Added((), (listed,), nothing, Weights((0.0, 1.0), (1.0,)))
    context = Context(nothing, np.zeros((2, 1), np.int64))
    hits = search([towers], added, context, 5, Filters(lists_of([[], [2]]), deny=np.array([4])))
    assert hits.row(0)[0].tolist() == [2, 0, 1, 3]
    assert hits.row(0)[1].tolist() == pytest.approx([1, 61 / 62, 61 / 63, 0])
    assert hits.row(1)[0].tolist() == [0, 1, 3]
    assert hits.row(1)[1].tolist() == pytest.approx([1, 61 / 62, 0])


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(1, 6))
def test_the_first_of_some_are_those_of_a_sort_of_all(totals: list[int], k: int) -> None:
    ids = np.random.default_rng(len(totals)).permutation(50)[: len(totals)]
    found = first_of(ids, np.array(totals, np.float64), k)
    expected = sorted((-total, int(one)) for total, one in zip(totals, ids, strict=True))
    assert ids[found].tolist() == [one for _, one in expected][:k]


def test_one_query_of_a_large_table_has_the_list_of_many_and_reads_few_vectors() -> None:
    generator = np.random.default_rng(0)
    size, each, k = 3000, 40, 10
    vectors = generator.standard_normal((size, 8)).astype(np.float32)
    columns = generator.integers(0, size, size * each, dtype=np.int32)
    table = Neighbours(np.arange(size + 1) * each, columns, generator.random(len(columns), np.float32) + 0.01, age=0.8)
    histories = Lists.of([generator.integers(0, size, 60) for _ in range(20)])
    queries = generator.standard_normal((20, 8)).astype(np.float32)
    added = Added((table,), (), histories, Weights((0.5, 0.5), (0.3,)))
    index, read = BruteForce().build(vectors), []

    def vectors_of(rows):
        read.append(len(rows))
        return vectors[rows]

    whole = Context(histories, np.zeros((20, 0), np.int64))
    exclude = Lists.of([histories.row(number) for number in range(20)])
    together = search([Searched(index, vectors_of, queries)], added, whole, k, Filters(exclude))
    for number in range(20):
        one = Searched(index, vectors_of, queries[number : number + 1])
        alone = search([one], added, whole.one(number), k, Filters(Lists.of([exclude.row(number)])))
        for first, second in zip(alone.row(0), together.row(number), strict=True):
            np.testing.assert_array_equal(first, second)
    reached = np.diff(table.scores(histories).offsets)
    assert reached.min() > 1500  # candidates with a score of the table
    assert max(read) < 300


@given(
    seed=st.integers(0, 2**32),
    heads=st.integers(1, 2),
    k=st.sampled_from([1, 5, 10]),
    share=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    temperature=st.sampled_from([0.01, 0.5, 3.0]),
    filtered=st.sampled_from([None, "exclude", "allow", "deny"]),
)
def test_the_shortest_way_of_one_query_has_the_list_of_the_others(seed, heads, k, share, temperature, filtered) -> None:
    """To the same bits, with the scale of the scores, whether the shortest way gets there or not."""
    rng = np.random.default_rng(seed)
    n, dim, each, length = 400, 8, 30, 20
    index = BruteForce().build(rng.standard_normal((n, dim)).astype(np.float32))
    columns = rng.integers(0, n, n * each, dtype=np.int32)
    table = Neighbours(
        np.arange(n + 1) * each, columns, rng.random(n * each, dtype=np.float32) + np.float32(0.01), age=0.7
    )
    histories = Lists.of([rng.integers(0, n, length)])
    towers = [Searched(index, index.vectors_of, rng.standard_normal((1, heads * dim)).astype(np.float32))]
    elsewhere = [Searched(index, lambda rows: index.vectors_of(rows), towers[0].queries)]  # no short way to its vectors
    added = Added((table,), (), histories, Weights((1 - share, share), (temperature,)))
    chosen = rng.permutation(n)
    filters = {
        None: Filters(),
        "exclude": Filters(exclude=Lists.of([chosen[:150]])),
        "allow": Filters(allow=chosen[:60]),
        "deny": Filters(deny=chosen[:200]),
    }[filtered]
    context = Context(histories, np.zeros((1, 0), np.int64))
    short, plain = (search_with_scale(each, added, context, k, filters) for each in (towers, elsewhere))
    for one, other in zip(
        (short[0].offsets, short[0].ids, short[0].scores, short[1].best, short[1].last),
        (plain[0].offsets, plain[0].ids, plain[0].scores, plain[1].best, plain[1].last),
        strict=True,
    ):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tolist() == other.tolist()


def test_the_shortest_way_searches_once_and_reads_no_vector_through_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    if searching.joined.__globals__["index_library"]() is None:
        pytest.skip("no library was built for this processor")
    rng = np.random.default_rng(0)
    n, each = 20_000, 100
    index = BruteForce().build(rng.standard_normal((n, 8)).astype(np.float32))
    columns, weights = rng.integers(0, n, n * each, dtype=np.int32), rng.random(n * each, dtype=np.float32)
    table = Neighbours(np.arange(n + 1) * each, columns, weights + np.float32(0.01), age=0.7)
    histories = Lists.of([rng.integers(0, n, 50)])
    asked_of: list[int] = []
    find = BruteForce.search
    monkeypatch.setattr(BruteForce, "vectors_of", lambda *_: pytest.fail("a vector was read by itself"))
    monkeypatch.setattr(BruteForce, "search", lambda *given, **more: asked_of.append(1) or find(*given, **more))
    monkeypatch.setattr(Neighbours, "scores", lambda *_: pytest.fail("all weights were added up"))
    towers = [Searched(index, index.vectors_of, rng.standard_normal((1, 8)).astype(np.float32))]
    context = Context(histories, np.zeros((1, 0), np.int64))
    added = Added((table,), (), histories, Weights((0.6, 0.4), (0.2,)))
    assert search(towers, added, context, 10, Filters()).ids.size == 10
    assert len(asked_of) == 1
