"""What a run reports, epoch by epoch: as text, as a frame, and as a sum of seconds."""

from __future__ import annotations

import polars as pl
import pytest

from shortlist.language import columns
from shortlist.train.epochs import Epoch, TrainingHistory

FIRST = Epoch(1, loss=4.5, chance=4.6, seconds=2.0, examples=3000)
SECOND = Epoch(2, loss=4.25, chance=4.6, seconds=0.5, examples=3000, metrics={"top_5": 0.125}, temperature=0.75)


def test_an_epoch_as_a_line() -> None:
    assert str(FIRST) == "epoch 1  loss 4.5000 (chance 4.6000)  1,500 examples/s"
    assert str(SECOND) == "epoch 2  loss 4.2500 (chance 4.6000)  temperature 0.7500  top_5 0.1250  6,000 examples/s"


def test_a_run_is_its_epochs() -> None:
    history = TrainingHistory((FIRST, SECOND), best=2)
    assert len(history) == 2
    assert list(history) == [FIRST, SECOND]
    assert history[-1] is SECOND
    assert history.seconds == 2.5
    assert str(history).splitlines() == [
        "epoch    loss  chance  temperature   top_5  examples/s",
        "    1  4.5000  4.6000            –       –       1,500",
        "    2  4.2500  4.6000       0.7500  0.1250       6,000",
    ]
    assert str(TrainingHistory((FIRST,), 1, stopped_early=True)).endswith("\nstopped early; the model holds epoch 1")


@pytest.mark.parametrize("metric", ["capped_recall", "상한을_둔_재현율"])
def test_a_long_row_goes_on_below(metric: str) -> None:
    """At most 80 columns, whatever was measured; every figure is there once."""
    names = [f"{metric}_{10**power}" for power in range(9)]
    epochs = [Epoch(number, 4.5, 4.6, 2.0, 3000, metrics=dict.fromkeys(names, 0.5)) for number in (9, 10)]
    text = str(TrainingHistory(tuple(epochs), best=10))
    assert max(map(columns, text.splitlines())) <= 80
    assert [text.split().count(name) for name in names] == [1] * len(names)
    assert text.split().count("0.5000") == 2 * len(names)
    blocks = text.split("\n\n")
    assert len(blocks) > 1
    assert all(block.split()[0] == "epoch" for block in blocks)


def test_a_frame_has_a_row_an_epoch_and_nulls_where_nothing_was_measured() -> None:
    frame = TrainingHistory((FIRST, SECOND), best=2).to_frame()
    assert frame.columns == ["epoch", "loss", "chance", "seconds", "examples", "top_5"]
    assert frame["top_5"].to_list() == [None, 0.125]
    assert (
        TrainingHistory((FIRST,), 1)
        .to_frame()
        .equals(pl.DataFrame({"epoch": [1], "loss": [4.5], "chance": [4.6], "seconds": [2.0], "examples": [3000]}))
    )
