"""The facts of a report, counted by hand: twenty books in two camps, forty readers with six choices each."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import shortlist as sl
from shortlist.language.chosen import speaking
from shortlist.report import facts
from shortlist.report.facts import Facts, gathered
from shortlist.report.page import page


@pytest.fixture(scope="module")
def made(recommender: sl.Recommender) -> Facts:
    return gathered(recommender, name="books", about={"Made by": "hand"})


def test_how_it_was_made(made: Facts) -> None:
    assert made.name == "books"
    assert next(iter(made.about)) == "Made by"
    assert made.about["Candidates"] == "20 (book)"
    assert made.about["Queries"] == "40 (reader), 40 in training"
    assert made.about["Training interactions"] == "240"
    assert made.about["Dimensions"] == "8"
    assert made.about["Index"].startswith("BruteForce: ")
    assert "epochs 25" in made.about["Recipe: fit"]


def test_what_was_read_is_said_in_korean_to_the_last_word(
    recommender: sl.Recommender, split: tuple[sl.Dataset, sl.Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = replace(split[0].account, files=3).to_dict()
    monkeypatch.setattr(recommender, "metadata", {**recommender.metadata, "account": account})
    with speaking("ko"):
        said = gathered(recommender).about["읽은 데이터"]
    assert said.startswith("파일 3개의 상호작용 240개, 쿼리 40개, 후보 20개; ")
    assert not re.search("[A-Za-z]{3}", said)


def test_figures_are_those_from_training_or_of_the_test(
    made: Facts, recommender: sl.Recommender, split: tuple[sl.Dataset, sl.Dataset]
) -> None:
    assert made.measured is recommender.metadata["measured"]
    assert made.source == "kept from training"
    again = gathered(recommender, split[1], baselines=["popularity"])
    assert again.source == "measured for this report on 40 test interactions"
    assert again.measured is not None
    assert again.measured["k"] == made.bias_k


def test_every_book_was_chosen_twelve_times(made: Facts) -> None:
    """A reader chooses six neighbouring books of ten; every second book of a camp begins the choices of four readers."""
    assert made.map.total == 20
    assert [point["count"] for point in made.map.points] == [12] * 20
    assert [(row["candidates"], row["training"]) for row in made.bias] == [(2, pytest.approx(0.1))] * 10
    assert sum(row["recommended"] for row in made.bias) == pytest.approx(1)
    assert sum(row["held_out"] for row in made.bias) == pytest.approx(1)
    assert made.bias_queries == 40


def test_the_map_shows_the_best_known(recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "POINTS", 5)
    monkeypatch.setattr(facts, "LANDMARKS", 2)
    monkeypatch.setattr(facts, "ASKED", 3)
    few = gathered(recommender)
    assert (len(few.map.points), len(few.map.neighbours), few.map.total) == (5, 2, 20)
    assert few.bias_queries == 3
    for title, near in few.map.neighbours:
        assert len(near) == 3
        assert title not in near


def test_without_a_measurement_there_are_findings_alone(recommender: sl.Recommender) -> None:
    bare = sl.Recommender(recommender.model, index=sl.BruteForce(), seen=recommender.seen)
    found = gathered(bare)
    assert found.measured is None
    assert (found.good, found.bad) == ([], [])
    assert all("held_out" not in row for row in found.bias)
    assert "Recipe: fit" not in found.about


def test_a_model_without_vectors_has_a_map_by_its_neighbours(split: tuple[sl.Dataset, sl.Dataset]) -> None:
    """Nobody of one camp chose a book of the other, so the first coordinate tells the two camps apart by its sign."""
    train, _ = split
    plan = sl.recipes.load({"towers": "popularity", "neighbours": {"kind": "cooccurrence"}})
    counted, _ = plan.train(train)
    found = gathered(sl.Recommender(counted, index=sl.BruteForce(), seen=train))
    assert (found.map.method, found.map.kept) == ("neighbours", None)
    signs = [point["x"] > 0 for point in found.map.points]
    assert signs in ([True] * 10 + [False] * 10, [False] * 10 + [True] * 10)
    assert "Candidates that are chosen together are near each other" in page(found)


def test_popularity_alone_is_a_line(split: tuple[sl.Dataset, sl.Dataset]) -> None:
    train, _ = split
    found = gathered(sl.Recommender(sl.popularity(train), index=sl.BruteForce(), seen=train))
    assert found.map.method == "line"
    assert {point["y"] for point in found.map.points} == {0.0}
    assert "so the map is a line" in page(found)
