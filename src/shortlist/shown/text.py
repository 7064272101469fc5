"""Results as lines for a terminal of 80 columns."""

from __future__ import annotations

from shortlist.intervals import Interval

__all__ = ["interval_text"]


def interval_text(interval: Interval, sign: str = "") -> str:
    """As in "0.4101 to 0.4325"."""
    return f"{interval.low:{sign}.4f} to {interval.high:{sign}.4f}"
