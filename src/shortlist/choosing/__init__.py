"""The choice of a model for a table: contenders, a budget, a verdict."""

from shortlist.choosing.budget import Budget, seconds_of
from shortlist.choosing.choice import Choice, Tried
from shortlist.choosing.choose import LEAST, choose, choose_on, hold_out
from shortlist.choosing.cross_validation import CrossValidation, compare_all, cross_validate
from shortlist.choosing.estimator import Estimator

__all__ = [
    "LEAST",
    "Budget",
    "Choice",
    "CrossValidation",
    "Estimator",
    "Tried",
    "choose",
    "choose_on",
    "compare_all",
    "cross_validate",
    "hold_out",
    "seconds_of",
]
