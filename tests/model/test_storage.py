"""Rows of tables as they are kept: bfloat16 rounded by chance, and files in place of memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from tests.model.camps import camps, towers

import shortlist as sl
from shortlist.model.storage import stochastic_round


def test_stochastic_rounding_takes_a_neighbour_and_is_right_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    value = 1 + 3 / 1024  # between 1 and 1 + 1/128: three eighths of the way
    rounded = stochastic_round(torch.full((40_000,), value), generator).float()
    assert set(rounded.unique().tolist()) == {1.0, 1 + 1 / 128}
    share = (rounded > 1).float().mean().item()
    assert share == pytest.approx(3 / 8, abs=4 * (15 / 64 / 40_000) ** 0.5)  # four standard errors
    values = torch.randn(200, generator=generator) * torch.tensor(10.0) ** torch.randint(
        -20, 20, (200,), generator=generator
    )
    draws = torch.stack([stochastic_round(values, generator).double() for _ in range(2000)])
    step = (draws.amax(0) - draws.amin(0)).clamp(min=1e-300)
    assert ((draws.mean(0) - values.double()).abs() / step < 4 * 0.5 / 2000**0.5 + 1e-6).all()
    kept = torch.tensor([0.0, -0.0, 1.5, -2.0, float("inf"), float("-inf")])
    assert stochastic_round(kept).float().tolist() == kept.tolist()
    assert stochastic_round(torch.tensor([float("nan")])).isnan().all()


def test_a_disk_without_room_says_so_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(sl.TrainingError, match="No space left on device"):
        sl.fit(towers(table_folder=str(tmp_path)), camps(), epochs=1, batch_size=16)
    assert list(tmp_path.iterdir()) == []
