"""Results as lines for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from shortlist.intervals import Interval

if TYPE_CHECKING:
    from shortlist.shown.off_policy import OffPolicyEvaluation

__all__ = ["interval_text", "off_policy_text"]

WIDTH = 80
TITLES = {"ips": "IPS", "snips": "SNIPS", "dr": "doubly robust"}


def off_policy_text(result: OffPolicyEvaluation) -> str:
    """How much was measured, a line per estimator, and the verdict."""
    head = (
        f"{result.lists:,} lists shown to {result.queries:,} queries, {result.clicks:,} clicks; new lists of {result.k}"
    )
    basis = (
        f"support {min(result.support, 1):.0%} of what the new lists show; effective sample "
        f"{result.effective_rows:,.0f} of {result.rows:,} places shown, {result.effective_clicks:,.0f} clicks"
    )
    rows = [
        f"{'clicks per list':<15}  {'value':>7}  {'95%':>18}  {'gain':>8}  {'95%':>20}",
        f"{'as shown':<15}  {result.shown:7.4f}  {interval_text(result.shown_interval):>18}",
    ]
    for name, title in TITLES.items():
        one = getattr(result, name)
        rows.append(
            f"{title:<15}  {one.value:7.4f}  {interval_text(one.interval):>18}  {one.gain:+8.4f}  "
            f"{interval_text(one.gain_interval, '+'):>20}"
        )
    said = [textwrap.fill(line, WIDTH) for line in (head, basis)]
    notes = [textwrap.fill(f"note: {note}", WIDTH) for note in result.notes]
    return "\n".join([*said, "", *rows, "", result.verdict(), *notes])


def interval_text(interval: Interval, sign: str = "") -> str:
    """As in "0.4101 to 0.4325"."""
    return f"{interval.low:{sign}.4f} to {interval.high:{sign}.4f}"
