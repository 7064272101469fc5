"""The choice of a model for a table: contenders, a budget, a verdict."""

from shortlist.choosing.budget import Budget, seconds_of
from shortlist.choosing.choice import Choice, Tried
from shortlist.choosing.choose import LEAST, choose, choose_on, hold_out

__all__ = ["LEAST", "Budget", "Choice", "Tried", "choose", "choose_on", "hold_out", "seconds_of"]
