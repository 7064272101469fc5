"""What is measured of a scorer, by hand: one query, five candidates, scores 5 3 4 2 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from shortlist.evaluation.measures import Measures
from shortlist.evaluation.ranks import Hidden
from shortlist.evaluation.scorers import Vectors
from shortlist.evaluation.testset import TestSet
from shortlist.index import BruteForce

SCORES = Vectors(torch.ones(1, 1), torch.tensor([[5.0], [3.0], [4.0], [2.0], [1.0]]))
TEST = TestSet.of_rows(np.array([0, 0]), np.array([0, 1]), queries=1, candidates=5)
HIDDEN = replace(TEST, hidden=Hidden(torch.tensor([0]), torch.tensor([0])))  # the first truth cannot be found


def test_exact_ranks() -> None:
    measures = Measures(("recall", "auc", "coverage"), (1, 3), vectors=SCORES.candidate.numpy())
    # truths at 1 and 3; the lists of 1 and of 3 hold a fifth and three fifths of the catalogue
    assert measures.of(SCORES, TEST).figures == pytest.approx(
        {"recall_1": 1 / 2, "recall_3": 1.0, "auc": 1 - (1 / 3) / 2, "coverage_1": 1 / 5, "coverage_3": 3 / 5}
    )
    # without candidate 0 the second truth is at 2, above two of the three others
    assert measures.of(SCORES, HIDDEN).figures == pytest.approx(
        {"recall_1": 0.0, "recall_3": 1 / 2, "auc": (0 + 2 / 3) / 2, "coverage_1": 1 / 5, "coverage_3": 3 / 5}
    )


def test_ties_are_counted_as_asked() -> None:
    level = Vectors(torch.ones(1, 1), torch.ones(5, 1))
    # any two of five places: one truth is first with chance 2/5
    assert Measures(("recall",), (1,)).of(level, TEST).figures == {"recall_1": 0.0}
    assert Measures(("recall",), (1,), "expected").of(level, TEST).figures["recall_1"] == pytest.approx(2 / 5 / 2)


def test_what_an_index_finds() -> None:
    index = BruteForce().build(SCORES.candidate.numpy()[:4])  # lacks the last candidate
    found, recall = Measures(("recall", "auc"), (1, 3)).of_index(index, SCORES, SCORES, HIDDEN)
    assert found.figures == {"recall_1": 0.0, "recall_3": 1 / 2}  # auc is of a whole ranking
    assert recall == {"recall_1": 1.0, "recall_3": 1.0}
