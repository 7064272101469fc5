"""The network and the lists that it orders, by hand and against loops."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain_stage import Made, network_of, network_score, staged

from shortlist.errors import ConfigError
from shortlist.sources import FirstList, Network, SecondStage

FILMS = 7
MADE = Made([4, 0, 2, 1, 0, 3, 1], ["x", "xy", "", "z", "zz", "y", "x"], [(0, 0), (0, 2), (1, 0), (1, 5), (-1, 0)])
FEATURES = MADE.features
totals_ = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, -2.0]), min_size=FILMS, max_size=FILMS)


def stage(depth: int, seed: int = 0) -> SecondStage:
    return SecondStage(FEATURES, network_of(FEATURES.width(2), seed=seed), depth)


@given(st.integers(0, 100), st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), max_size=4))
def test_a_score_is_that_of_a_loop(seed: int, rows: list[list[float]]) -> None:
    network = network_of(3, 4, seed)
    found = network.scores(np.array(rows, np.float32).reshape(-1, 3))
    expected = [network_score(network, np.array(row, np.float32).tolist()) for row in rows]
    assert found.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_by_hand() -> None:
    # x = (6 − 4) / 2 = 1 and (0 − 100) / 1 = −100, of which −5 is left; 2 · 1 + 1 · −5 = −3; inner 1 · 1 + 0 + 1 = 2
    one = np.ones(1, np.float32)
    network = Network(
        np.array([4, 100], np.float32), np.array([2, 1], np.float32), np.array([2, 1], np.float32),
        np.array([[1, 0]], np.float32), one, 3 * one,
    )  # fmt: skip
    assert network.scores(np.array([[6, 0]], np.float32)).tolist() == pytest.approx([-3 + 3 * 2 / (1 + np.exp(-2))])
    assert network.shapes


def test_places() -> None:
    listed = FirstList(np.array([5, 2, 9]), np.array([0.9, 0.5, 0.5]), np.array([1.0, 3.0, 2.0]), np.zeros((3, 1)))
    found = listed.places(np.array([9, 5, 2, 7, 8, 1]), np.array([0.5, 0.9, 0.5, 0.95, 0.6, 0.5]))
    assert found.tolist() == [
        2,
        0,
        1,
        0,
        1,
        -1,
    ]  # 7 and 8, which it may not have, are where their scores would put them
    nothing = FirstList(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros((0, 1)))
    assert nothing.places(np.array([1, 2]), np.array([1.0, 2.0])).tolist() == [-1, -1]


@given(
    totals=totals_,
    depth=st.integers(1, FILMS + 2),
    history=st.lists(st.integers(0, FILMS - 1), max_size=8),
    group=st.integers(-1, 1),
    seed=st.integers(0, 5),
    open_=st.lists(st.integers(0, FILMS - 1), unique=True),
)
def test_all_scores_are_those_of_the_plain_definition(
    totals: list[float], depth: int, history: list[int], group: int, seed: int, open_: list[int]
) -> None:
    order = sorted(open_, key=lambda one: (-totals[one], one))
    own = {one: totals[one] for one in order}
    sources = np.random.default_rng(seed).random((FILMS, 2)).astype(np.float32)
    two = stage(depth, seed)
    query: tuple[Any, ...] = (sources.__getitem__, np.array(history, np.int64), np.array([group]))
    first = np.array(order[:depth], np.int64)
    listed = two.first(first, np.array([own[one] for one in order[:depth]]), *query)
    in_list = [sources[one].tolist() for one in order[:depth]]
    features = {
        one: MADE.plain(sources[one].tolist(), history, group, one, place, in_list)
        for place, one in enumerate(order[:depth])
    }
    scores, expected = listed.scores, staged(two.network, depth, own, features)
    assert listed.rows.tolist() == order[:depth]
    assert scores.tolist() == pytest.approx([expected[one] for one in order[:depth]], rel=1e-4, abs=1e-4)
    assert listed.lowest == (min(scores) if len(scores) else 0.0)
    asked = np.array(open_[::-1], np.int64)
    every = two.scores(listed, asked, np.array([own[one] for one in open_[::-1]]), *query)
    assert every.tolist() == pytest.approx([expected[one] for one in open_[::-1]], rel=1e-4, abs=1e-4)
    behind = [every[place] for place, one in enumerate(open_[::-1]) if one not in order[:depth]]
    assert all(one <= listed.lowest - 1 for one in behind)


def test_features_are_read_for_the_list_alone() -> None:
    read: list[int] = []

    def sources(rows: np.ndarray) -> np.ndarray:
        read.append(len(rows))
        return np.zeros((len(rows), 2), np.float32)

    two, rows, totals = stage(2), np.arange(FILMS), -np.arange(float(FILMS))
    listed = two.first(rows[:2], totals[:2], sources, rows[:0], np.array([0]))
    two.scores(listed, rows, totals, sources, rows[:0], np.array([0]))
    two.scores(listed, rows[2:], totals[2:], sources, rows[:0], np.array([0]))
    assert read == [2]
    two.scores(
        listed, rows[5:], totals[:2], sources, rows[:0], np.array([0])
    )  # which the query may not have, with the first scores
    assert read == [2, 1]


BROKEN: dict[str, Any] = {
    "mean": np.zeros(3), "deviation": 0.0, "linear": np.nan, "inner": np.zeros((1, 2)), "bias": np.zeros(()), "out": np.inf,
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_arrays_that_do_not_belong_together_are_refused(name: str) -> None:
    two = stage(3)
    value = BROKEN[name]
    array = getattr(two.network, name)
    other = np.full_like(array, value) if np.isscalar(value) else value.astype(np.float32)
    with pytest.raises(ConfigError, match="finite arrays that belong together were expected"):
        replace(two, network=two.network._replace(**{name: other}))


def test_a_depth_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="a depth of 0 and a network of 10 features"):
        stage(0)


def test_another_number_of_sources_is_refused() -> None:
    queries, candidates = MADE.candidates.select(land="kind").explode("land"), MADE.candidates
    stage(3).check(2, queries.with_columns(land=None), candidates)
    with pytest.raises(ConfigError, match="a second stage reads 10 features; behind 3 sources 12 were expected"):
        stage(3).check(3, queries, candidates)


def test_it_has_a_name_a_size_and_copies() -> None:
    two = stage(3)
    assert repr(two) == "SecondStage(the first 3, 10 features, 3 hidden)"
    assert (len(two), two.ids) == (FILMS, None)
    again = pickle.loads(pickle.dumps(two))
    assert {name: array.tolist() for name, array in again.arrays.items()} == {
        name: array.tolist() for name, array in two.arrays.items()
    }
    assert set(two.arrays) == {
        *(f"network.{name}" for name in Network._fields), "counts", "taste-0.shares",
        *(f"liking-0.{name}" for name in ("offsets", "rows", "often", "sizes")),
    }  # fmt: skip


def test_others_keep_their_scores_when_candidates_are_deleted() -> None:
    two = stage(4)
    row = np.array([0, -1, 1, 2, -1, 3, 4])
    left = np.flatnonzero(row >= 0)
    totals, groups = np.linspace(1, 0, len(left)), np.array([1])

    def sources(rows: np.ndarray) -> np.ndarray:
        return np.zeros((len(rows), 2), np.float32)

    before = two.first(left[:4], totals[:4], sources, np.array([0, 2]), groups).scores
    after = two.renumbered(row).first(row[left[:4]], totals[:4], sources, row[[0, 2]], groups).scores
    assert before.tolist() == after.tolist()
    grown = two.grown(MADE.candidates.vstack(MADE.candidates[:1]), np.array([FILMS]))
    assert len(grown) == FILMS + 1
    assert before.tolist() == grown.first(left[:4], totals[:4], sources, np.array([0, 2]), groups).scores.tolist()
