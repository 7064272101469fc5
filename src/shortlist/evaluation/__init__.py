"""Exact ranks over the whole catalogue, and what they say of a model."""

from shortlist.evaluation.diagnostics import FINDINGS, Finding, diagnose
from shortlist.evaluation.evaluate import DEFAULT_KS, Evaluation, Validator, evaluate
from shortlist.evaluation.ranks import Hidden, ranks

__all__ = ["DEFAULT_KS", "FINDINGS", "Evaluation", "Finding", "Hidden", "Validator", "diagnose", "evaluate", "ranks"]
