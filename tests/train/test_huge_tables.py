"""Tables for huge vocabularies: one accumulator a row, bfloat16 with stochastic rounding, files in place of memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

import shortlist as sl
from shortlist.model import EmbeddingTable
from shortlist.model.storage import TableStorage, stochastic_round
from shortlist.train.optimizers import Updater


def camps(readers: int = 20) -> sl.Dataset:
    """Reader r chose book r mod 4, three times."""
    rows = {
        "reader": [r for r in range(readers) for _ in range(3)],
        "book": [r % 4 for r in range(readers) for _ in range(3)],
    }
    return sl.Dataset(rows, "reader", "book")


def towers(**options: object) -> sl.TwoTower:
    sides = [sl.Tower(sl.IntegerLookup(side), dim=8, **options) for side in ("reader", "book")]  # type: ignore[arg-type]
    return sl.TwoTower(*sides)


def trained(optimizer: object = None, epochs: int = 30, **options: object) -> tuple[sl.TwoTower, sl.TrainingHistory]:
    model = towers(**options)
    history = sl.fit(model, camps(), optimizer=optimizer or sl.Adagrad(0.1), epochs=epochs, batch_size=16)  # type: ignore[arg-type]
    return model, history


def tables(model: sl.TwoTower) -> list[EmbeddingTable]:
    return [part for part in model.modules() if isinstance(part, EmbeddingTable)]


def test_row_wise_adagrad_by_hand() -> None:
    """a = 0 + (9 + 16) / 2 = 12.5; then a = 12.5 + (0 + 7) / 2 = 16, whose root is 4."""
    optimizer = sl.RowwiseAdagrad(0.5, initial_accumulator=0.0, epsilon=1e-12)
    rows = torch.tensor([[1.0, 2.0]])
    (slot,) = slots = optimizer.slots(rows)
    assert slot.shape == (1, 1)
    rows = optimizer.update(rows, torch.tensor([[3.0, -4.0]]), slots)
    root = 12.5**0.5
    torch.testing.assert_close(rows, torch.tensor([[1 - 1.5 / root, 2 + 2 / root]]))
    moved = optimizer.update(rows, torch.tensor([[0.0, 7**0.5]]), slots)
    torch.testing.assert_close(moved - rows, torch.tensor([[0.0, -0.5 * 7**0.5 / 4]]))
    assert slot.item() == pytest.approx(16)


def test_row_wise_adagrad_is_adagrad_where_a_row_is_one_number() -> None:
    rows, gradient = torch.randn(5, 1), torch.randn(5, 1)
    both = []
    for optimizer in (sl.Adagrad(0.1), sl.RowwiseAdagrad(0.1)):
        slots = optimizer.slots(rows)
        both.append(optimizer.update(optimizer.update(rows, gradient, slots), gradient, slots))
    torch.testing.assert_close(*both)
    dense, change = torch.randn(6), torch.randn(6)  # a bias: each of its numbers is a row
    pair = [one.update(dense, change, one.slots(dense)) for one in (sl.Adagrad(0.1), sl.RowwiseAdagrad(0.1))]
    torch.testing.assert_close(*pair)


def test_row_wise_adagrad_learns_with_one_number_a_row() -> None:
    model, history = trained(sl.RowwiseAdagrad(0.1))
    assert history[-1].loss < 0.7 * history[0].loss
    updater = Updater(sl.RowwiseAdagrad(0.1), model)
    assert [tuple(slot.shape) for slots in updater.table_slots for slot in slots] == [(21, 1), (5, 1)]
    recipe = sl.recipes.load("factorization", {"optimizer": {"name": "RowwiseAdagrad", "learning_rate": 0.05}})
    assert recipe.build_optimizer() == sl.RowwiseAdagrad(0.05)
    with pytest.raises(sl.ConfigError, match="RowwiseAdagrad got learning_rate"):
        sl.RowwiseAdagrad(0)


def test_rows_and_slots_that_are_absent_stay_bit_identical() -> None:
    model = towers(table_dtype="bfloat16")
    data = camps()
    model.prepare(data)
    model.train()
    updater = Updater(sl.RowwiseAdagrad(0.1), model)
    before = [table.weight.clone() for table in tables(model)]
    (model.query.tables["reader:IntegerLookup"](torch.tensor([2, 5])) ** 2).sum().backward()
    updater.step()
    query, candidate = tables(model)
    assert (query.weight != before[0]).any(1).nonzero().flatten().tolist() == [2, 5]
    assert torch.equal(candidate.weight, before[1])
    assert (updater.table_slots[0][0] != torch.tensor(0.1)).flatten().nonzero().flatten().tolist() == [2, 5]


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


def test_small_updates_add_up_where_rounding_to_nearest_loses_them() -> None:
    """A thousand steps of 1/8192 from 1: to 1.122. The nearest bfloat16 to 1.0001 is 1."""
    torch.manual_seed(0)
    table = EmbeddingTable(2, 64, storage=TableStorage("bfloat16"))
    table.weight.fill_(1.0)
    nearest = table.weight[0].clone()
    codes = torch.tensor([1])
    for _ in range(1000):
        table.write(codes, table.rows(codes) + 1 / 8192)
        nearest = (nearest.float() + 1 / 8192).bfloat16()
    assert nearest.float().mean().item() == 1.0
    assert table.rows(codes).mean().item() == pytest.approx(1 + 1000 / 8192, abs=0.01)


def test_half_the_memory_learns_as_well_and_comes_back_from_a_bundle(tmp_path: Path) -> None:
    model, history = trained(epochs=40, table_dtype="bfloat16")
    _, exact = trained(epochs=40)
    assert history[-1].loss == pytest.approx(exact[-1].loss, rel=0.03)
    assert {table.weight.dtype for table in tables(model)} == {torch.bfloat16}
    assert Updater(sl.Adagrad(), model).table_slots[0][0].dtype == torch.float32
    recommender = sl.Recommender(model, index=sl.BruteForce())
    recommender.save(tmp_path / "half.shortlist")
    loaded = sl.Recommender.load(tmp_path / "half.shortlist")
    assert {table.weight.dtype for table in tables(loaded.model)} == {torch.bfloat16}
    assert loaded.recommend([3, 999], k=4).to_frame().equals(recommender.recommend([3, 999], k=4).to_frame())
    for mine, theirs in zip(tables(model), tables(loaded.model), strict=True):
        assert torch.equal(mine.weight, theirs.weight)


def test_half_the_memory_repeats_bit_for_bit() -> None:
    first, again = (trained(epochs=3, table_dtype="bfloat16")[0].state_dict() for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tables_in_files_train_bit_for_bit_as_in_memory(tmp_path: Path, dtype: str) -> None:
    here, _ = trained(epochs=3, table_dtype=dtype)
    there, _ = trained(epochs=3, table_dtype=dtype, table_folder=str(tmp_path))
    for name, value in here.state_dict().items():
        assert torch.equal(value, there.state_dict()[name])
    assert list(tmp_path.iterdir()) == []  # the files have no names
    mapped = Path("/proc/self/maps")
    if mapped.exists():
        assert f"{tmp_path}/.table-" in mapped.read_text()
    with pytest.raises(sl.ConfigError, match="not a folder"):
        towers(table_folder=str(tmp_path / "nowhere"))


def test_a_disk_without_room_says_so_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(sl.TrainingError, match="No space left on device"):
        trained(table_folder=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_asks_for_them(tmp_path: Path) -> None:
    changes = {"model.table_dtype": "bfloat16", "model.table_folder": str(tmp_path), "fit.epochs": 1}
    model, _ = sl.recipes.load("factorization", changes).train(camps())
    assert {(table.storage.dtype, table.storage.folder) for table in tables(model)} == {("bfloat16", str(tmp_path))}
    with pytest.raises(sl.ConfigError, match="float16"):
        sl.recipes.load("factorization", {"model.table_dtype": "float16"})
