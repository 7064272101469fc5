"""Verdicts: which comparison decides, and what comes before all of them."""

from __future__ import annotations

import pytest

from shortlist.report.verdict import judged


def measured(**comparisons: tuple[float, bool]) -> dict[str, object]:
    """Measurements with these differences to baselines, each with whether it is real."""
    figures = {"seen_in": {"top_10": 0.25}}
    scorers = ["model", *comparisons]
    return {
        "k": 10,
        "evaluation": {
            **dict.fromkeys(scorers, figures),
            "candidates": 1000,
            "intervals": {name: {"seen_in": {"top_10": [0.2, 0.3]}} for name in scorers},
        },
        "comparisons": [
            {"scorer": name, "difference": difference, "real": real} for name, (difference, real) in comparisons.items()
        ],
    }


@pytest.mark.parametrize(
    ("comparisons", "level", "headline"),
    [
        ({"popularity": (0.1, True)}, "good", "Ahead of popularity"),
        ({"popularity": (0.1, True), "ease": (0.1, True)}, "good", "Ahead of every cheaper model measured"),
        ({"popularity": (0.1, True), "ease": (-0.1, True)}, "mixed", "Ahead of popularity, behind EASE"),
        (
            {"popularity": (0.1, True), "ease": (0.0, False), "ials": (-0.1, True)},
            "mixed",
            "Ahead of popularity, level with EASE, behind iALS",
        ),
        ({"popularity": (0.0, False), "ials": (-0.1, True)}, "mixed", "Level with popularity, behind iALS"),
        ({"ials": (-0.1, True)}, "mixed", "Behind iALS"),
        ({"popularity": (0.1, True), "ease": (-0.1, False)}, "mixed", "Ahead of popularity, level with EASE"),
        ({"popularity": (0.1, False)}, "mixed", "No better than popularity"),
        ({"popularity": (-0.1, True), "ease": (0.1, True)}, "bad", "Behind plain popularity"),
        ({}, "unknown", "No comparison"),
    ],
)
def test_verdicts(comparisons: dict[str, tuple[float, bool]], level: str, headline: str) -> None:
    verdict = judged(measured(**comparisons), [])
    assert verdict[:2] == (level, headline)
    assert "25.0% are among the first 10 of 1,000 candidates (95% interval 20.0% to 30.0%)" in verdict.reason


def test_a_test_on_the_training_table_is_no_verdict() -> None:
    figures = {"seen_in": {"top_10": 0.25}, "seen_out": {"top_10": 0.0}}
    for repeated, level in ((51, "unknown"), (50, "mixed")):
        found = measured(popularity=(0.0, False))
        found["evaluation"] |= {"model": figures, "popularity": figures, "pairs": 100, "repeated": repeated}
        found["evaluation"]["intervals"] = {
            name: {seen: {"top_10": [0.2, 0.3]} for seen in figures} for name in ("model", "popularity")
        }
        assert judged(found, []).level == level
        assert judged({**found, "judged_by": "seen_in"}, []).level == "mixed"
    found["evaluation"]["repeated"] = 1_000
    found["evaluation"]["pairs"] = 1_200
    assert judged(found, []).reason.startswith(
        "1,000 of the 1,200 test pairs are choices that their queries made in training"
    )


def test_a_collapse_or_no_measurement_comes_first() -> None:
    collapse = {"name": "collapsed", "message": "everyone gets the same", "hint": "…"}
    for figures in (measured(popularity=(-0.1, True)), measured(popularity=(0.1, False)), measured(), None):
        assert judged(figures, [collapse])[:2] == ("bad", "The model has collapsed")
    assert judged(None, []).level == "unknown"


def test_lists_that_are_alike_but_ahead_of_popularity_are_no_collapse() -> None:
    alike = {"name": "collapsed", "message": "two queries' top 10 share 94% of their candidates", "hint": "…"}
    verdict = judged(measured(popularity=(0.1, True)), [alike])
    assert verdict[:2] == ("mixed", "Ahead of popularity")
    assert verdict.reason.endswith(" Two queries' top 10 share 94% of their candidates.")
