"""Delta and Iceberg tables are read as tables: what was removed is gone, what was added is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.data.four_ways import WAYS, rows

import shortlist as sl

FIRST = pl.DataFrame({"u": ["a", "b"], "i": [1, 2]})
SECOND = pl.DataFrame({"u": ["c"], "i": [3]})


def delta(folder: Path) -> Path:
    """Two rows, of which one was deleted, and one that was added later."""
    deltalake = pytest.importorskip("deltalake")
    path = folder / "delta"
    FIRST.write_delta(str(path))
    deltalake.DeltaTable(str(path)).delete("u = 'a'")
    SECOND.write_delta(str(path), mode="append")
    return path


def iceberg(folder: Path) -> Path:
    """The same."""
    pytest.importorskip("pyiceberg")
    pyarrow = pytest.importorskip("pyarrow")
    catalog = pytest.importorskip("pyiceberg.catalog.memory").InMemoryCatalog("test", warehouse=str(folder))
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.log", schema=pyarrow.table(FIRST.to_dict(as_series=False)).schema)
    table.append(pyarrow.table(FIRST.to_dict(as_series=False)))
    table.overwrite(pyarrow.table({"u": ["b", "c"], "i": [2, 3]}))
    return folder / "shop" / "log"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("made", [delta, iceberg])
def test_a_lake_is_read_as_a_table(way: str, made: Any, tmp_path: Path) -> None:
    assert rows(way, made(tmp_path), {}, {}) == [("b", 2), ("c", 3)]


@pytest.mark.parametrize(("made", "package"), [(delta, "deltalake"), (iceberg, "pyiceberg")])
def test_without_its_package_a_lake_is_refused_by_name(
    made: Any, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path)
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else real(name, *more))
    for way in WAYS:
        with pytest.raises(sl.MissingExtraError, match=r"(Delta|Iceberg) table .*\n.*shortlist\[lakes\]"):
            rows(way, path, {}, {})


@pytest.mark.parametrize("way", WAYS)
def test_a_torn_log_is_refused_by_name(way: str, tmp_path: Path) -> None:
    pytest.importorskip("deltalake")
    (tmp_path / "log" / "_delta_log").mkdir(parents=True)
    FIRST.write_parquet(tmp_path / "log" / "x.parquet")
    with pytest.raises(sl.DataError, match="is a Delta table whose log could not be read"):
        rows(way, tmp_path / "log", {}, {})


def test_a_delta_table_that_grows_is_read_as_it_was(tmp_path: Path) -> None:
    path = delta(tmp_path)

    def grow(done: int, total: int) -> None:
        FIRST.write_delta(str(path), mode="append")

    where: dict[str, Any] = {"query": "u", "candidate": "i", "block_rows": 1, "piece_rows": 1}
    shards = sl.Shards.encode(path, tmp_path / "shards", on_piece=grow, **where)
    assert sorted(shards.to_dataset().interactions.rows()) == [("b", 2), ("c", 3)]


@pytest.mark.parametrize("way", WAYS)
def test_a_lake_below_a_folder_is_refused(way: str, tmp_path: Path) -> None:
    (tmp_path / "lake" / "log" / "_delta_log").mkdir(parents=True)
    FIRST.write_parquet(tmp_path / "lake" / "log" / "x.parquet")
    with pytest.raises(sl.DataError, match="holds a table with a log of its own, 'log'"):
        rows(way, tmp_path / "lake", {}, {})


def test_a_hudi_table_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "log" / ".hoodie").mkdir(parents=True)
    FIRST.write_parquet(tmp_path / "log" / "x.parquet")
    with pytest.raises(sl.DataError, match="is a Hudi table"):
        sl.Dataset(tmp_path / "log", "u", "i")
