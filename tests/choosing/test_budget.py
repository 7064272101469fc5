"""Budgets as people write them."""

from __future__ import annotations

import pytest

from shortlist.choosing import seconds_of
from shortlist.errors import ConfigError


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2min", 120), ("1h", 3600), (5, 5.0), ("0.5 min", 30)])
def test_budgets(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "0", 0, -3, float("inf"), True, None, "3 weeks"])
def test_other_budgets_are_refused(text: object) -> None:
    with pytest.raises(ConfigError, match="a time above 0 was expected"):
        seconds_of(text)  # type: ignore[arg-type]
