"""Shares of a mixture's scores, and the choices behind them, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from tests.sources.plain import caused, lists_of, ranked, scores, shared, table_of
from tests.sources.test_search import SIZE, asked_of_many, built_of_many

from shortlist.sources import Added, Weights, heaviest_causes, nearby, search_with_scale, shares_of


@given(asked_of_many())
def test_shares_are_those_of_a_double_loop(case) -> None:
    towers, added, context, filters = built_of_many(case)
    hits, scale = search_with_scale(towers, added, context, case["k"], filters)
    near = nearby(added, context, filters)
    for number, (rows, _) in enumerate(hits):
        found = shares_of(towers, added, context, near, scale, number, rows)
        closed = {*(case["exclude"][number] if case["exclude"] else ()), *(case["deny"] or ())}
        eligible = [one for one in range(SIZE) if one not in closed and (case["allow"] is None or one in case["allow"])]
        by_towers = []
        for vectors, queries in zip(case["vectors"], case["queries"], strict=True):
            heads = np.array(queries[number]).reshape(-1, 2)
            by_towers.append({one: float((heads @ np.array(vectors[one])).max()) for one in eligible})
        tables = case["tables"]
        by_others = [scores(table, case["histories"][number], 0.5, 3) for table in tables]
        for listed, segment in zip(case["lists"], case["segments"][number], strict=True):
            by_others.append(ranked(listed[segment], eligible))
        shares = shared(by_towers, by_others, case["weights"], case["temperatures"])
        assert found.shares.shape == found.scores.shape == (len(added.names), len(rows))
        for place, row in enumerate(rows.tolist()):
            own = [one[row] for one in by_towers] + [one.get(row, 0.0) for one in by_others]
            assert found.scores[:, place].tolist() == pytest.approx(own, rel=1e-5)
            assert found.shares[:, place].tolist() == pytest.approx(shares[row], rel=1e-4, abs=1e-6)
            ahead = [sum(other > one[row] for other in one.values()) for one in by_towers]
            put_forward = [count < case["k"] for count in ahead] + [one.get(row, 0.0) > 0 for one in by_others]
            assert found.found[:, place].tolist() == put_forward
            for source, weights in enumerate(tables, start=len(by_towers)):
                causes = caused(weights, case["histories"][number], 0.5, 3, row)
                assert [one for one, _ in found.causes[source][place]] == [one for one, _ in causes]
                assert [share for _, share in found.causes[source][place]] == pytest.approx(
                    [share for _, share in causes]
                )


def test_sources_are_called_by_their_kind() -> None:
    tables = tuple(table_of({}, 2, kind=kind) for kind in ("transitions", "ease", "transitions"))
    added = Added(tables, (), lists_of([[]]), Weights((1.0,) * 5, (1.0, 1.0)))
    assert added.names == ("towers", "towers 2", "transitions", "ease", "transitions 2")


def test_summands_of_a_history() -> None:
    # age 1/2: item 1 was chosen last and has 2 for candidate 0; item 0 before it has 4 / 2 = 2 for candidate 2
    table = table_of({(1, 0): 2.0, (0, 2): 4.0, (0, 1): 1.0}, 3, age=0.5, length=5)
    items, summands = table.parts(np.array([1, 0, 1]), np.array([2, 0]))
    assert items.tolist() == [0, 1]
    assert summands.tolist() == [[2.0, 0.0], [0.0, 2.0]]
    items, summands = table.parts(np.array([7]), np.array([2, 0]))  # beyond the table: a candidate that came later
    assert (items.tolist(), summands.shape) == ([], (0, 2))


def test_three_causes_at_most_and_equal_ones_the_latest_first() -> None:
    items, summands = np.array([5, 6, 7, 8]), np.array([[1.0, 0.0], [1.0, -1.0], [2.0, 0.0], [1.0, -2.0]])
    assert heaviest_causes(items, summands) == [[(7, 2 / 5), (8, 1 / 5), (6, 1 / 5)], []]
