"""The first screen: verdict, bars in order, and what the verdict asks for."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

import shortlist as sl
from shortlist.report.facts import Facts, gathered
from shortlist.report.summary import finding_name, summary

HALF = {"top_10": 0.2}
COLLAPSED = {"name": "collapsed", "message": "all lists are <one>", "hint": "train longer", "figures": {}}


@pytest.fixture(scope="module")
def facts(recommender: sl.Recommender) -> Facts:
    return gathered(recommender)


def measured(**comparisons: tuple[float, bool]) -> dict[str, Any]:
    """The model at 20%; each baseline at its figure, and whether the difference is beyond chance."""
    return {
        "k": 10,
        "judged_by": "seen_out",
        "evaluation": {
            "model": {"seen_out": {"top_10": 0.2}},
            **{name: {"seen_out": {"top_10": value}} for name, (value, _) in comparisons.items()},
            "intervals": {"model": {"seen_out": {"top_10": (0.1, 0.3)}}},
            "candidates": 100,
            "pairs": 50,
        },
        "comparisons": [
            {"scorer": name, "difference": 0.2 - value, "real": real} for name, (value, real) in comparisons.items()
        ],
    }


def test_bars_are_in_order_and_as_long_as_their_figures(facts: Facts) -> None:
    text = summary(replace(facts, findings=(), measured=measured(ease=(0.4, True), popularity=(0.1, True))))
    assert re.findall(r"<th scope=row>([^<]+)</th>", text) == ["EASE", "this model", "popularity"]
    assert re.findall(r"width:([\d.]+)%", text) == ["100.0", "50.0", "25.0"]
    assert re.findall(r"<td class=number>([^<]+)</td>", text) == ["40.0%", "20.0%", "10.0%"]
    assert text.count("<tr class=own><th scope=row>this model") == 1


@pytest.mark.parametrize(
    ("baselines", "first"),
    [
        ({"popularity": (0.1, True)}, "Serve it: shortlist serve BUNDLE."),
        (
            {"popularity": (0.1, True), "ease": (0.4, True)},
            "Do not serve this model yet: EASE finds more and costs less.",
        ),
        ({"popularity": (0.3, True)}, "Do not serve this model yet: popularity finds more and costs less."),
        (
            {"popularity": (0.3, True), "ease": (0.4, True)},
            "Do not serve this model yet: popularity and EASE find more and cost less.",
        ),
        ({"popularity": (0.19, False)}, "It is not surely better than what is cheaper"),
        ({}, "Measure it on rows that training did not have"),
    ],
)
def test_the_verdict_says_what_to_do(facts: Facts, baselines: dict[str, tuple[float, bool]], first: str) -> None:
    text = summary(replace(facts, findings=(), measured=measured(**baselines)))
    assert re.search(r"<ol><li>([^<]*)", text)[1].startswith(first)


@pytest.mark.parametrize(
    ("neighbours", "figure", "said"),
    [
        (None, 0.19, "Its lists are the bestsellers, the same for everyone"),
        ({"kind": "ease"}, 0.19, "It is the best of several models, but not surely better than a cheaper one."),
        ({"kind": "ease"}, 0.4, "Train again with more time (--budget) or with more rows: several models were tried."),
    ],
)
def test_a_chosen_model_is_not_sent_back_to_the_choice(
    facts: Facts, neighbours: dict[str, str] | None, figure: float, said: str
) -> None:
    recipe = {"towers": "popularity", "neighbours": neighbours, "sources": []}
    figures = measured(popularity=(figure, figure > 0.2))
    text = summary(replace(facts, findings=(), measured=figures, choice={"chosen": "x"}, recipe=recipe))
    assert said in text
    assert "--recipe" not in text
    assert ("no list of bestsellers" in text) == (neighbours is not None)


@pytest.mark.parametrize(("k", "title"), [(1, "in the first place<"), (4, "in the first 4 places<")])
def test_one_place_is_said_in_words(facts: Facts, k: int, title: str) -> None:
    figures = measured(popularity=(0.1, True))
    figures = json.loads(json.dumps({**figures, "k": k}).replace("top_10", f"top_{k}"))
    assert f"<h2>Held-out choices that are {title}" in summary(replace(facts, findings=(), measured=figures))


def test_warnings_come_first_and_stay_text(facts: Facts) -> None:
    text = summary(replace(facts, findings=(COLLAPSED,), measured=None))
    assert "<ol><li><strong class=warned>collapsed</strong>: all lists are &lt;one&gt;." in text
    assert "What to do: train longer." in text
    assert "No warnings" not in text
    assert "class=bars" not in text  # nothing was measured
    assert finding_name({"name": "new_kind"}) == "new kind"
