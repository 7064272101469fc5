"""One step of training, by hand: what is learned, and what is counted."""

from __future__ import annotations

import math

import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.errors import TrainingError
from shortlist.train.processes import Alone
from shortlist.train.progress import Progress
from shortlist.train.run import Run
from shortlist.train.warm_start import Start

DATA = sl.Dataset(
    pl.DataFrame({"who": ["ann", "bob"], "what": ["a", "b"], "stars": [1.0, 3.0]}), "who", "what", weight="stars"
)
PLAIN = sl.Dataset(pl.DataFrame({"who": ["ann", "bob"], "what": ["a", "b"]}), "who", "what")
RATE = 0.5


def run_of(data: sl.Dataset, task: sl.Retrieval) -> Run:
    """Both towers are tables of one number: 0 for queries, so that all scores are equal; 1 and −1 for a and b."""
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=1), sl.Tower(sl.StringLookup("what"), dim=1))
    start = Start(None, model, data)
    run = Run(model, start, task, sl.SGD(RATE), None, 0, torch.device("cpu"), "float32", Alone())
    for tower, values in ((model.query, [0, 0, 0]), (model.candidate, [0, 1, -1])):
        (table,) = tower.tables.values()
        with torch.no_grad():
            table.weight[:, 0] = torch.tensor(values)
    return run


def weights(run: Run) -> tuple[list[float], list[float]]:
    """The tables' numbers, without the unknown id's."""
    query, candidate = (next(iter(tower.tables.values())).weight for tower in (run.model.query, run.model.candidate))
    return query[1:, 0].tolist(), candidate[1:, 0].tolist()


def progress() -> Progress:
    return Progress.at_start(torch.device("cpu"))


def test_a_step_learns_and_counts() -> None:
    """Each of two candidates has the chance ½: the gradient of ann is ½·(−1) − ½·1 = −1, of bob 1, of a and b 0.

    The loss is ln 2 for each pair, which is what chance has.
    """
    run, at = run_of(PLAIN, sl.Retrieval(log_q=None)), progress()
    run.step(torch.tensor([0, 1]), at)
    assert weights(run) == ([pytest.approx(RATE), pytest.approx(-RATE)], [1, -1])
    assert (at.total.item(), at.weight.item()) == (pytest.approx(2 * math.log(2)), 2)
    assert at.chance == pytest.approx(2 * math.log(2))
    assert (at.batch, at.step, at.done) == (1, 1, 2)


def test_a_lower_rate_moves_less() -> None:
    run = run_of(PLAIN, sl.Retrieval(log_q=None))
    run.step(torch.tensor([0, 1]), progress(), rate=0.1)
    assert weights(run)[0] == [pytest.approx(0.1 * RATE), pytest.approx(-0.1 * RATE)]


def test_weights_count_in_the_loss_and_in_its_mean() -> None:
    run, at = run_of(DATA, sl.Retrieval(log_q=None)), progress()
    run.step(torch.tensor([0, 1]), at)
    assert (at.total.item(), at.weight.item()) == (pytest.approx(4 * math.log(2)), 4)
    query, _ = weights(run)
    assert query[1] == pytest.approx(3 * -query[0])


def test_the_record_of_an_epoch() -> None:
    run, at = run_of(PLAIN, sl.Retrieval(log_q=None)), progress()
    at.epoch = 3
    run.step(torch.tensor([0, 1]), at)
    record = run.epoch(at)
    assert (record.number, record.examples, record.temperature) == (3, 2, None)
    assert (record.loss, record.chance) == (pytest.approx(math.log(2)), pytest.approx(math.log(2)))


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    run, at = run_of(PLAIN, sl.Retrieval(log_q=None)), progress()
    at.total += math.inf
    at.weight += 1
    at.epoch = 2
    with pytest.raises(TrainingError, match="the loss became inf in epoch 2") as error:
        run.epoch(at)
    assert "(now 0.5)" in str(error.value.hint)
