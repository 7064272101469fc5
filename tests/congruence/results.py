"""One of every result, made by hand and without training: ids that would be HTML, and figures that can be counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

import shortlist as sl
from shortlist.choosing.choice import Tried
from shortlist.choosing.trial import Figure, Trial
from shortlist.evaluation.figures import Segment
from shortlist.index.promise import Point, Tuned, Tuning
from shortlist.index.recall import Recall
from shortlist.intervals import Interval, PairSums
from shortlist.shown.off_policy import PolicyValue
from shortlist.train.epochs import Epoch
from shortlist.train.recipes import load

HOSTILE = "<script>alert('x')</script>"
FILMS = {"film": ["a", HOSTILE, "c"], "title": ["Fargo", "<b>Heat</b>", "Alien & co"]}


def dataset() -> sl.Dataset:
    table = {"who": ["ann", "ann", "bob", HOSTILE], "film": ["a", HOSTILE, "c", "a"], "at": [1, 2, 3, 4]}
    return sl.Dataset(table, "who", "film", timestamp="at", candidates=FILMS)


def split() -> sl.Split:
    return sl.split_by_time(dataset(), test=0.25)


def recommender() -> sl.Recommender:
    return sl.Recommender(sl.popularity(dataset()), index=sl.BruteForce(), seen=dataset())


def recommendations() -> sl.Recommendations:
    return recommender().recommend(["ann", HOSTILE], k=2, explain=True, exclude_seen=False)


def history() -> sl.TrainingHistory:
    epochs = (Epoch(1, 2.0, 3.0, 0.5, 100), Epoch(2, 1.5, 3.0, 0.5, 100, {"top_10": 0.25}))
    return sl.TrainingHistory(epochs, best=2)


def evaluation() -> sl.Evaluation:
    figures = {
        "model": {"seen_in": {"top_1": 0.25, "top_10": 0.5}, "seen_out": {"top_1": 0.5, "top_10": 0.75}},
        "popularity": {"seen_in": {"top_1": 0.125, "top_10": 0.25}},
    }
    intervals = {"model": {"seen_in": {"top_10": Interval(0.375, 0.625)}}}
    segment = Segment("country", HOSTILE, "model", "seen_in", 2, 1, {"top_10": 1.0}, {"top_10": Interval(0.5, 1.0)})
    return sl.Evaluation(figures, 8, 4, 3, 0, 0, 1.0, intervals, (segment,))


def comparison() -> sl.Comparison:
    return sl.Comparison("top_10", 0.25, 0.5, 0.25, Interval(0.125, 0.375), 0.01, 40)


def preference() -> sl.Preference:
    return sl.Preference(HOSTILE, "b", 3, 9, 2, 0.714, Interval(0.55, 0.85), 0.02, 12)


def off_policy() -> sl.OffPolicyEvaluation:
    value = PolicyValue(0.75, Interval(0.5, 1.0), 0.25, Interval(0.125, 0.375))
    none = PolicyValue(0.5, Interval(0.25, 0.75), 0.0, Interval(-0.25, 0.25))
    chances = sl.Examination((1.0, 0.5))
    return sl.OffPolicyEvaluation(0.5, Interval(0.4, 0.6), none, none, value, 2, 9, 5, 18, 4, 0.95, 16.0, 3.5, chances)


def interleaved() -> sl.Interleaved:
    return sl.interleave([["x", "y"]], [["y", HOSTILE]], queries=["ann"], k=3)


def choice() -> sl.Choice:
    data, recipe = dataset(), load("factorization")
    trial = Trial(data, data, data, data, "recall", 10, exclude_seen=True, again=0.0, new=0.0)
    sums = PairSums((np.arange(400) < 200).astype(np.float64), np.ones(400))
    best = Tried(HOSTILE, "towers", 0, recipe, Figure(sums.value, sums, 2.0), 2.0)
    late = Tried("GRU", "towers", 1, recipe, None, 0.0, "takes about 3 s; 1 s were left")
    return sl.Choice(sl.popularity(data), recipe, best, (best, late), trial, "time", 60.0, 4.0, True)


def tuning() -> Tuning:
    recall = Recall(10, 40, 0.96, 0.95, 0.8, 0.7, 0.6)
    points = (Point("exact", 0, {}, recall, 0.5, True), Point("scann", 1, {"leaves": 20}, recall, 0.25, True))
    chosen = Tuned("scann", {"leaves": 20}, {10: recall}, 0.25, 0.5, 0.5, 1.0, 4096)
    return Tuning(sl.BruteForce(), 0.95, 10, 400, 8, 20, 40, chosen, f"fastest of {HOSTILE}", points, {})


def tuned() -> sl.TunedRecommender:
    return sl.TunedRecommender(recommender(), tuning(), None)


def crossed() -> Any:
    """Two recipes on two splits."""
    rows = [{"recipe": one, "split": split, "recall_10": 0.5, "seconds": 1.0} for one in ("a", "b") for split in (1, 2)]
    return sl.CrossValidation(tuple(rows), "seen_out")


TABULAR: dict[str, Callable[[], Any]] = {
    "Recommendations": recommendations,
    "TrainingHistory": history,
    "Evaluation": evaluation,
    "Comparison": comparison,
    "Preference": preference,
    "OffPolicyEvaluation": off_policy,
    "Interleaved": interleaved,
    "Choice": choice,
    "Tuning": tuning,
    "TunedRecommender": tuned,
    "CrossValidation": crossed,
}
"""Results that are one table."""

SHOWN = {**TABULAR, "Dataset": dataset, "Split": split, "Recommender": recommender}
"""What notebooks show as HTML."""


def frame(name: str) -> pl.DataFrame:
    """The frame of a result."""
    found = TABULAR[name]().to_frame()
    assert isinstance(found, pl.DataFrame)
    return found
