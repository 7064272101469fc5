"""Exact ranks over the whole catalogue, and what they say of a model."""

from shortlist.evaluation.audit import LEAKS, audit
from shortlist.evaluation.baselines import BASELINES
from shortlist.evaluation.diagnostics import FINDINGS, Finding, diagnose
from shortlist.evaluation.evaluate import METRICS, evaluate
from shortlist.evaluation.intervals import Interval
from shortlist.evaluation.ranks import Hidden, ranks
from shortlist.evaluation.result import Comparison, Evaluation, Segment, compare
from shortlist.evaluation.validator import DEFAULT_KS, Validator

__all__ = [
    "BASELINES",
    "DEFAULT_KS",
    "FINDINGS",
    "LEAKS",
    "METRICS",
    "Comparison",
    "Evaluation",
    "Finding",
    "Hidden",
    "Interval",
    "Segment",
    "Validator",
    "audit",
    "compare",
    "diagnose",
    "evaluate",
    "ranks",
]
