"""Capacity and overload are measured in turn, so that a machine that is slower now and faster then changes no share."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.serving.speed import FEW, MANY, _in_turn


def test_a_slice_is_compared_with_the_capacity_before_and_after_it() -> None:
    """1,000, 800 and 400 are capacity; 810 is 9/10 of the first two's mean, 300 half of the last two's, 490 is 49/60 of 600."""
    good = iter([1000.0, 810.0, 800.0, 300.0, 400.0, 490.0, 800.0])
    asked: list[int] = []

    def measure(connections: int) -> dict[str, Any]:
        asked.append(connections)
        found = next(good)
        return {"good_per_second": found, "good_per_processor_second": 2 * found}

    found = _in_turn(measure, 3)
    assert asked == [FEW, MANY, FEW, MANY, FEW, MANY, FEW]
    assert found["shares"] == pytest.approx([9 / 10, 1 / 2, 49 / 60])
    assert found["share"] == found["share_of_processor"] == pytest.approx(49 / 60)
    assert found["capacity_per_second"] == 800.0
