"""Exact ranks over the whole catalogue, and what they say of a model."""

from shortlist.evaluation.evaluate import DEFAULT_KS, Evaluation, Validator, evaluate
from shortlist.evaluation.ranks import Hidden, ranks

__all__ = ["DEFAULT_KS", "Evaluation", "Hidden", "Validator", "evaluate", "ranks"]
