"""The charts' specifications: which rows they draw, in which order, and what the reader may pick."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shortlist.report import charts
from shortlist.report.facts import Map
from shortlist.report.verdict import SCORERS, scorer_name

TRAINING = [
    {"epoch": 1, "loss": 4.5, "chance": 4.6, "top_5": 0.125, "top_10": None},
    {"epoch": 2, "loss": 4.0, "chance": 4.6, "top_5": 0.25, "top_10": 0.5},
]
FIGURES = [
    {"scorer": scorer, "seen": seen, "metric": metric, "k": k, "value": 0.5, "low": 0.25, "high": 0.75}
    for scorer in ("this model", "popularity")
    for seen in ("left out", "left in")
    for metric in ("top-k accuracy", "NDCG")
    for k in (5, 10)
]


def rows(spec: dict[str, Any]) -> list[dict[str, Any]]:
    json.dumps(spec)  # it goes into a page
    return list(spec["data"]["values"])


def test_loss_stands_beside_chance() -> None:
    spec = charts.loss_chart(TRAINING)
    assert [(row["epoch"], row["series"], row["nats"]) for row in rows(spec)] == [
        (1, "loss", 4.5), (1, "chance", 4.6), (2, "loss", 4.0), (2, "chance", 4.6),
    ]  # fmt: skip
    assert spec["encoding"]["x"]["type"] == "ordinal"


def test_many_epochs_have_an_axis_of_numbers() -> None:
    long = [{"epoch": number, "loss": 1.0, "chance": 2.0} for number in range(1, 22)]
    assert charts.loss_chart(long)["encoding"]["x"]["type"] == "quantitative"
    assert charts.loss_chart(long[:20])["encoding"]["x"]["type"] == "ordinal"


def test_what_was_not_validated_is_not_drawn() -> None:
    found = rows(charts.epoch_chart(TRAINING, ["top_5", "top_10"]))
    assert [(row["epoch"], row["metric"], row["value"]) for row in found] == [
        (1, "top-5", 0.125), (2, "top-5", 0.25), (2, "top-10", 0.5),
    ]  # fmt: skip


def test_the_reader_picks_the_metric_and_seen_items() -> None:
    spec = charts.at_k_chart(FIGURES)
    assert rows(spec) == FIGURES
    picks = {one["name"]: one["bind"]["options"] for one in spec["params"]}
    assert picks == {"metric_is": ["top-k accuracy", "NDCG"], "seen_is": ["left out", "left in"]}


def test_baselines_are_drawn_at_one_k_in_a_height_that_fits() -> None:
    spec = charts.baseline_chart(FIGURES, 10)
    assert {row["k"] for row in rows(spec)} == {10}
    assert spec["height"] == 2 * 34


def test_every_scorer_has_a_colour() -> None:
    """A scale with a domain draws nothing for a value that is not in it."""
    assert set(charts.COLOUR_ORDER) == set(SCORERS)
    domain = charts.at_k_chart(FIGURES)["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert set(domain) == {scorer_name(name) for name in SCORERS}


@pytest.mark.parametrize(("column", "picks"), [(None, ["zoom"]), ("genre", ["shown", "group", "zoom"])])
def test_a_map_without_groups_has_nothing_to_pick(column: str | None, picks: list[str]) -> None:
    point = {"x": 0.0, "y": 0.0, "title": "a", "group": "other", "groups": "", "count": 1}
    spec = charts.map_chart(Map([point], ["other"], 1.0, "pca", 1, column, []))
    assert [one["name"] for one in spec["params"]] == picks
    assert ("legend" in spec["encoding"]["color"]) == (column is None)


def test_segments_are_as_high_as_their_groups() -> None:
    found = [
        {"segment": segment, "group": group, "scorer": "this model", "value": 0.5, "low": 0.0, "high": 1.0, "pairs": 3}
        for segment, group in (("land", "north"), ("land", "south"), ("age", "old"))
    ]
    spec = charts.segment_chart(found, ["land", "age"], "top-5 accuracy")
    assert spec["height"] == 2 * 16
    assert spec["usermeta"] == {"heights": {"land": 2 * 16, "age": 16}}
    assert spec["params"][0]["value"] == "land"


def test_shares_of_what_was_not_held_out_are_left_out() -> None:
    bias = [{"part": 1, "training": 0.75, "recommended": 1.0}, {"part": 2, "training": 0.25, "recommended": 0.0}]
    spec = charts.bias_chart(bias)
    assert [(row["part"], row["source"], row["share"]) for row in rows(spec)] == [
        (1, "training interactions", 0.75), (1, "recommendations", 1.0),
        (2, "training interactions", 0.25), (2, "recommendations", 0.0),
    ]  # fmt: skip
    assert spec["encoding"]["color"]["scale"]["domain"] == ["training interactions", "recommendations"]
