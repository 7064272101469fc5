"""A bundle's figures as tables, and its model card."""

from __future__ import annotations

from typing import Any

import shortlist as sl
from shortlist.recommender.card import figure_tables, model_card


def recommender(**metadata: Any) -> sl.Recommender:
    data = sl.Dataset({"user": ["u", "u", "v"], "film": ["a", "b", "b"]}, "user", "film")
    made = sl.Recommender(sl.popularity(data), seen=data)
    made.metadata = metadata
    return made


def test_figures_from_either_place() -> None:
    """Those of an evaluation, and those that a recipe left for each scorer; what is no figure is left out."""
    seen = {"top_1": 0.5, "top_10": 1.0}
    expected = [
        {
            "title": "Test interactions, seen items left out",
            "rows": [{"name": "model", "values": {"top-1": 0.5, "top-10": 1.0}}],
        }
    ]
    assert figure_tables({"evaluation": {"model": {"seen_out": seen}}}) == expected
    assert figure_tables({"model": {"test": {"seen_out": seen}}}) == expected
    assert figure_tables({"evaluation": {"model": {"seen_out": {"top_1": "half"}}, "notes": ["a"]}}) == []
    assert figure_tables({}) == []


def test_figures_that_do_not_exist_leave_the_others() -> None:
    """As `shortlist train` writes them: the diversity of one item is null, and there are dozens of metrics."""
    measured = {"top_1": 0.5, "top_10": 1.0, "ndcg_1": 0.5, "diversity_1": None}
    (table,) = figure_tables({"evaluation": {"model": {"seen_in": measured}, "intervals": {"model": {"seen_in": {}}}}})
    assert table["rows"] == [{"name": "model", "values": {"top-1": 0.5, "top-10": 1.0}}]
    (table,) = figure_tables({"evaluation": {"model": {"seen_in": {"ndcg_5": 0.5, "mrr_5": None}}}})
    assert table["rows"] == [{"name": "model", "values": {"ndcg-5": 0.5}}]


def test_a_card() -> None:
    served = recommender(
        choice={"chosen": "ALS + transitions"},
        evaluation={"model": {"seen_out": {"top_1": 0.5}}, "popularity": {"seen_out": {"top_1": 0.25}}},
    ).served
    lines = model_card(served, "me/films").splitlines()
    assert lines[:2] == ["---", "library_name: shortlist"]
    assert (
        "Recommends 2 candidates (`film`) to 2 queries (`user`). Made with [shortlist](https://pypi.org/project/shortlist/)."
        in lines
    )
    assert "print(recommender.recommend(['u'], k=10))" in lines
    assert "| model | ALS + transitions |" in lines
    assert "| trained on | 3 interactions |" in lines
    assert lines[lines.index("| | top-1 |") :][:4] == [
        "| | top-1 |",
        "|---|---|",
        "| model | 0.5000 |",
        "| popularity | 0.2500 |",
    ]


def test_a_card_without_figures() -> None:
    card = model_card(recommender().served, "me/films")
    assert "| model | made in Python |" in card
    assert "top-1" not in card


def test_a_card_names_als_by_a_recipe_and_counts_one() -> None:
    assert "| model | a recipe: ALS |" in model_card(
        recommender(recipe={"als": {"unobserved": 0.1}}).served, "me/films"
    )
    assert "| model | a recipe |" in model_card(recommender(recipe={"als": None, "loss": {}}).served, "me/films")
    data = sl.Dataset({"user": ["u"], "film": ["a"]}, "user", "film")
    card = model_card(sl.Recommender(sl.popularity(data), seen=data).served, "me/films")
    assert "Recommends 1 candidate (`film`) to 1 query (`user`)." in card
    assert "| trained on | 1 interaction |" in card
