"""What is known by row: counts and popularity of candidates that came and went, and the fingerprint."""

from __future__ import annotations

import numpy as np
import polars as pl

import shortlist as sl
from shortlist.recommender.live import changed
from shortlist.recommender.state import Popularity, fingerprint, state_from_model


def test_counts_of_what_came_are_zero(recommender: sl.Recommender) -> None:
    """Training counts: a 1, b 3, c 1, d 0."""
    state = recommender.served.state
    assert state.counts.tolist() == [1, 3, 1, 0]
    assert state.popular.tolist() == [1, 0, 2, 3]
    after = changed(recommender.served, pl.DataFrame({"what": ["e", "f"]}), ["b", "e"]).state
    assert after.counts.tolist() == [1, 3, 1, 0, 0, 0]
    assert after.popular.tolist() == [0, 2, 3, 5]
    assert (after.size, after.dead.tolist()) == (6, [1, 4])


def test_the_order_of_popularity_is_worked_out_once() -> None:
    popularity = Popularity(np.array([2, 5, 2]))
    assert popularity.order.tolist() == [1, 0, 2]
    assert popularity.order is popularity.order


def test_an_order_that_others_have_is_asked_for_when_it_is_needed() -> None:
    asked: list[int] = []
    popularity = Popularity(np.array([2, 5, 2]), lambda: (asked.append(1), np.array([1, 0, 2]))[1])
    assert asked == []
    assert popularity.order.tolist() == popularity.order.tolist() == [1, 0, 2]
    assert asked == [1]


def test_maps_of_ids_outlive_a_change(recommender: sl.Recommender) -> None:
    state = recommender.served.state
    after = changed(recommender.served, pl.DataFrame({"what": ["e"]}), ["a"]).state
    assert after.query_ids is state.query_ids
    assert after.candidate_ids._fixed is state.candidate_ids._fixed
    assert after.candidate_ids.rows(["a", "b", "e"]) == [-1, 1, 4]


def test_rows_of_queries(recommender: sl.Recommender) -> None:
    """dan is in the table, but chose nothing in training; eve is not."""
    rows, known = recommender.served.state.rows_of(["bob", "eve", "dan", None])
    assert rows.tolist() == [1, -1, 3, -1]
    assert known.tolist() == [True, False, False, False]


def test_every_vector_and_weight_is_in_the_fingerprint(model: sl.TwoTower) -> None:
    state, vectors = state_from_model(model, None)
    prints = {fingerprint(state, vectors), fingerprint(state, vectors + 1)}
    for table in (*model.query.tables.values(), *model.candidate.tables.values()):
        table.weight[1, 0] += 1
        prints.add(fingerprint(state, vectors))
    assert len(prints) == 4
