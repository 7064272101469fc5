"""A second stage over whole rows of scores, against the plain definition and against the lists of a search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import lists_of
from tests.sources.plain_stage import Made, network_of, staged
from tests.sources.test_search import SIZE, asked_of_many, built_of_many
from tests.sources.test_staged import stages, with_stage

from shortlist.evaluation.ranks import Hidden
from shortlist.evaluation.scorers import Mixed, Vectors
from shortlist.evaluation.staged import in_order, read
from shortlist.sources import Context, SecondStage, search_all_stages

MADE = Made([3, 0, 2, 1], ["x", "", "xy", "z"], [(0, 0), (1, 2), (0, 2)])
QUERIES = st.integers(1, 3)


def hidden_of(case) -> Hidden | None:
    """The exclusions, sorted by query; other filters are not those of an evaluation."""
    if case["exclude"] is None:
        return None
    pairs = sorted({(query, one) for query, lists in enumerate(case["exclude"]) for one in lists})
    query, candidate = ([pair[side] for pair in pairs] for side in (0, 1))
    return Hidden(torch.tensor(query, dtype=torch.long), torch.tensor(candidate, dtype=torch.long))


@given(asked_of_many().filter(lambda case: len(case["queries"][0][0]) == 2), stages)
def test_scores_are_those_of_the_lists_of_a_search(case, stage) -> None:
    case = {**case, "allow": None, "deny": None}
    towers, added, context, filters = built_of_many(case)
    added, context = with_stage(added, context, *stage, [0] * len(case["histories"]))
    vectors = tuple(
        Vectors(torch.tensor(queries, dtype=torch.float32), torch.tensor(candidates, dtype=torch.float32))
        for queries, candidates in zip(case["queries"], case["vectors"], strict=True)
    )
    scorer = Mixed(vectors, added, context)
    found = scorer.scores(0, scorer.queries, hidden_of(case)).numpy()
    hits, _ = search_all_stages(towers, added, context, SIZE, filters)
    for number, (rows, values) in enumerate(hits):
        assert sorted(rows.tolist()) == np.flatnonzero(np.isfinite(found[number])).tolist()
        totals = sorted(found[number][rows].tolist(), reverse=True)
        assert values.tolist() == pytest.approx(totals, rel=1e-3, abs=1e-3)


def problem(depth: int) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor], Context, SecondStage]:
    """Two queries of four candidates: the second may not have the last one."""
    totals = torch.tensor([[0.5, 0.9, 0.1, 0.5], [0.2, 0.4, 0.6, -torch.inf]], dtype=torch.float64)
    towers = [torch.tensor([[1.0, 3.0, 0.0, 1.0], [0.0, 1.0, 2.0, -torch.inf]])]
    others = [torch.tensor([[0.0, 4.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]])]
    features = MADE.features
    stage = SecondStage(features, network_of(features.width(2)), depth)
    context = Context(lists_of([[0, 2], []]), np.zeros((2, 0), np.int64), (), np.array([[0], [-1]]))
    return totals, towers, others, context, stage


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_by_loops(depth: int) -> None:
    totals, towers, others, context, stage = problem(depth)
    found = in_order(totals, towers, others, context, stage, 0)
    sources = [
        {0: [-2.0, 0.0], 1: [0.0, 1.0], 2: [-3.0, 0.5], 3: [-2.0, 0.0]},
        {0: [-2.0, 0.0], 1: [-1.0, 0.0], 2: [0.0, 0.0]},
    ]
    for number, (order, history, group) in enumerate([([1, 0, 3, 2], [0, 2], 0), ([2, 1, 0], [], -1)]):
        listed = [sources[number][one] for one in order[:depth]]
        features = {
            one: MADE.plain(sources[number][one], history, group, one, place, listed) for place, one in enumerate(order)
        }
        expected = staged(stage.network, depth, {one: float(totals[number, one]) for one in order}, features)
        assert [float(found[number, one]) for one in order] == pytest.approx(
            [expected[one] for one in order], rel=1e-4, abs=1e-4
        )
    assert found[1, 3] == -torch.inf
    second = in_order(totals[1:], [towers[0][1:]], [others[0][1:]], context, stage, 1)
    assert torch.equal(second, found[1:])
    for number, one in enumerate(read(totals, towers, others, context, stage.features, depth, 0)):
        assert one.rows.tolist() == [[1, 0, 3, 2], [2, 1, 0]][number][:depth]
        scores = stage.network.scores(one.features)
        assert scores.tolist() == [float(found[number, row]) for row in one.rows]


def test_a_query_that_may_have_nothing_has_no_scores() -> None:
    totals, towers, others, context, stage = problem(2)
    nothing = torch.full_like(totals, -torch.inf)
    found = in_order(nothing, [nothing.float()], others, context, stage, 0)
    assert torch.equal(found, nothing)
    assert [len(one.rows) for one in read(nothing, towers, others, context, stage.features, 2, 0)] == [0, 0]
    assert len(replace(stage, depth=1)) == 4
