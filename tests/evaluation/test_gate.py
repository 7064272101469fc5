"""Conditions by hand: every sign, yesterday and numbers, percents, the edge, and what cannot be read."""

from __future__ import annotations

import pytest

import shortlist as sl
from shortlist.evaluation.gate import Gate


@pytest.mark.parametrize(
    ("text", "today", "yesterday", "holds"),
    [
        ("top_100 >= yesterday - 0.002", 0.300, 0.302, True),  # the edge holds
        ("top_100 >= yesterday - 0.002", 0.2999, 0.302, False),
        ("top_100>=yesterday-0.002", 0.300, 0.302, True),
        ("top_100 >= yesterday", 0.3, 0.3, True),
        ("top_100 > yesterday", 0.3, 0.3, False),
        ("top_100 > yesterday - 1%", 0.2971, 0.3, True),
        ("top_100 > yesterday - 1%", 0.2970, 0.3, False),
        ("top_100 >= yesterday + 10%", 0.33, 0.3, True),
        ("top_100 <= yesterday + 0.1", 0.4, 0.3, True),
        ("top_100 < 0.2", 0.2, 0.0, False),
        ("top_100 >= 0.25", 0.25, 0.9, True),
        ("top_100 >= 0.5 - 0.1", 0.4, 0.0, True),
        ("top_100 >= yesterday - 0.002", float("nan"), 0.3, False),
        ("top_100 <= yesterday", float("nan"), 0.3, False),
        ("top_100 >= yesterday", 0.3, float("nan"), False),
    ],
)
def test_by_hand(text: str, today: float, yesterday: float, holds: bool) -> None:
    judged = Gate.parsed(text).judge({"top_100": today}, {"top_100": yesterday})
    assert judged.passed is holds
    assert ("holds" if holds else "does not hold") in str(judged)


@pytest.mark.parametrize(
    "text", ["", "top_100", "top_100 == yesterday", "top_100 >= today", "top_100 >= yesterday * 2", "1 >= 2"]
)
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(sl.ConfigError, match="cannot be read"):
        Gate.parsed(text)


def test_what_was_not_measured_names_the_nearest() -> None:
    with pytest.raises(sl.ConfigError, match="top_1000") as refused:
        Gate.parsed("top_1000 >= yesterday").judge({"top_100": 0.1}, {"top_100": 0.1})
    assert "top_100" in (refused.value.hint or "")
    with pytest.raises(sl.ConfigError, match="churn_10"):
        Gate.parsed("churn_10 <= yesterday").judge({"churn_10": 0.1}, {"top_100": 0.1})
    assert Gate.parsed("churn_10 <= 0.5").judge({"churn_10": 0.1}, {}).passed
