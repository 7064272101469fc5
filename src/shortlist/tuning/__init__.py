"""A promised recall: the fastest settings of an index that keep it, for vectors alone or for a whole recommender."""

from shortlist.index.promise import Point, Tuned, Tuning
from shortlist.index.recall import Recall
from shortlist.tuning.promise import keep_promise
from shortlist.tuning.tuned_recommender import Accuracy, TunedRecommender, tune
from shortlist.tuning.tuner import tune_index

__all__ = [
    "Accuracy",
    "Point",
    "Recall",
    "Tuned",
    "TunedRecommender",
    "Tuning",
    "keep_promise",
    "tune",
    "tune_index",
]
