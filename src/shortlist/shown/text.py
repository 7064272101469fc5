"""Results as lines for a terminal of 80 columns."""

from __future__ import annotations

import math

from shortlist.intervals import Interval

__all__ = ["interval_text"]


def interval_text(interval: Interval, sign: str = "") -> str:
    """As in "0.4101 to 0.4325"; a dash where there is no interval."""
    return "–" if math.isnan(interval.low) else f"{interval.low:{sign}.4f} to {interval.high:{sign}.4f}"
