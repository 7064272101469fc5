"""Mixture: whose histories it holds, and what cannot be mixed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.errors import ConfigError, DataError
from shortlist.index import Lists
from shortlist.sources import Blend, Mixture, towers_of

PAIRS = [("ann", "a", 2, 1.0), ("ann", "b", 1, 1.0), ("bob", "c", 1, 1.0), ("ann", "b", 3, 1.0), ("bob", "a", 2, 0.0)]


def dataset(rows=PAIRS, query: str = "who") -> sl.Dataset:
    """ann chose b, a, b again; bob c, and a with a weight of 0; cat is in the table alone, and nobody chose d."""
    frame = pl.DataFrame(rows, schema=[query, "what", "at", "weight"], orient="row")
    tables = {"queries": {query: ["ann", "bob", "cat"]}, "candidates": {"what": ["a", "b", "c", "d"]}}
    return sl.Dataset(frame, query, "what", timestamp="at", weight="weight", **tables)


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    train = dataset()
    return Mixture.of(sl.popularity(train), sl.Transitions().fit(train), train, share=0.5, temperature=2.0)


def listed(lists: Lists) -> list[list[int]]:
    return [lists.row(number).tolist() for number in range(len(lists))]


def test_histories_are_what_training_has_in_the_order_of_time(mixture: Mixture) -> None:
    assert listed(mixture.histories) == [
        [0, 1],
        [2],
        [],
    ]  # each once, at its latest place; what weighs nothing is not chosen
    assert mixture.blend == Blend(0.5, 2.0)
    assert mixture.catalogue is mixture.towers.catalogue
    assert mixture.with_blend(Blend(0.1)).blend == Blend(0.1)
    assert towers_of(mixture) is towers_of(mixture.towers) is mixture.towers
    assert repr(mixture).startswith("Mixture(Neighbours(transitions: 4 candidates")


def test_only_the_latest_count() -> None:
    train = dataset()
    towers, table = sl.popularity(train), sl.Transitions(length=1).fit(train)
    assert listed(Mixture.of(towers, table, train, share=0.5).histories) == [[1], [2], []]


def test_histories_of_queries_known_and_new(mixture: Mixture) -> None:
    ids = pl.Series(["bob", "eve", "ann", "cat", "eve"])
    assert listed(mixture.histories_of(ids)) == [[2], [], [0, 1], [], []]
    given = sl.Dataset(
        {"who": ["eve", "eve", "bob", "eve"], "what": ["b", "new", "a", "a"], "at": [2, 1, 0, 1]},
        "who",
        "what",
        timestamp="at",
    )
    # of those that training has, what it says; of others, what is given, and of that what the catalogue has
    assert listed(mixture.histories_of(ids, given)) == [[2], [0, 1], [0, 1], [], [0, 1]]
    assert listed(mixture.histories_of(ids[:0], given)) == []


def test_what_is_of_another_catalogue_is_refused(mixture: Mixture) -> None:
    train = dataset()
    other = sl.Dataset({"who": ["ann"], "what": ["a"], "at": [1]}, "who", "what", timestamp="at")
    with pytest.raises(ConfigError, match="neighbours have 1 candidate and"):
        Mixture.of(mixture.towers, sl.Transitions().fit(other), train, share=0.5)
    with pytest.raises(ConfigError, match="and 1 history;"):
        Mixture([mixture.towers, mixture.neighbours], Lists.of([[0]]))
    with pytest.raises(DataError, match="the towers were trained on 'who'"):
        Mixture.of(mixture.towers, mixture.neighbours, dataset(query="user"), share=0.5)
    with pytest.raises(ConfigError, match="share=2"):
        Mixture.of(mixture.towers, mixture.neighbours, train, share=2)
    towers = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    with pytest.raises(ConfigError, match="has not been trained"):
        Mixture.of(towers, mixture.neighbours, train, share=0.5)
    numbers = sl.Dataset({"who": [1], "what": [1], "at": [1]}, "who", "what", timestamp="at")
    with pytest.raises(DataError, match="different ids"):
        Mixture.of(mixture.towers, mixture.neighbours, numbers, share=0.5)


def test_a_warm_start_takes_the_towers_of_a_mixture() -> None:
    train = dataset()

    def towers() -> sl.TwoTower:
        return sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))

    first = towers()
    sl.fit(first, train, epochs=1)
    mixture = Mixture.of(first, sl.Transitions().fit(train), train, share=0.5)
    found = []
    for before in (first, mixture):
        model = towers()
        sl.fit(model, train, epochs=1, warm_start=before)
        found.append(model.candidate_vectors(train.candidates))
    np.testing.assert_array_equal(*found)


SOURCES = (
    sl.Transitions(), sl.Cooccurrence(), sl.EASE(), sl.OwnHistory(), sl.Popular(), sl.Recent(), sl.Newest(), sl.Newest(column="at"),
)  # fmt: skip


@pytest.mark.parametrize("settings", SOURCES, ids=lambda one: type(one).__name__)
def test_a_source_of_the_same_candidates_in_another_order_is_refused(settings) -> None:
    def data(ids: list[str]) -> sl.Dataset:
        frame = pl.DataFrame(PAIRS, schema=["who", "what", "at", "weight"], orient="row")
        table = {"what": ids, "at": list(range(len(ids)))}
        return sl.Dataset(frame, "who", "what", timestamp="at", candidates=table)

    train = data(["a", "b", "c", "d"])
    Mixture([sl.popularity(train), settings.fit(train)], train)
    for ids in (["b", "a", "c", "d"], ["a", "b", "c", "e"]):
        with pytest.raises(ConfigError, match="was fitted on other candidates than the towers"):
            Mixture([sl.popularity(train), settings.fit(data(ids))], train)


@pytest.mark.parametrize("options", [{"weights": [1e300, 1.0]}, {"temperatures": 1e300}, {"temperatures": 1e-300}])
def test_numbers_that_scores_cannot_hold_are_refused_with_the_range(mixture: Mixture, options) -> None:
    with pytest.raises(ConfigError, match=r"to 1e\+30 was expected"):
        Mixture([mixture.towers, mixture.neighbours], dataset(), **options)
