"""Exact ranks over the whole catalogue, and metrics of a model from them."""

from shortlist.evaluation.audit import LEAKS, audit
from shortlist.evaluation.baselines import BASELINES
from shortlist.evaluation.diagnostics import FINDINGS, Finding, diagnose
from shortlist.evaluation.evaluate import METRICS, evaluate
from shortlist.evaluation.metrics import DEFAULT_KS, check_ks
from shortlist.evaluation.ranks import Hidden, Pairs, ranks
from shortlist.evaluation.result import Comparison, Evaluation, Segment, compare
from shortlist.evaluation.testset import TestSet
from shortlist.intervals import Interval

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
    "Pairs",
    "Segment",
    "TestSet",
    "audit",
    "check_ks",
    "compare",
    "diagnose",
    "evaluate",
    "ranks",
]
