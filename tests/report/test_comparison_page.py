"""The section on what changed since another model."""

from __future__ import annotations

from shortlist.report.comparison_page import since_body


def test_the_section_is_short_enough_for_a_phone() -> None:
    """Verdicts are words, times have minutes, and nothing breaks within a number."""
    differences = [
        {"metric": metric, "first": 0.25, "second": 0.5, "difference": difference, "interval": interval}
        | {"p_value": p, "real": real}
        for metric, difference, interval, p, real in [
            ("top_10", 0.25, (0.125, 0.5), 0.0001, True),
            ("ndcg_10", -0.25, (-0.5, -0.125), 0.01, True),
            ("recall_10", 0.0, (-0.5, 0.5), 1.0, False),
        ]
    ]
    told = {
        "before": {"fingerprint": "0f702f0b8f40f3a0ff", "created": "2026-01-31T08:05:59+00:00"},
        "new_candidates": 1,
        "new_queries": 2,
        "k": 10,
        "comparison": {"pairs": 8, "differences": differences},
        "churn": {
            "queries": 4,
            "k": 10,
            "changed": 0.5,
            "came_new": 0.0,
            "left_chosen": 0.0,
            "same": 0.25,
            "segments": [{"segment": "age", "group": "young", "queries": 3, "changed": 0.75}],
        },
        "drift": {},
    }
    page = since_body(told).replace("\u00a0", "_")
    assert "made 2026-01-31_08:05_UTC. Since then" in page
    for words in (">better<", ">worse<", ">within_chance<", ">&lt;_0.001<", ">+12.50_to_+50.00<", ">1.000<"):
        assert words in page, words
    assert "50.0% today: today is better." in page
    assert page.index(">all<") < page.index(">age: young<")
    told["before"]["created"] = "yesterday"
    assert "made yesterday." in since_body(told)
