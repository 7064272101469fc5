"""Tuning an index to a promised recall."""

from shortlist.index.tuning.promise import keep_promise
from shortlist.index.tuning.recall import Recall
from shortlist.index.tuning.records import Point, Tuned, Tuning
from shortlist.index.tuning.tuner import tune

__all__ = ["Point", "Recall", "Tuned", "Tuning", "keep_promise", "tune"]
