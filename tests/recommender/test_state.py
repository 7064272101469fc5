"""What is known by row: counts and popularity of candidates that came and went, and the fingerprint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.recommender import state as states
from shortlist.recommender.live import changed
from shortlist.recommender.state import Popularity, fingerprint, known_queries, state_from_model
from shortlist.recommender.tensors import BFLOAT16, widened


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


def test_tables_of_bfloat16_are_not_widened_and_have_the_fingerprint_of_their_numbers(
    model: sl.TwoTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "PIECE", 3)
    for table in (*model.query.tables.values(), *model.candidate.tables.values()):
        table.weight = table.weight.bfloat16()
    state, vectors = state_from_model(model, None)
    assert {array.dtype for array in state.model.tensors.values()} == {BFLOAT16}
    wide = {name: widened(array) for name, array in state.model.tensors.items()}
    assert {array.dtype for array in wide.values()} == {np.dtype(np.float32)}
    as_float = replace(state, model=replace(state.model, tensors=wide))
    assert fingerprint(state, vectors) == fingerprint(as_float, vectors)


def test_vectors_of_known_queries_are_copied_only_where_some_are_left_out(recommender: sl.Recommender) -> None:
    state = recommender.served.state
    assert state.query_vectors is not None
    some = known_queries(state)
    assert np.array_equal(some, state.query_vectors[:3])
    everyone = replace(state, known=np.ones(len(state.known), bool))
    assert np.shares_memory(known_queries(everyone), state.query_vectors)
