"""Figures by name, and those of one group of test pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shortlist.intervals import Interval

__all__ = ["Figures", "Segment", "plain_intervals"]

Figures = dict[str, float]


class Segment(NamedTuple):
    """The figures of one group of test pairs, by metric."""

    name: str
    group: str
    scorer: str
    seen: str
    pairs: int
    queries: int
    figures: Mapping[str, float]
    intervals: Mapping[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "figures": dict(self.figures), "intervals": plain_intervals(self.intervals)}


def plain_intervals(intervals: Mapping[str, Interval]) -> dict[str, list[float | None]]:
    """Intervals as plain values, ready for JSON; None for both ends where there is none."""
    return {name: list(interval.ends) for name, interval in intervals.items()}
