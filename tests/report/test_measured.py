"""What is measured for a report: whole, plain, sampled by whole queries, and beside an approximate index."""

from __future__ import annotations

import json
import math

import pytest

import shortlist as sl
from shortlist.evaluation.metrics import headline_k
from shortlist.recommender.card import figure_tables
from shortlist.report import measure, render


@pytest.mark.parametrize(("candidates", "k"), [(1, 1), (19, 1), (20, 2), (99, 9), (100, 10), (10**6, 10)])
def test_small_catalogues_are_judged_by_small_lists(candidates: int, k: int) -> None:
    assert headline_k(candidates) == k


def test_measure_is_plain_and_whole(split: tuple[sl.Dataset, sl.Dataset], recommender: sl.Recommender) -> None:
    train, test = split
    found = measure(recommender.model, test, seen=train, baselines=["popularity"])
    assert json.loads(json.dumps(found)).keys() == found.keys()
    assert found["k"] == 2
    assert found["evaluation"]["pairs"] == 40
    assert set(found["evaluation"]["intervals"]) == {"model", "popularity"}
    assert [one["scorer"] for one in found["comparisons"]] == ["popularity"]
    assert {"query_history", "warm_cold", "country", "genres"} <= {one["name"] for one in found["segments"]}
    assert {one["scorer"] for one in found["segments"]} == {"model", "popularity"}
    held_out = dict(zip(found["held_out"]["queries"], found["held_out"]["candidates"], strict=True))
    assert len(held_out) == 40
    assert held_out["r0"] == ["b6"]  # step 6 of reader 0
    assert held_out["r13"] == ["b19"]  # 10 + (13 + 6) mod 10


def test_the_page_and_the_model_card_show_what_was_measured(recommender: sl.Recommender) -> None:
    """The diversity of a list of one item does not exist, which is no reason to say that there are no figures."""
    evaluation = recommender.metadata["measured"]["evaluation"]
    assert math.isnan(evaluation["model"]["seen_in"]["diversity_1"])
    left_in, left_out = figure_tables({"evaluation": evaluation})
    for table, seen in ((left_in, "seen_in"), (left_out, "seen_out")):
        assert [row["name"] for row in table["rows"]] == ["model", "popularity"]
        assert table["rows"][0]["values"]["top-1"] == evaluation["model"][seen]["top_1"]


def test_examples_stay_few(
    split: tuple[sl.Dataset, sl.Dataset], recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.report.measured.EXAMPLE_CHOICES", 3)
    train, test = split
    found = measure(recommender.model, test, seen=train, baselines=["popularity"])["held_out"]
    assert [len(found[side]) for side in ("queries", "candidates")] == [3, 3]


def test_a_large_test_is_sampled_by_whole_queries(
    split: tuple[sl.Dataset, sl.Dataset], recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.report.measured.FEWEST_QUERIES", 4)
    monkeypatch.setattr("shortlist.report.measured.SCORES", 100)  # 20 candidates: five queries
    train, _ = split
    found = measure(recommender.model, train, seen=train, baselines=["popularity"])
    assert found["sampled_from"] == 40
    assert found["evaluation"]["queries"] == 5
    assert found["evaluation"]["pairs"] == 5 * 6  # each with all six choices of the training part
    assert [len(chosen) for chosen in found["held_out"]["candidates"]] == [6] * 5
    monkeypatch.setitem(recommender.metadata, "measured", found)
    assert "30 held-out choices of 5 queries, evenly spread over the 40 of the test," in render(recommender)


def test_an_approximate_index_stands_beside_the_model(
    split: tuple[sl.Dataset, sl.Dataset], recommender: sl.Recommender
) -> None:
    train, test = split
    served = sl.Recommender(recommender.model, index=sl.Faiss(), seen=train)
    found = measure(served.model, test, seen=train, baselines=["popularity"], index=served.index)
    assert set(found["evaluation"]["index_recall"]) == {"seen_in", "seen_out"}
    assert [one["scorer"] for one in found["comparisons"]] == ["index", "popularity"]
    assert {one["scorer"] for one in found["segments"]} == {"model", "popularity"}
    page = render(served, test, baselines=["popularity"])
    recall = found["evaluation"]["index_recall"]["seen_out"]["recall_2"]
    assert f"The index finds {recall:.1%} of the model's exact top 2." in page
    exact = measure(served.model, test, seen=train, baselines=["popularity"], index=recommender.index)
    assert "index" not in exact["evaluation"]
