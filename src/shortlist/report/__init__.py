"""A model's report: one page that opens offline."""

from shortlist.report.measured import measure
from shortlist.report.write import render, write

__all__ = ["measure", "render", "write"]
