"""An evaluation's figures as flat rows; by hand."""

from __future__ import annotations

from typing import Any

from shortlist.report.figures import figures_at_k, scorers_of, segment_rows

MEASURED: dict[str, Any] = {
    "k": 5,
    "evaluation": {
        "popularity": {"seen_out": {"top_5": 0.25}},
        "model": {"seen_in": {"top_5": 0.5, "recall_5": None, "mrr_5": 0.75}, "seen_out": {"top_5": 0.625, "ndcg_10": 0.125}},
        "intervals": {"model": {"seen_in": {"top_5": [0.375, 0.75]}}},
        "pairs": 8,
    },
    "segments": [
        {"name": "warm_cold", "group": "known", "scorer": "model", "pairs": 6, "queries": 3,
         "figures": {"top_5": 0.5}, "intervals": {"top_5": [0.25, 0.75]}},
        {"name": "land", "group": "north", "scorer": "popularity", "pairs": 2, "queries": 1,
         "figures": {"top_5": 0.0}, "intervals": {}},
        {"name": "land", "group": "south", "scorer": "model", "pairs": 0, "queries": 0,
         "figures": {"top_5": None}, "intervals": {}},
    ],
}  # fmt: skip


def test_the_model_comes_first() -> None:
    assert scorers_of(MEASURED) == ["model", "popularity"]


def test_a_row_for_each_figure_that_there_is() -> None:
    rows = [
        (row["metric"], row["seen"], row["k"], row["value"], row["low"], row["high"]) for row in figures_at_k(MEASURED)
    ]
    assert rows == [
        ("top-k accuracy", "left out", 5, 0.625, None, None),
        ("top-k accuracy", "left out", 5, 0.25, None, None),
        ("top-k accuracy", "left in", 5, 0.5, 0.375, 0.75),
        ("NDCG", "left out", 10, 0.125, None, None),
    ]


def test_the_half_that_the_verdict_judges_by_comes_first() -> None:
    """The first value of a chart's choice is the one that it opens with."""
    rows = figures_at_k({**MEASURED, "judged_by": "seen_in"})
    assert [row["seen"] for row in rows if row["metric"] == "top-k accuracy"] == ["left in", "left out", "left out"]


def test_segments_without_a_figure_have_no_row() -> None:
    rows = segment_rows(MEASURED)
    assert [(row["segment"], row["group"], row["value"], row["low"], row["pairs"]) for row in rows] == [
        ("known and new", "known", 0.5, 0.25, 6),
        ("land", "north", 0.0, None, 2),
    ]
