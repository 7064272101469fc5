"""Quotas and weights by the length of histories, against plain loops."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import mixed, ranked, scores
from tests.sources.test_search import SIZE, asked_of_many, built_of_many

from shortlist.errors import ConfigError
from shortlist.evaluation.ranks import Hidden
from shortlist.evaluation.scorers import Mixed, Vectors
from shortlist.sources import Weights, places_of_all, search
from shortlist.sources.quotas import checked_quotas


def by_loop(totals: dict[int, float], sources: list[dict[int, float]], quotas: list[float]) -> list[int]:
    """Candidates in the order of their places: by all sources, or among a source's own if that is earlier."""

    def rank(scored: dict[int, float], one: int) -> int:
        return 1 + sum((-scored[other], other) < (-scored[one], one) for other in scored)

    places = {}
    for one in totals:
        place = rank(totals, one) / (1 - sum(quotas))
        for scored, quota in zip(sources, quotas, strict=True):
            if quota and one in scored:
                place = min(place, rank(scored, one) / quota)
        places[one] = place
    return sorted(totals, key=lambda one: (places[one], -totals[one], one))


@st.composite
def with_quotas(draw: Any) -> Any:
    """A case of many sources, with quotas and weights for short histories. Scores are whole or halves: no rounding."""
    case = draw(asked_of_many())
    count = len(case["weights"])
    some = draw(st.sets(st.integers(0, count - 1), max_size=2))
    quotas = [0.25 if number in some else 0.0 for number in range(count)]
    weights = st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=count, max_size=count).filter(any)
    by_history = sorted(draw(st.dictionaries(st.integers(0, 3), weights, max_size=2)).items())
    return case, quotas, by_history


def expected_of(case: Any, number: int, quotas: list[float], by_history: Any) -> tuple[list[int], dict[int, float]]:
    """The candidates of a query in order, and their scores."""
    closed = {*(case["exclude"][number] if case["exclude"] else ()), *(case["deny"] or ())}
    eligible = [one for one in range(SIZE) if one not in closed and (case["allow"] is None or one in case["allow"])]
    towers = []
    for vectors, queries in zip(case["vectors"], case["queries"], strict=True):
        heads = np.array(queries[number]).reshape(-1, 2)
        towers.append({one: float((heads @ np.array(vectors[one])).max()) for one in eligible})
    history = case["histories"][number]
    others = [scores(table, history, 0.5, 3) for table in case["tables"]]
    others += [ranked(lists[at], eligible) for lists, at in zip(case["lists"], case["segments"][number], strict=True)]
    weights = next((some for most, some in by_history if len(history) <= most), case["weights"])
    totals = mixed(towers, others, weights, case["temperatures"])
    near = [{one: value for one, value in scored.items() if one in eligible and value > 0} for scored in others]
    return by_loop(totals, [*towers, *near], quotas), totals


@given(with_quotas())
def test_lists_are_those_of_a_double_loop(given_: Any) -> None:
    case, quotas, by_history = given_
    towers, added, context, filters = built_of_many(case)
    temperatures = tuple(case["temperatures"])
    added = replace(
        added,
        quotas=checked_quotas(quotas),
        by_history=tuple((most, Weights(tuple(weights), temperatures)) for most, weights in by_history),
    )
    hits = search(towers, added, context, case["k"], filters)
    for number, (found, values) in enumerate(hits):
        order, totals = expected_of(case, number, quotas, by_history)
        # totals that differ by rounding alone may change places: compare scores, which then agree
        wanted = [totals[one] for one in order[: len(found)]]
        assert len(found) == min(case["k"], len(order))
        assert values.tolist() == pytest.approx([totals[one] for one in found.tolist()], rel=1e-5, abs=1e-9)
        if not any(quotas):
            assert values.tolist() == pytest.approx(wanted, rel=1e-5, abs=1e-9)
        for length in range(1, len(found) + 1):  # every source has its share of each beginning of the list
            for source, quota in enumerate(quotas):
                best = _best_of(case, number, source, quota, length)
                assert best <= {*found.tolist()[:length]}


def _best_of(case: Any, number: int, source: int, quota: float, length: int) -> set[int]:
    """The candidates that a source has to have among the first ``length`` places."""
    order, _ = expected_of(case, number, [0.0] * len(case["weights"]), [])
    eligible = {*order}
    towers = len(case["vectors"])
    if source < towers:
        heads = np.array(case["queries"][source][number]).reshape(-1, 2)
        scored = {one: float((heads @ np.array(case["vectors"][source][one])).max()) for one in eligible}
    elif source < towers + len(case["tables"]):
        scored = scores(case["tables"][source - towers], case["histories"][number], 0.5, 3)
        scored = {one: value for one, value in scored.items() if one in eligible}
    else:
        lists = case["lists"][source - towers - len(case["tables"])]
        at = case["segments"][number][source - towers - len(case["tables"])]
        scored = ranked(lists[at], sorted(eligible))
    best = sorted(scored, key=lambda one: (-scored[one], one))
    return {*best[: math.floor(quota * length)]}


@given(with_quotas())
def test_evaluation_ranks_as_the_search_does(given_: Any) -> None:
    case, quotas, by_history = given_
    case = {**case, "allow": None, "deny": None, "k": SIZE}
    towers, added, context, filters = built_of_many(case)
    temperatures = tuple(case["temperatures"])
    added = replace(
        added,
        quotas=checked_quotas(quotas),
        by_history=tuple((most, Weights(tuple(weights), temperatures)) for most, weights in by_history),
    )
    hits = search(towers, added, context, SIZE, filters)
    vectors = tuple(
        Vectors(
            torch.tensor(queries, dtype=torch.float32).reshape(len(queries), -1, 2),
            torch.tensor(candidates, dtype=torch.float32),
        )
        for queries, candidates in zip(case["queries"], case["vectors"], strict=True)
    )
    hidden = None
    if case["exclude"] is not None:
        pairs = [(query, one) for query, some in enumerate(case["exclude"]) for one in {*some}]
        columns = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
        hidden = Hidden(columns[:, 0], columns[:, 1])
    found = Mixed(vectors, added, context).scores(0, len(case["histories"]), hidden).numpy()
    for number, (rows, values) in enumerate(hits):
        of_row = found[number]
        assert {*np.flatnonzero(of_row > -np.inf).tolist()} == {*rows.tolist()}
        if any(quotas):
            assert rows.tolist() == sorted(rows.tolist(), key=lambda one: -of_row[one])
        else:
            assert values.tolist() == pytest.approx(of_row[rows].tolist(), rel=1e-5, abs=1e-9)


def test_places_by_hand() -> None:
    # by all: 0 1 2 3 4; by the source: 4 3. A quota of 1/2: 4 at place 2, 3 at place 4; 0, 1, 2 at places 2, 4, 6
    totals = np.array([[5.0, 4.0, 3.0, 2.0, 1.0]])
    source = np.array([[0.0, 0.0, 0.0, 1.0, 2.0]])
    placed = places_of_all(totals, [source], [0.5], [0.0])
    assert np.argsort(-placed[0]).tolist() == [0, 4, 1, 3, 2]


@pytest.mark.parametrize(
    ("quotas", "words"),
    [([0.6], "from 0 to 0.5"), ([-0.1], "from 0 to 0.5"), (["x"], "'x'"), ([0.3, 0.3], "0.6 of the places")],
)
def test_quotas_that_cannot_be_are_refused(quotas: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checked_quotas(quotas)
    assert checked_quotas([0, 0.0]) == ()
