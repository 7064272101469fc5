"""Conditions of promotions: the figures that they need, and whether they hold."""

from __future__ import annotations

from typing import Any

import pytest

from shortlist.cli.judging import judged, measured, measured_alone, say_changes
from shortlist.errors import ConfigError
from shortlist.evaluation.gate import Gate

CHANGES: dict[str, Any] = {
    "k": 10,
    "comparison": {
        "before": {"top_100": 0.30, "top_10": 0.10},
        "after": {"top_100": 0.29, "top_10": 0.12},
        "differences": [
            {"metric": "top_10", "text": "top_10 rose"},
            {"metric": "ndcg_10", "text": "ndcg_10 rose"},
        ],
    },
    "churn_at": {10: 0.25},
    "churn": {"queries": 3, "k": 10, "changed": 0.25, "came_new": 0.05, "left_chosen": 0.1},
    "drift": {"candidates": {"cosine": 0.5, "turned": 0.75, "ids": 1200}},
    "new_candidates": 4,
    "new_queries": 1500,
}


def gates(*texts: str) -> list[Gate]:
    return [Gate.parsed(text) for text in texts]


def test_figures_that_conditions_need() -> None:
    assert [measured(one) for one in gates("top_100 >= 0.1", "ndcg_5 > yesterday", "churn_10 <= 0.5")] == [
        ("top", 100),
        ("ndcg", 5),
        ("churn", 10),
    ]


@pytest.mark.parametrize("text", ["mrr_10 >= 0.1", "top >= 0.1", "top_0 >= 0.1", "churn_10 <= yesterday"])
def test_figures_that_nothing_measures_are_refused(text: str) -> None:
    """Churn is between two days: yesterday has none of its own."""
    with pytest.raises(ConfigError, match="refers to"):
        measured(Gate.parsed(text))


def test_conditions_are_judged_by_the_comparison_with_yesterday(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = gates("top_100 >= yesterday - 0.02", "top_100 >= yesterday", "top_10 >= 0.11", "churn_10 <= 0.2")
    found = judged(wanted, CHANGES, {"model": {"seen_out": {"top_100": 1.0}}})
    assert [one.passed for one in found] == [True, False, True, False]
    assert "top_100 >= yesterday: 0.2900 against 0.3000, does not hold" in capsys.readouterr().err


def test_without_yesterday_they_are_judged_by_the_evaluation() -> None:
    evaluation = {"model": {"seen_in": {"top_10": 0.1}, "seen_out": {"top_10": 0.2}}}
    assert [one.value for one in judged(gates("top_10 >= 0.15"), None, evaluation)] == [0.2]
    assert [one.value for one in judged(gates("top_10 >= 0.05"), None, {"model": {"seen_in": {"top_10": 0.1}}})] == [
        0.1
    ]
    with pytest.raises(ConfigError, match="was not measured"):
        judged(gates("top_10 >= 0.05"), None, None)


def test_changes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    say_changes(CHANGES)
    text = capsys.readouterr().err
    assert "top_10 rose" in text
    assert "ndcg_10" not in text
    assert "candidates: mean cosine 0.500 with yesterday's vectors (0.750 after" in text
    assert "1,200 ids that both know" in text
    assert "25.0% of the top 10 is new (5.0% new candidates); 10.0% of yesterday's was chosen since" in text
    assert "new: 4 candidates, 1,500 queries" in text


def test_without_a_bundle_to_compare_with_only_top_k_accuracy_is_measured_against_a_number() -> None:
    alone = gates("top_1 >= 0.1", "top_100 >= 0.1")
    others = gates("top_100 >= yesterday", "top_20 >= 0.1", "recall_10 >= 0.1", "ndcg_100 >= 0.1", "churn_10 <= 0.5")
    assert [measured_alone(one) for one in (*alone, *others)] == [True] * 2 + [False] * 5
