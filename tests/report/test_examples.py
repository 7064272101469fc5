"""Examples: where the model finds most of what was held out, and where it finds none; by hand."""

from __future__ import annotations

import polars as pl
import pytest

import shortlist as sl
from shortlist.report.catalogue import Labels
from shortlist.report.examples import chosen_examples

TITLES = {"c0": "Zero", "c1": "One", "c2": "Two", "c3": "Three"}


@pytest.fixture(scope="module")
def recommender() -> sl.Recommender:
    """Everybody's list is by popularity: c0 was chosen four times, c1 three times, c2 twice, c3 once."""
    counts = {"c0": 4, "c1": 3, "c2": 2, "c3": 1}
    pairs = [(f"q{number}", one) for one, count in counts.items() for number in range(count)]
    data = sl.Dataset(
        pl.DataFrame(pairs, schema=["who", "what"], orient="row"),
        "who",
        "what",
        queries={"who": ["q0", "q1", "q2", "q3", "q9"], "land": ["n", "s", "n", "s", "n"]},
        candidates={"what": list(TITLES), "title": list(TITLES.values())},
    )
    return sl.Recommender(sl.popularity(data), seen=data)


def test_the_best_and_the_worst(recommender: sl.Recommender) -> None:
    """q0 has all four; q3 chose c0 alone and has c1, c2, c3; q2 chose c0 and c1 and has c2, c3; q1 has c3 left."""
    labels = Labels(recommender.towers.catalogue.candidates, "what")
    held_out = {"queries": ["q3", "q2", "q1", "q9"], "candidates": [["c1", "c2"], ["c0"], ["c3"], ["c1"]]}
    good, bad = chosen_examples(recommender, labels, held_out, k=2)
    assert [one.query for one in good] == ["q3", "q1"]  # two hits, one hit; q9 is new to training
    assert [one.query for one in bad] == ["q2"]
    first = good[0]
    assert (first.hits, first.features, first.history, first.chosen) == (2, "land s", ["Zero"], 1)
    assert [(title, hit) for title, _, hit in first.recommended] == [("One", True), ("Two", True)]
    assert first.held_out == [("One", 1), ("Two", 2)]
    assert (first.held_out_total, first.deep) == (2, 3)
    missed = bad[0]
    assert (missed.hits, missed.history) == (0, ["Zero", "One"])
    assert missed.held_out == [("Zero", None)]  # seen, so it is in no list


def test_a_choice_that_the_catalogue_lacks_is_shown_by_its_id(recommender: sl.Recommender) -> None:
    labels = Labels(recommender.towers.catalogue.candidates, "what")
    _, (bad,) = chosen_examples(recommender, labels, {"queries": ["q3"], "candidates": [["gone"]]}, k=2)
    assert bad.held_out == [("gone", None)]


def test_ids_of_another_type_are_nobodys(recommender: sl.Recommender) -> None:
    labels = Labels(recommender.towers.catalogue.candidates, "what")
    assert chosen_examples(recommender, labels, {"queries": [7], "candidates": [["c1"]]}, k=2) == ([], [])


def test_a_history_that_the_model_reads_is_listed_by_titles_alone() -> None:
    """The column of histories holds the ids of what is listed below it; other columns of the query are shown."""
    log = {"user": [1, 1, 2, 2], "film": [901, 902, 902, 903], "at": [1, 2, 3, 4]}
    films = {"film": [901, 902, 903], "title": ["A", "B", "C"]}
    data = sl.Dataset(log, "user", "film", timestamp="at", queries={"user": [1, 2], "age": [24, 31]}, candidates=films)
    model = sl.TwoTower(sl.Tower(sl.History(length=3), dim=4), sl.Tower(sl.IntegerLookup("film"), dim=4))
    model.prepare(data)
    recommender = sl.Recommender(model.eval(), seen=data)
    best, worst = chosen_examples(
        recommender, Labels(data.candidates, "film"), {"queries": [1, 2], "candidates": [[903], [901]]}, 1
    )
    assert {one.query: one.features for one in (*best, *worst)} == {"1": "age 24", "2": "age 31"}
