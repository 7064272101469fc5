"""What a recommender answers from: it never changes, and one that comes of another shares what was worked out."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.errors import ConfigError
from shortlist.recommender.live import changed, folded
from shortlist.recommender.pipeline import recommend
from shortlist.recommender.served import Policy

ASK = ["ann", "bob", "cat", "eve"]


def test_it_cannot_be_written_to(recommender: sl.Recommender) -> None:
    with pytest.raises(FrozenInstanceError):
        recommender.served.reason = "another"  # type: ignore[misc]


def test_answers_are_those_of_the_value_that_was_held(recommender: sl.Recommender) -> None:
    before = recommender.served
    lists = recommend(before, ASK).to_dicts()
    recommender.upsert(pl.DataFrame({"what": ["e"]}))
    recommender.delete(["a"])
    recommender.cold_start = "refuse"
    assert recommend(before, ASK).to_dicts() == lists
    assert recommender.served is not before


def test_vectors_by_row_also_of_what_was_deleted(recommender: sl.Recommender) -> None:
    """a (4, 0), b (3, 1), c (1, 4), d (½, 2); e has the vector of the unknown row, as d has."""
    after = changed(recommender.served, pl.DataFrame({"what": ["e"]}), ["b", "d"])
    assert after.vectors_of(np.array([4, 1, 0, 3])).tolist() == [[0.5, 2], [3, 1], [4, 0], [0.5, 2]]
    assert after.vectors.tolist() == [[4, 0], [3, 1], [1, 4], [0.5, 2], [0.5, 2]]
    assert after.index.vectors_of(np.array([0, 2, 4])).tolist() == [[4, 0], [1, 4], [0.5, 2]]
    assert after.vectors_of(np.zeros(0, np.int64)).shape == (0, 2)
    assert folded(after).vectors.tolist() == [[4, 0], [1, 4], [0.5, 2]]


def test_vectors_stand_in_the_index_alone(recommender: sl.Recommender) -> None:
    assert recommender.served.vectors is recommender.index.vectors
    base = recommender.index.vectors
    recommender.upsert(pl.DataFrame({"what": ["e", "f"]}))
    snapshot = recommender.index._now()  # type: ignore[attr-defined]
    assert snapshot.base.vectors is base
    assert snapshot.extra.vectors.shape == (2, 2)


def test_what_folding_in_takes_is_made_once(recommender: sl.Recommender) -> None:
    before = recommender.served
    after = changed(before, pl.DataFrame({"what": ["e"]}))
    assert after.fold_in.prior is before.fold_in.prior
    assert folded(after).fold_in.prior is not before.fold_in.prior


def test_deleted_candidates_do_not_compete_for_choices(recommender: sl.Recommender) -> None:
    """As after ``save`` and ``load``; one that is added again competes again."""
    before = recommender.served
    after = changed(before, None, ["b"])
    prior = after.fold_in.prior
    assert (prior.competing.tolist(), prior.shares.tolist()) == ([0, 2], [0.5, 0.5])  # a and c were chosen once each
    assert prior.temperature == folded(after).fold_in.prior.temperature != before.fold_in.prior.temperature
    assert changed(after, None, ["nowhere"]).fold_in.prior is prior
    again = changed(after, pl.DataFrame({"what": ["b"]})).fold_in.prior
    assert again.shares.tolist() == [0.2, 0.6, 0.2]
    rest = changed(before, None, ["a", "b", "c"])  # d is left, which nobody chose
    assert rest.fold_in.prior.competing.tolist() == [3]


def test_what_a_query_chose_after_its_candidate_changed(recommender: sl.Recommender) -> None:
    """Nothing is kept of a vector that was replaced."""
    recommender.fold_in([["c"]])
    before = recommender.served
    index = sl.BruteForce().build(before.vectors[[0, 1, 1, 3]])  # c now has the vector of b
    swapped = sl.Recommender(replace(before, index=index))
    assert swapped.fold_in([["c"]]).tolist() == swapped.fold_in([["b"]]).tolist()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("popular", ()), "did you mean 'popularity'"),
        (("auto", "popularity"), "a list of names was expected"),
        (("auto", ["most popular"]), "fallback"),
    ],
)
def test_policies_that_are_none(options: tuple[str, list[str]], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.of(*options)
    assert says in str(caught.value)
