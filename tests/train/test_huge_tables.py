"""Tables for huge vocabularies: one accumulator a row, bfloat16 with stochastic rounding, files in place of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.model.camps import camps, tables, towers

import shortlist as sl
from shortlist.model import EmbeddingTable
from shortlist.model.storage import TableStorage
from shortlist.train.optimizers import Updater


def trained(optimizer: object = None, epochs: int = 30, **options: object) -> tuple[sl.TwoTower, sl.TrainingHistory]:
    model = towers(**options)
    history = sl.fit(model, camps(), optimizer=optimizer or sl.Adagrad(0.1), epochs=epochs, batch_size=16)  # type: ignore[arg-type]
    return model, history


def test_row_wise_adagrad_learns_with_one_number_a_row() -> None:
    model, history = trained(sl.RowwiseAdagrad(0.1))
    assert history[-1].loss < 0.7 * history[0].loss
    updater = Updater(sl.RowwiseAdagrad(0.1), model)
    assert [tuple(slot.shape) for slots in updater.table_slots for slot in slots] == [(21, 1), (5, 1)]
    recipe = sl.recipes.load("factorization", {"optimizer": {"name": "RowwiseAdagrad", "learning_rate": 0.05}})
    assert recipe.build_optimizer() == sl.RowwiseAdagrad(0.05)
    with pytest.raises(sl.ConfigError, match="RowwiseAdagrad got learning_rate"):
        sl.RowwiseAdagrad(0)


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


def test_a_recipe_asks_for_them(tmp_path: Path) -> None:
    changes = {"model.table_dtype": "bfloat16", "model.table_folder": str(tmp_path), "fit.epochs": 1}
    model, _ = sl.recipes.load("factorization", changes).train(camps())
    assert {(table.storage.dtype, table.storage.folder) for table in tables(model)} == {("bfloat16", str(tmp_path))}
    with pytest.raises(sl.ConfigError, match="float16"):
        sl.recipes.load("factorization", {"model.table_dtype": "float16"})
