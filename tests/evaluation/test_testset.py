"""A test set by hand: who asks, what competes, what is hidden, what counts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.data.id_map import _Fixed
from shortlist.errors import ConfigError, DataError
from shortlist.evaluation.testset import TestSet, _distinct

USERS = pl.DataFrame({"user": ["ann", "bob", "cat", "dan"]})
FILMS = pl.DataFrame({"film": [1, 2, 3, 4, 5], "since": [0, 0, 6, 0, None]})
TRAIN = [("ann", 1, 1), ("ann", 2, 2), ("ann", 2, 2), ("bob", 1, 3), ("bob", 3, 4), ("cat", 1, 5)]
HELD_OUT = [("bob", 2, 7), ("ann", 3, 6), ("bob", 9, 7), ("eve", 1, 5)]  # nobody knows 9 and eve


def dataset(rows, tables=True, **columns) -> sl.Dataset:
    user, film, time = zip(*rows, strict=True)
    table = pl.DataFrame({"user": user, "film": film, "time": time, **columns})
    weight = "weight" if "weight" in columns else None
    given = {"queries": USERS, "candidates": FILMS} if tables else {}
    return sl.Dataset(table, "user", "film", timestamp="time", weight=weight, **given)


@pytest.fixture(scope="module")
def model() -> sl.TwoTower:
    return sl.popularity(dataset(TRAIN))


@pytest.fixture
def test() -> sl.Dataset:
    return dataset(HELD_OUT, tables=False, weight=[1.0, 2.0, 0.5, 1.0], grade=[3, 0, 1, 2])


def test_who_asks_and_what_competes(model, test) -> None:
    found = TestSet.of(model, test)
    assert found.query_ids.to_list() == ["ann", "bob", "eve"]
    assert found.query.tolist() == [1, 0, 1, 2]
    assert found.candidate_ids.to_list() == [1, 2, 3, 4, 5, 9]  # the catalogue, and what only the test has
    assert found.candidate.tolist() == [1, 2, 5, 0]
    assert (len(found), found.new_queries, found.new_candidates) == (4, 1, 1)
    assert found.known.tolist() == [True, True, False]
    assert found.query_counts.tolist() == [1, 1, 0]  # without seen: whether training had any
    assert found.candidate_counts.tolist() == [3, 2, 1, 0, 0, 0]
    assert found.competing.tolist() == [6, 6, 6]
    assert found.propensity.tolist() == pytest.approx([2**0.5, 1, 1, 3**0.5])
    assert found.hidden is found.released is found.weight is found.grade is None
    assert found.with_all is found


@pytest.mark.parametrize("total", [8, 1000])  # few rows are counted, many are sorted
def test_distinct_rows_and_their_places(total) -> None:
    asked, places = _distinct(np.array([5, 2, 5, 7], np.int32), total)
    assert (asked.tolist(), places.tolist()) == ([2, 5, 7], [1, 0, 1, 2])


def test_what_is_hidden(model, test) -> None:
    found = TestSet.of(model, test, dataset(TRAIN))
    hidden = [
        (found.query_ids[q], found.candidate_ids[c])
        for q, c in zip(*(side.tolist() for side in found.hidden), strict=True)
    ]
    assert hidden == [("ann", 1), ("ann", 2), ("bob", 1), ("bob", 3)]  # ann chose 2 twice
    assert found.query_counts.tolist() == [3, 2, 0]
    assert found.competing.tolist() == [4, 4, 6]
    assert found.with_all.hidden is None
    assert found.with_all.competing.tolist() == [6, 6, 6]
    # by popularity, ties against the pair. bob, of 2 4 5 9: 2 first, 9 level with 4 and 5; ann, of 3 4 5 9: 3 first
    assert found.top_k((1, 3)) == {"top_1": 3 / 4, "top_3": 3 / 4}
    # bob, of all: 2 is second, 9 sixth; ann: 3 is third; eve: 1 is first
    assert found.with_all.top_k((1, 3)) == {"top_1": 1 / 4, "top_3": 3 / 4}


def test_what_counts(model, test) -> None:
    found = TestSet.of(model, test, weighted=True, grade="grade", released="since")
    assert found.weight.tolist() == [1.0, 2.0, 0.5, 1.0]
    assert found.grade.tolist() == [3, 0, 1, 2]
    assert found.released.pair.tolist() == [7, 6, 7, 5]
    assert found.released.candidate.tolist() == [0, 0, 6, 0, -np.inf, -np.inf]  # null: always there
    part = found.only(np.array([False, True, False, True]))
    assert (part.query.tolist(), part.candidate.tolist()) == ([0, 2], [2, 0])
    assert (part.weight.tolist(), part.grade.tolist()) == ([2.0, 1.0], [0, 2])
    assert part.released.pair.tolist() == [6, 5]
    assert part.query_ids is found.query_ids


def test_what_is_refused(model, test) -> None:
    with pytest.raises(DataError, match="the model was trained on 'user' and 'film'"):
        TestSet.of(model, sl.Dataset({"who": ["ann"], "film": [1]}, "who", "film"))
    with pytest.raises(ConfigError, match="needs a weight column"):
        TestSet.of(model, dataset(HELD_OUT, tables=False), weighted=True)
    with pytest.raises(DataError, match="grade is 'user'; a column of numbers"):
        TestSet.of(model, test, grade="user")


def test_rows_alone_for_ranks_made_elsewhere() -> None:
    found = TestSet.of_rows(np.array([0, 0, 1]), np.array([4, 2, 4]), queries=2, candidates=5)
    assert (len(found), len(found.queries), found.competing.tolist()) == (3, 2, [5, 5])
    assert found.propensity.tolist() == [1, 1, 1]
    assert TestSet.__test__ is False  # pytest takes it for no test


def test_ids_of_tables_that_training_had_too_are_not_looked_up_one_by_one(model, monkeypatch) -> None:
    """Two tables with the same ids in the same order, as two files read alike have them; all of the queries or most are asked."""
    looked_up = []
    rows = _Fixed.rows
    monkeypatch.setattr(_Fixed, "rows", lambda known, ids: looked_up.append(list(ids)) or rows(known, ids))
    test = dataset([("dan", 1, 6), ("bob", 2, 7), ("ann", 3, 6)])
    assert test.queries is not model.catalogue.queries
    test.query_rows, test.candidate_rows  # noqa: B018  # the data's own
    looked_up.clear()
    found = TestSet.of(model, test)
    assert looked_up == []
    assert found.query_ids.to_list() == ["ann", "bob", "dan"]
    assert found.known.tolist() == [True, True, False]
    assert found.candidate_ids.to_list() == [1, 2, 3, 4, 5]
    assert found.candidate.tolist() == [0, 1, 2]
    one = TestSet.of(
        model, test.with_interactions(test.interactions[1:2])
    )  # of four queries one is asked: it alone is looked up
    assert looked_up == [["bob"]]
    assert one.known.tolist() == [True]
