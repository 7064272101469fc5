"""Weights count in every figure where they are asked for, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

import shortlist as sl
from shortlist import report
from shortlist.choosing.trial import Trial
from shortlist.errors import ConfigError, DataError
from shortlist.evaluation.testset import TestSet

TRAIN = sl.Dataset({"u": ["a", "b", "c"], "i": ["x", "x", "y"]}, "u", "i")  # x is the most popular, then y
TEST = sl.Dataset({"u": ["a", "b"], "i": ["x", "y"], "w": [1.0, 3.0]}, "u", "i", weight="w")  # top-1 finds the first
PLAIN, WEIGHTED = 1 / 2, 1 / 4
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("weighted", "expected"), [(False, PLAIN), (True, WEIGHTED)])
def test_every_way_to_measure(weighted: bool, expected: float) -> None:
    model = sl.popularity(TRAIN)
    assert sl.evaluate(model, TEST, ks=(1,), weighted=weighted).figures["model"]["seen_in"]["top_1"] == expected
    assert TestSet.of(model, TEST, weighted=weighted).top_k((1,)) == {"top_1": expected}
    found = report.measure(model, TEST, baselines=(), weighted=weighted)
    assert found["evaluation"]["model"]["seen_in"]["top_1"] == expected
    without_seen = Trial.of(TRAIN, TRAIN, TEST, "top@1", 0, weighted)  # x is left out for both: the second is found
    assert without_seen.measure(model).value == 1 - expected


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("train", [sl.als, partial(sl.fit, batch_size=4)])
def test_validation_while_training(train: Callable[..., sl.TrainingHistory], weighted: bool) -> None:
    towers = [sl.Tower(sl.StringLookup(column), dim=2) for column in ("u", "i")]
    seen: list[dict[str, float]] = []
    train(
        sl.TwoTower(*towers),
        TRAIN,
        validation=TEST,
        ks=(1, 2),
        epochs=1,
        weighted=weighted,
        on_epoch=lambda epoch: seen.append(dict(epoch.metrics)),
    )
    assert seen[-1]["top_2"] == 1.0
    assert seen[-1]["top_1"] in ((0, WEIGHTED, 1 - WEIGHTED, 1) if weighted else (0, PLAIN, 1))


def test_weights_are_needed() -> None:
    model = sl.popularity(TRAIN)
    bare = sl.Dataset({"u": ["a"], "i": ["x"]}, "u", "i")
    for call in (
        lambda: sl.evaluate(model, bare, weighted=True),
        lambda: report.measure(model, bare, weighted=True),
        lambda: sl.fit(model, TRAIN, validation=bare, weighted=True),
        lambda: sl.als(model, TRAIN, validation=bare, weighted=True),
        lambda: sl.choose(sl.Dataset({"u": list("ab") * 20, "i": list("xyyx") * 10}, "u", "i"), weighted=True),
    ):
        with pytest.raises(ConfigError, match="weighted=True needs a weight column"):
            call()


def test_weights_that_are_all_0_measure_nothing() -> None:
    model = sl.popularity(TRAIN)
    nothing = TEST.with_interactions(TEST.interactions.with_columns(w=0.0))
    rows = {"u": list("ab") * 20, "i": list("xyyx") * 10, "t": list(range(40)), "w": [1.0] * 30 + [0.0] * 10}
    for call in (
        lambda: sl.evaluate(model, nothing, weighted=True, intervals=True),
        lambda: report.measure(model, nothing, weighted=True),
        lambda: sl.fit(model, TRAIN, validation=nothing, weighted=True),
        lambda: sl.als(model, TRAIN, validation=nothing, weighted=True),
        lambda: sl.choose(sl.Dataset(rows, "u", "i", timestamp="t", weight="w"), weighted=True),
    ):
        with pytest.raises(DataError, match="the held-out rows all have weight 0 in column 'w'"):
            call()
    sl.evaluate(model, nothing)  # each pair counts once
