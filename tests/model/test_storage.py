"""Rows of tables as they are kept: bfloat16 rounded by chance, and files in place of memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from tests.model.camps import camps, towers

import shortlist as sl
from shortlist.model import EmbeddingTable, storage
from shortlist.model.storage import Part, TableStorage, stochastic_round


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


def test_a_part_is_every_nth_row_from_its_own() -> None:
    assert [Part(rank, 3).count(7) for rank in range(3)] == [3, 2, 2]
    assert [Part(rank, 3).of(torch.arange(7)).tolist() for rank in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]
    assert Part().of("whole") == "whole"
    assert Part(2, 3).count(2) == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rows", [1, 2, 5, 97])
def test_parts_are_drawn_as_the_whole_table_is(dtype: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they are drawn in pieces; and what is drawn next is the same."""

    def drawn(part: Part | None) -> tuple[torch.Tensor, float]:
        generator = torch.Generator().manual_seed(3)
        table = TableStorage(dtype).table(rows, 5, 0.05, generator, part)  # type: ignore[arg-type]
        return table, torch.rand(1, generator=generator).item()

    whole, after = drawn(None)
    assert whole.abs().max() <= 0.05
    monkeypatch.setattr(storage, "DRAWN", 20)
    for size in (1, 2, 3):
        for rank in range(size):
            part, after_part = drawn(Part(rank, size))
            assert torch.equal(part, whole[rank::size])
            assert after_part == after


def test_a_divided_table_never_holds_the_rows_of_others() -> None:
    class Division:
        part = Part(1, 4)

        def remote(self, cardinality: int) -> object:
            return type("Elsewhere", (), {"cardinality": cardinality})()

    table = EmbeddingTable(10, 3, division=Division())  # type: ignore[arg-type]
    assert (len(table.weight), table.cardinality) == (3, 10)
