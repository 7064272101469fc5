"""A trial: its figure by hand, and the figures that it knows."""

from __future__ import annotations

import numpy as np
import pytest

import shortlist as sl
from shortlist.choosing.trial import Figure, Trial, parsed_metric
from shortlist.errors import ConfigError
from shortlist.evaluation.metrics import AT_K
from shortlist.intervals import PairSums
from shortlist.model import popularity


def test_the_trial_counts_what_it_says() -> None:
    train = sl.Dataset({"who": ["a", "a", "b"], "what": [1, 2, 1]}, "who", "what")
    test = sl.Dataset({"who": ["a", "b", "c"], "what": [1, 2, 2]}, "who", "what")
    trial = Trial.of(train, train, test, "ndcg@2", 0)
    assert (trial.name, trial.exclude_seen) == ("ndcg@2", True)
    assert trial.again == pytest.approx(1 / 3)  # a chose 1 before
    assert trial.new == pytest.approx(1 / 3)  # c is new
    figure = trial.measure(popularity(train))
    # a's 1 is hidden: 0; b's 2 is first of what b may have: 1; c, who is new, has 1 before 2: 1 / log2(3)
    assert figure.value == pytest.approx((0 + 1 + 1 / np.log2(3)) / 3)


@pytest.mark.parametrize("text", ["recall", "recall@", "recall@0", "recal@10", "auc@3", "@5"])
def test_other_figures_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parsed_metric(text)


@pytest.mark.parametrize("metric", sorted(AT_K))
def test_lists_as_long_as_the_catalogue_compare_models_by_place_alone(metric: str) -> None:
    """Of four candidates: in a list of four every model finds the same, at whatever place."""
    train = sl.Dataset({"who": ["a", "a", "b"], "what": [1, 2, 1]}, "who", "what", candidates={"what": [1, 2, 3, 4]})
    test = sl.Dataset({"who": ["a", "b"], "what": [3, 4]}, "who", "what", candidates=train.candidates)
    assert Trial.of(train, train, test, f"{metric}@3", 0).k == 3
    if metric in ("ndcg", "mrr", "map"):
        assert Trial.of(train, train, test, f"{metric}@4", 0).k == 4
        return
    for k in (4, 100):
        with pytest.raises(ConfigError, match=r"the catalogue \(4 candidates\) or longer, in which every model"):
            Trial.of(train, train, test, f"{metric}@{k}", 0)


def test_one_query_has_no_standard_error() -> None:
    one = Figure(0.5, PairSums(np.array([1.0, 0.0]), np.array([2.0, 0.0])), 0.0)
    other = Figure(0.0, PairSums(np.array([0.0, 0.0]), np.array([2.0, 0.0])), 0.0)
    assert one.lead_over(other) == (0.5, float("inf"))


def test_candidates_that_nobody_chose_before_are_counted() -> None:
    train = sl.Dataset({"who": [1, 1, 2], "what": [7, 8, 7]}, "who", "what", candidates={"what": [7, 8, 9]})
    held_out = sl.Dataset({"who": [1, 2, 2, 2], "what": [9, 8, 9, 10]}, "who", "what")
    assert Trial.of(train, train, held_out, None, 0).unmet == 0.75
