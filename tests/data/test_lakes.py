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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("made", "name"), [(delta, "Delta"), (iceberg, "Iceberg")])
def test_files_of_a_lake_are_refused_without_it(way: str, made: Any, name: str, tmp_path: Path) -> None:
    """By a pattern over them, or as a part of the table: files that the table no longer has would be read too."""
    path = made(tmp_path)
    files = "*.parquet" if name == "Delta" else "data/*.parquet"
    for place in (path / files, path.parent / "*" / files, tmp_path / "**" / "*.parquet"):
        with pytest.raises(sl.DataError, match=f"has files of the {name} table '{path}'.*\n.*name that folder itself"):
            rows(way, place, {}, {})


@pytest.mark.parametrize("way", WAYS)
def test_a_partition_of_a_lake_is_refused_without_it(way: str, tmp_path: Path) -> None:
    (tmp_path / "log" / "_delta_log").mkdir(parents=True)
    (tmp_path / "log" / "day=1").mkdir()
    FIRST.write_parquet(tmp_path / "log" / "day=1" / "x.parquet")
    for place in (tmp_path / "log" / "day=1", tmp_path / "log" / "day=*", tmp_path / "log" / "*" / "x.parquet"):
        with pytest.raises(sl.DataError, match=r"files of the Delta table|table with a log of its own"):
            rows(way, place, {}, {})
    assert rows(way, tmp_path / "log" / "day=1" / "x.parquet", {}, {}) == [("a", 1), ("b", 2)]  # one file, named itself


def test_an_iceberg_table_below_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lake" / "log" / "metadata").mkdir(parents=True)
    (tmp_path / "lake" / "log" / "metadata" / "v1.metadata.json").touch()
    (tmp_path / "lake" / "log" / "data").mkdir()
    FIRST.write_parquet(tmp_path / "lake" / "log" / "data" / "x.parquet")
    with pytest.raises(sl.DataError, match="files of the Iceberg table"):
        sl.Dataset(tmp_path / "lake", "u", "i")


def test_metadata_of_something_else_is_no_lake(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "v1.metadata.json").touch()
    (tmp_path / "log").mkdir()
    FIRST.write_parquet(tmp_path / "log" / "x.parquet")
    assert len(sl.Dataset(tmp_path / "log" / "*.parquet", "u", "i")) == 2


def test_files_of_a_lake_in_a_store_are_refused_without_it() -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for name, log in (("delta", "_delta_log/0.json"), ("iceberg", "metadata/v1.metadata.json")):
        store.pipe(f"/lakes/{name}/{log}", b"{}")
        store.pipe(f"/lakes/{name}/data/x.csv", b"u,i\n1,2\n")
    with pytest.raises(sl.DataError, match="files of the Delta table '/lakes/delta'"):
        sl.Dataset("memory://lakes/delta/data/*.csv", "u", "i")
    with pytest.raises(sl.DataError, match="is an Iceberg table in an object store"):
        sl.Dataset("memory://lakes/iceberg", "u", "i")
