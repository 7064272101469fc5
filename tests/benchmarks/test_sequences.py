"""The part of an epoch that is timed stands for the whole: the same table, in as many batches, without those that warm up."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.catalogue import BENCHMARKS
from benchmarks.peers import clock

from benchmarks import datasets, sequences

TABLE = {"users": 640, "items": 50, "length": 8, "percentiles": {0: 2, 50: 3, 90: 8, 100: 30}, "batches": 4}
PARAMETERS = {**BENCHMARKS["sequence"].parameters, "dim": 8, "batch_size": 32, "tables": {"small": TABLE}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    datasets.write_sequences(tmp_path, PARAMETERS["tables"], seed=0)
    return tmp_path


@pytest.mark.parametrize("batches", [None, 2, 11, 20])
def test_a_part_scales_to_what_a_whole_epoch_takes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, batches: int | None
) -> None:
    """By a clock that counts pairs, of which the first batch, which is not timed, takes a thousand times as many."""
    done: list[int] = []

    def fit(*given: object, on_batch, **options: object):
        def counted(pairs: int, total: int) -> None:
            done.append(pairs)
            on_batch(pairs, total)

        return real(*given, on_batch=counted, **options)

    real = sequences.sl.fit
    monkeypatch.setattr(sequences.sl, "fit", fit)
    ticks = {"perf_counter": lambda: 999.0 * done[0] + done[-1], "process_time": lambda: 2.0 * done[-1]}
    monkeypatch.setattr(sequences, "time", SimpleNamespace(**ticks))
    part = sequences.part(folder, "small", TABLE, PARAMETERS, batches)
    measures = sequences.timed("small", part, PARAMETERS)
    pairs = len(np.load(folder / "small-user.npy"))
    assert measures["small"] == pytest.approx(pairs)
    assert measures["small: processor"] == pytest.approx(2 * pairs)
    assert 0.5 * np.log(50) < measures["small: loss"] < 2 * np.log(50)
    assert len(done) == (batches or 1 + 4)  # one to warm up, and those that are timed


def test_the_table_is_whole_and_its_batches_are_as_many_as_the_peers(folder: Path) -> None:
    part = sequences.part(folder, "small", TABLE, PARAMETERS)
    assert len(part.train) == len(np.load(folder / "small-user.npy"))
    assert (len(part.train.queries), len(part.train.candidates), part.of_epoch) == (640, 50, 20)  # 640 users by 32


@pytest.mark.parametrize("warm", [1, 2])
def test_the_peers_clock_leaves_out_what_warms_up(monkeypatch: pytest.MonkeyPatch, warm: int) -> None:
    """Ten batches in an epoch, of 3 seconds each; the first of a run takes 100."""
    at = iter([100.0, 103.0, 106.0, 109.0])
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=at.__next__, process_time=lambda: 0.0))
    one = clock.Clock("small", 10, warm)
    for loss in (4.0, 3.0, 2.0, 1.0):
        one.on_train_batch_end(None, None, {"loss": torch.tensor(loss)}, None, 0)
    assert one.measures() == {"small": 30.0, "small: processor": 0.0, "small: loss": 2.5}
