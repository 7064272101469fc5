"""What a person reads of an evaluation: figures with their intervals, nothing wider than a terminal."""

from __future__ import annotations

import doctest
import sys

import pytest

from shortlist.evaluation import Evaluation, Interval, Segment
from shortlist.evaluation.text import headline_figure

NAN = float("nan")
COUNTS = {"pairs": 1200, "queries": 30, "candidates": 4000, "new_queries": 2, "new_candidates": 1, "seconds": 0.5}


def evaluation(figures, **more) -> Evaluation:
    return Evaluation(figures, **COUNTS, **more)


def test_docstrings() -> None:
    assert doctest.testmod(sys.modules["shortlist.evaluation.text"]) == (0, 2)


def test_figures_stand_beside_half_their_interval() -> None:
    figures = {
        "model": {"seen_in": {"top_1": 0.25, "top_10": 0.5}},
        "popularity": {"seen_in": {"top_1": 0.125, "top_10": 1.0}},
    }
    sure = {"model": {"seen_in": {"top_1": Interval(0.2, 0.3), "top_10": Interval(NAN, NAN)}}}
    lines = str(evaluation(figures, intervals=sure)).splitlines()
    assert lines[0].startswith("1,200 test pairs of 30 queries against 4,000 candidates (2 with a query new")
    start = lines.index("seen items left in")
    assert lines[start - 1] == ""
    assert lines[start + 1].split() == ["top-1", "top-10"]
    assert lines[start + 2].split() == ["model", "0.2500", "±.0500", "0.5000"]
    assert lines[start + 3].split() == ["popularity", "0.1250", "1.0000"]
    assert len({len(line) for line in lines[start + 1 : start + 4]}) == 1
    assert lines[-1] == "± is half the 95% interval, from resampled queries."
    assert "±" not in str(evaluation(figures))


def test_the_index_has_rows_of_its_own_and_no_figure_where_none_can_be() -> None:
    figures = {"model": {"seen_in": {"top_10": 0.5, "auc": 0.75}}, "index": {"seen_in": {"top_10": 0.4}}}
    lines = str(evaluation(figures, index_recall={"seen_in": {"recall_10": 0.875}})).splitlines()
    assert ["index", "0.4000", "–"] in [line.split() for line in lines]
    assert ["of", "top-10"] in [line.split() for line in lines]
    assert ["index", "recall", "0.8750"] in [line.split() for line in lines]


@pytest.mark.parametrize("metrics", [1, 2, 5, 9])
@pytest.mark.parametrize("ks", [1, 3, 5, 8])
def test_no_line_is_wider_than_a_terminal(metrics: int, ks: int) -> None:
    names = [f"capped_recall{metric}_{10**k if k < 4 else k}" for metric in range(metrics) for k in range(ks)]
    one = {"seen_in": dict.fromkeys(names, 0.5), "seen_out": dict.fromkeys(names, 4321.0)}
    sure = {
        "seen_in": dict.fromkeys(names, Interval(0.4, 0.6)),
        "seen_out": dict.fromkeys(names, Interval(4000.0, 5000.0)),
    }
    scorers = ("model", "cooccurrence", "ials")
    text = str(evaluation(dict.fromkeys(scorers, one), intervals=dict.fromkeys(scorers, sure)))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("capped recall") == 2 * metrics * ks  # every figure is there


def test_segments_show_the_figure_nearest_ten_and_long_names_cut() -> None:
    rows = [
        Segment("country", group, scorer, seen, 40, 4, {"top_1": 0.0, "top_10": value, "top_50": 1.0}, {})
        for group, value in (("KR", 0.5), ("x" * 50, 0.25))
        for scorer in ("model", "popularity", "recent", "ease", "ials")
        for seen in ("seen_in", "seen_out")
    ]
    lines = str(evaluation({"model": {"seen_in": {"top_10": 0.5}}}, segments=rows)).splitlines()
    start = lines.index("by country (top-10, seen items excluded)")
    assert lines[start + 1].split() == ["pairs", "queries", "model", "ease", "ials"]
    assert lines[start + 2].split() == ["KR", "40", "4", "0.5000", "0.5000", "0.5000"]
    assert lines[start + 3].startswith("x" * 33 + "…  ")
    assert max(map(len, lines)) <= 80


def test_names_of_groups_are_whole_before_figures_of_others_are_shown() -> None:
    sure = {"top_10": Interval(0.4, 0.6)}
    rows = [
        Segment("warm cold", "warm query, warm candidate", scorer, "seen_out", 40, 4, {"top_10": 0.5}, sure)
        for scorer in ("model", "popularity", "recent", "ials")
    ]
    lines = str(evaluation({"model": {"seen_in": {"top_10": 0.5}}}, segments=rows)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("by warm cold"))
    assert lines[start + 1].split() == ["pairs", "queries", "model", "ials"]
    assert lines[start + 2].startswith("warm query, warm candidate  ")
    assert max(map(len, lines)) <= 80


def test_a_segment_of_figures_without_a_cut_off() -> None:
    assert headline_figure([]) is None
    one = Segment("g", "a", "model", "seen_in", 4, 4, {}, {})
    assert "by g" not in str(evaluation({"model": {"seen_in": {"coverage_10": 0.5}}}, segments=[one]))
