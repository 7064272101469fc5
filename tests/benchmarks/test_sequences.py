"""The part of an epoch that is timed stands for the whole: in lengths, in batches, and without what comes before it is warm."""

import itertools
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


@pytest.mark.parametrize("count", [1, 7, 100, 999, 1_000, 2_000])
@pytest.mark.parametrize("lengths", ["skewed", "equal", "sorted"])
def test_every_length_occurs_as_in_the_whole(count: int, lengths: str) -> None:
    drawn = np.random.default_rng(0).geometric(0.1, 1_000)
    drawn = {"skewed": drawn, "equal": np.full(1_000, 5), "sorted": np.sort(drawn)}[lengths]
    chosen = sequences.evenly(drawn, count)
    assert len(set(chosen.tolist())) == min(count, 1_000)
    for length in np.unique(drawn):
        share = (drawn <= length).mean()
        assert abs((drawn[chosen] <= length).sum() - share * len(chosen)) <= 1


def test_a_part_has_whole_sequences_of_as_many_batches_as_the_peers(folder: Path) -> None:
    part = sequences.part(folder, "small", TABLE, PARAMETERS)
    user = np.load(folder / "small-user.npy")
    whole = dict(zip(*np.unique(user, return_counts=True), strict=True))
    taken = dict(part.train.interactions.group_by("user").len().iter_rows())
    assert len(taken) == 32 * (1 + 4)  # one batch to warm up, and those that are timed
    assert all(whole[one] == count for one, count in taken.items())
    assert part.pairs == len(user)
    assert len(part.train.candidates) == 50
    assert sum(taken.values()) / len(taken) == pytest.approx(len(user) / 640, rel=0.03)


def test_a_part_scales_to_what_a_whole_epoch_takes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that counts batches, of which a whole epoch has 20; the first, which is not timed, takes a thousand."""

    def ticking() -> SimpleNamespace:
        return SimpleNamespace(
            perf_counter=itertools.count(1_000).__next__, process_time=itertools.count(2_000, 2).__next__
        )

    found = {}
    for batches in (5, 20):
        monkeypatch.setattr(sequences, "time", ticking())
        found[batches] = sequences.timed(
            "small", sequences.part(folder, "small", TABLE, PARAMETERS, batches), PARAMETERS
        )
    for measures in found.values():
        assert measures["small"] == pytest.approx(20, rel=0.05)
        assert measures["small: processor"] == pytest.approx(40, rel=0.05)
        assert measures["small: loss"] > 0


@pytest.mark.parametrize("warm", [1, 2])
def test_the_peers_clock_leaves_out_what_warms_up(monkeypatch: pytest.MonkeyPatch, warm: int) -> None:
    """Ten batches in an epoch, of 3 seconds each; the first of a run takes 100."""
    at = iter([100.0, 103.0, 106.0, 109.0])
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=at.__next__, process_time=lambda: 0.0))
    one = clock.Clock("small", 10, warm)
    for loss in (4.0, 3.0, 2.0, 1.0):
        one.on_train_batch_end(None, None, {"loss": torch.tensor(loss)}, None, 0)
    assert one.measures() == {"small": 30.0, "small: processor": 0.0, "small: loss": 2.5}
