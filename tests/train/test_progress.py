"""Where a run is: sums and counts from one epoch to the next, and its clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from shortlist.train import progress
from shortlist.train.progress import Progress


def test_a_run_begins_with_epoch_one() -> None:
    start = Progress.at_start(torch.device("cpu"))
    assert (start.epoch, start.batch, start.step, start.done, start.records) == (1, 0, 0, 0, [])
    assert (start.total.item(), start.weight.item()) == (0, 0)
    assert start.total.data_ptr() != start.weight.data_ptr()


def test_the_next_epoch_keeps_what_counts_over_all() -> None:
    run = Progress(torch.tensor(6.0), torch.tensor(3.0), 1, batch=4, step=4, done=40, chance=2.5, seconds=1.5)
    total, record = run.total, object()
    run.next_epoch(record)  # type: ignore[arg-type]
    assert (run.epoch, run.batch, run.chance, run.seconds) == (2, 0, 0, 0)
    assert (run.step, run.done, run.records) == (4, 40, [record])
    assert (run.total.item(), run.weight.item()) == (0, 0)
    assert run.total is total  # a tensor that the step adds to


def test_seconds_before_a_stop_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    run = Progress(torch.zeros(()), torch.zeros(()), seconds=7.0)
    run.begin()
    clock.now = 102.5
    assert run.elapsed == 9.5
