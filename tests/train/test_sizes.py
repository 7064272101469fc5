"""The parts of a run that is about to begin, worked by hand."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.index import BruteForce
from shortlist.train.sizes import index_of, sizes_of

CPU = torch.device("cpu")
FRAME = pl.DataFrame({"reader": [1, 1, 2, 3], "book": [5, 6, 5, 5]})  # 3 readers, 2 books


def towers(**options: object) -> sl.TwoTower:
    return sl.TwoTower(*(sl.Tower(sl.IntegerLookup(name), dim=4, **options) for name in ("reader", "book")))


def test_the_parts_of_a_run_in_memory() -> None:
    """4 + 3 rows of 4 numbers, 112 bytes, and as much state; vectors without the rows of unknown ids, 48 and 32 bytes."""
    data = sl.Dataset(FRAME, "reader", "book")
    sizes = sizes_of(towers(), data, sl.Adagrad(), CPU, 1, BruteForce())
    index = index_of(2, 4, BruteForce(), False)[1] * 2
    assert (sizes.weights, sizes.optimizer, sizes.vectors, sizes.index) == (112, 112, 80, index)
    assert sizes.stored == 112 + 48 + index  # tables are not stored again
    assert sizes.interactions == 4 * (2 * 16 + 40)
    assert (sizes.shards, sizes.elsewhere) == (0, 0)
    assert sizes.ids == 5 * (8 + 3 * 8 + 12 + 9)
    long = sizes_of(towers(normalize=True), data, sl.Adagrad(), CPU, 1, BruteForce())
    assert long.stored == sizes.stored + 112
    guessed = sizes_of(towers(), data, None, CPU, 1, guess=True)
    assert (guessed.optimizer, guessed.index) == (0, 8 * 32)


def test_what_is_not_in_memory(tmp_path: Path) -> None:
    data = sl.Dataset(FRAME, "reader", "book")
    in_files = sizes_of(towers(table_folder=str(tmp_path)), data, sl.Adagrad(), CPU, 1, BruteForce())
    on_gpu = sizes_of(towers(), data, sl.Adagrad(), torch.device("cuda"), 1, BruteForce())
    assert (in_files.elsewhere, on_gpu.elsewhere) == (224, 224)
    halves = sizes_of(towers(table_dtype="bfloat16"), data, sl.SGD(), CPU, 1, BruteForce())
    assert (halves.weights, halves.vectors) == (56, 40)


def test_a_sample_of_a_log_has_its_rows_and_at_least_so_many_ids() -> None:
    """A thousand rows, of at least 10 readers and 4 books; none of them may occur twice."""
    data, ids = sl.Dataset(FRAME, "reader", "book"), {"reader": 10, "book": 4}
    sizes = sizes_of(towers(), data, sl.SGD(), CPU, 1, guess=True, rows=1000, ids=ids)
    assert sizes.weights == (11 + 5) * 16
    assert sizes.shards == 8 * 1000
    assert sizes.interactions == 1000 * (4 * 8 + 8)
    rare = sl.TwoTower(
        sl.Tower(sl.IntegerLookup("reader", min_count=2), dim=4), sl.Tower(sl.IntegerLookup("book"), dim=4)
    )
    assert sizes_of(rare, data, sl.SGD(), CPU, 1, guess=True, rows=1000, ids=ids).weights == (1 + 5) * 16


@pytest.mark.parametrize("from_disk", [False, True])
def test_a_bundle_takes_what_was_said(from_disk: bool, tmp_path: Path) -> None:
    """Within a tenth, of tables that are most of it."""
    frame = pl.DataFrame({"reader": range(3000), "book": [number % 500 for number in range(3000)]})
    frame.write_parquet(tmp_path / "log.parquet")
    data: sl.Dataset | sl.Shards = sl.Dataset(frame, "reader", "book")
    if from_disk:
        data = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", query="reader", candidate="book")
    model = sl.TwoTower(*(sl.Tower(sl.IntegerLookup(name), dim=64) for name in ("reader", "book")))
    sizes = sizes_of(model, data, sl.Adagrad(), CPU, 1, BruteForce())
    sl.fit(model, data, epochs=1)
    sl.Recommender(model, index=BruteForce()).save(tmp_path / "my.shortlist")
    taken = sum(file.stat().st_size for file in (tmp_path / "my.shortlist").rglob("*") if file.is_file())
    assert sizes.stored == pytest.approx(taken, rel=0.1)
