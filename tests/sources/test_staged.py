"""Lists and scores by both stages, against the plain definition: under every filter, within some rows, with any sources."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import lists_of, ranked, scores
from tests.sources.plain_stage import Made, network_of, staged
from tests.sources.test_search import SIZE, asked_of_many, built_of_many, expected_of_many, rows_of, shortened, some

from shortlist.index import BruteForce
from shortlist.sources import (
    Added,
    Context,
    Filters,
    PairFeatures,
    Searched,
    SecondStage,
    Weights,
    scores_of_all_stages,
    search_all_stages,
    search_with_scale,
)

MADE = Made([4, 0, 2, 1, 0, 3, 1], ["x", "xy", "", "z", "zz", "y", "x"], [(0, 0), (0, 2), (1, 0), (1, 5), (-1, 0)])
CLOSE: dict[str, Any] = {"rel": 1e-3, "abs": 1e-3}
of_one_vector = asked_of_many().filter(
    lambda case: len(case["queries"][0][0]) == 2
)  # of several, any of equal ones may be the last
stages = st.tuples(st.integers(1, SIZE + 2), st.integers(0, 5))


def with_stage(added: Added, context: Context, depth: int, seed: int, groups: list[int]) -> tuple[Added, Context]:
    """The same with a second stage behind it."""
    features = MADE.features
    sources = len(added.weights.values)
    stage = SecondStage(features, network_of(features.width(sources), seed=seed), depth)
    return replace(added, stage=stage), replace(context, groups=np.array(groups, np.int64)[:, None])


def sources_of(case: dict[str, Any], number: int, eligible: list[int]) -> dict[int, list[float]]:
    """Of each candidate each source's score, as ``PairFeatures`` describes it."""
    found: dict[int, list[float]] = {one: [] for one in eligible}
    for vectors, queries in zip(case["vectors"], case["queries"], strict=True):
        heads = np.array(queries[number]).reshape(-1, 2)
        of_it = {one: float((heads @ np.array(vectors[one])).max()) for one in eligible}
        for one in eligible:
            found[one].append(of_it[one] - max(of_it.values()))
    others = [scores(table, case["histories"][number], 0.5, 3) for table in case["tables"]]
    for lists, segment in zip(case["lists"], case["segments"][number], strict=True):
        others.append(ranked(lists[segment], eligible))
    for other in others:
        most = max((other.get(one, 0.0) for one in eligible), default=0.0)
        for one in eligible:
            found[one].append(other.get(one, 0.0) / most if most else 0.0)
    return found


def expected_of(
    case: dict[str, Any], added: Added, context: Context, number: int, totals: dict[int, float]
) -> dict[int, float]:
    """The score of each candidate that the query may have, from those of the first stage, best first."""
    assert added.stage is not None
    order = [*totals]
    sources, group = sources_of(case, number, [*totals]), int(context.groups[number, 0])
    listed = [sources[one] for one in order[: added.stage.depth]]
    features = {
        one: MADE.plain(sources[one], case["histories"][number], group, one, place, listed)
        for place, one in enumerate(order)
    }
    return staged(added.stage.network, added.stage.depth, totals, features)


def totals_of(towers: Any, added: Added, context: Context, filters: Filters) -> list[dict[int, float]]:
    """The scores by the first stage of all candidates that each query may have; test_search.py compares them with loops."""
    hits, _ = search_with_scale(towers, replace(added, stage=None), context, SIZE, filters)
    return [dict(zip(rows.tolist(), values.tolist(), strict=True)) for rows, values in hits]


@given(of_one_vector, stages, st.lists(st.integers(-1, 1), min_size=3, max_size=3), st.booleans())
def test_a_list_is_that_of_the_plain_definition(case, stage, groups, brief) -> None:
    towers, added, context, filters = built_of_many(case)
    added, context = with_stage(added, context, *stage, groups[: len(case["histories"])])
    with shortened(brief):
        hits, made = search_all_stages(towers, added, context, case["k"], filters)
        totals = totals_of(towers, added, context, filters)
    assert len(hits) == len(made.lists) == len(case["histories"])
    for number, (found, values) in enumerate(hits):
        assert {*totals[number]} == {*expected_of_many(case, number)}
        expected = expected_of(case, added, context, number, totals[number])
        assert len(found) == len({*found.tolist()}) == min(case["k"], len(expected))
        assert values.tolist() == pytest.approx([expected[one] for one in found.tolist()], **CLOSE)
        assert values.tolist() == sorted(values.tolist(), reverse=True)
        best = sorted(expected.values(), reverse=True)[: len(found)]
        assert values.tolist() == pytest.approx(best, **CLOSE)


@given(of_one_vector, stages, some)
def test_a_candidate_has_one_score_in_all_searches(case, stage, within) -> None:
    """To the last bit: in lists of every length, within some rows, and alone."""
    towers, added, context, filters = built_of_many(case)
    added, context = with_stage(added, context, *stage, [0] * len(case["histories"]))
    every, scale = search_all_stages(towers, added, context, SIZE, filters)
    short, other = search_all_stages(towers, added, context, case["k"], filters)
    hits, same = search_all_stages(towers, added, context, SIZE, filters, rows_of(within), scale)
    again, _ = search_all_stages(towers, added, context, case["k"], filters, None, other)
    at_once, _ = search_all_stages(towers, added, context, SIZE, filters, rows_of(within))
    alone = scores_of_all_stages(towers, added, context, filters, np.arange(SIZE))
    assert same is scale
    for number, (rows, values) in enumerate(every):
        score = dict(zip(rows.tolist(), values.tolist(), strict=True))
        for found in (short, again):
            assert found.row(number)[0].tolist() == rows[: case["k"]].tolist()
            assert found.row(number)[1].tolist() == values[: case["k"]].tolist()
        inside = [one for one in rows.tolist() if one in within]
        for found in (hits, at_once):
            assert found.row(number)[0].tolist() == inside
            assert found.row(number)[1].tolist() == [score[one] for one in inside]
        assert [float(alone[number, one]) for one in rows.tolist()] == values.tolist()


@given(of_one_vector, stages)
def test_scores_where_a_query_may_have_no_candidate_are_those_of_all(case, stage) -> None:
    towers, added, context, _ = built_of_many(case)
    added, context = with_stage(added, context, *stage, [0] * len(case["histories"]))
    every = np.arange(SIZE)
    everything = lists_of([[*range(SIZE)]] + [case["histories"][0]] * (len(case["histories"]) - 1))
    found = scores_of_all_stages(towers, added, context, Filters(everything), every)
    whole = scores_of_all_stages(towers, added, context, Filters(), every)
    rest = scores_of_all_stages(towers, added, context, Filters(everything), every)
    assert found[0].tolist() == whole[0].tolist()
    assert found[1:].tolist() == rest[1:].tolist()
    assert np.isfinite(found).all()
    none = search_all_stages(towers, added, context, 3, Filters(allow=np.zeros(0, np.int64)))[0]
    assert [len(rows) for rows, _ in none] == [0] * len(case["histories"])


@given(of_one_vector, stages)
def test_a_candidate_that_a_query_may_not_have_counts_for_no_more_than_the_best(case, stage) -> None:
    """Its parts are those of all candidates, but no more of a source than the best that the query may have."""
    towers, added, context, filters = built_of_many(case)
    added, context = with_stage(added, context, *stage, [0] * len(case["histories"]))
    assert added.stage is not None
    read: list[np.ndarray] = []
    of_pairs = PairFeatures.of_pairs
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PairFeatures, "of_pairs", lambda self, *given: read.append(given[3]) or of_pairs(self, *given))
        found = scores_of_all_stages(towers, added, context, filters, np.arange(SIZE))
    many = len(towers)
    for sources in read:
        assert (sources[:, :many] <= 0).all()
        assert (sources[:, many:] >= 0).all()
        assert (sources[:, many:] <= 1).all()
    assert np.isfinite(found).all()


def test_equal_candidates_come_by_row() -> None:
    vectors = np.zeros((SIZE, 2), np.float32)
    towers = [Searched(BruteForce().build(vectors), vectors.__getitem__, np.ones((1, 2), np.float32))]
    nothing = lists_of([[]])
    features = PairFeatures(np.zeros(SIZE, np.int64), (), (), 0)
    network = network_of(features.width(1))._replace(linear=np.zeros(5, np.float32), out=np.zeros(3, np.float32))
    added = Added((), (), nothing, Weights((1.0,), (1.0,)), stage=SecondStage(features, network, 4))
    context = Context(nothing, np.zeros((1, 0), np.int64), (), np.zeros((1, 0), np.int64))
    found, _ = search_all_stages(towers, added, context, SIZE, Filters())
    assert found.row(0)[0].tolist() == [*range(SIZE)]
    assert found.row(0)[1].tolist() == [0.0] * 4 + [-1.0] * 3


@pytest.mark.parametrize(("k", "depth"), [(1, 3), (3, 3), (6, 3), (2, 50)])
def test_features_are_made_of_no_more_candidates_than_are_ordered(
    monkeypatch: pytest.MonkeyPatch, k: int, depth: int
) -> None:
    """Of ``depth`` in all, whether lists are shorter or longer; of none without a second stage."""
    rng = np.random.default_rng(0)
    size = 400
    vectors = rng.standard_normal((size, 4)).astype(np.float32)
    towers = [
        Searched(BruteForce().build(vectors), vectors.__getitem__, rng.standard_normal((2, 4)).astype(np.float32))
    ]
    nothing = lists_of([[], [1, 2]])
    features = PairFeatures(np.arange(size), (), (), int(np.arange(size).sum()))
    plain = Added((), (), nothing, Weights((1.0,), (1.0,)))
    context = Context(nothing, np.zeros((2, 0), np.int64), (), np.zeros((2, 0), np.int64))
    read: list[int] = []
    of_pairs = PairFeatures.of_pairs
    monkeypatch.setattr(PairFeatures, "of_pairs", lambda *given: read.append(len(given[3])) or of_pairs(*given))
    search_all_stages(towers, plain, context, k, Filters())
    assert not read
    two = replace(plain, stage=SecondStage(features, network_of(features.width(1)), depth))
    found, _ = search_all_stages(towers, two, context, k, Filters())
    assert [len(rows) for rows, _ in found] == [k, k]
    assert read == [min(depth, size)] * 2  # of each query once
