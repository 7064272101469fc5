"""A query's rows are those of the tables that it names."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.cli.main import cli

duckdb = pytest.importorskip("duckdb")


def shop(folder: Path) -> Path:
    path = folder / "shop.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("create table log as select * from (values ('ann', 1), ('bob', 2), ('bob', 3)) rows(u, i)")
    return path


def test_a_query_over_a_database(tmp_path: Path) -> None:
    frame = sl.read_sql("select u, i from log where i < 3 order by i;", shop(tmp_path))
    assert frame.rows() == [("ann", 1), ("bob", 2)]
    assert sl.Dataset(frame, "u", "i").queries["u"].to_list() == ["ann", "bob"]


def test_a_query_over_files(tmp_path: Path) -> None:
    pl.DataFrame({"u": [7], "i": [8]}).write_parquet(tmp_path / "a.parquet")
    assert sl.read_sql(f"select i, u from '{tmp_path}/*.parquet' -- all of them").rows() == [(8, 7)]


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sl.DataError, match=r"'no\.duckdb' does not exist"):
        sl.read_sql("select 1", "no.duckdb")
    with pytest.raises(sl.DataError, match=r"'no\.db' does not exist"):
        sl.read_sql("select 1", "sqlite:no.db")
    with pytest.raises(sl.DataError, match=r"the query could not be run: .*nowhere"):
        sl.read_sql("select * from nowhere", shop(tmp_path))
    with pytest.raises(sl.DataError, match="the query could not be run"):
        sl.read_sql("drop table log", tmp_path / "shop.duckdb")


def test_without_duckdb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(sl.MissingExtraError, match=r"shortlist\[sql\]"):
        sl.read_sql("select 1")


def test_a_query_takes_the_place_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[pl.DataFrame] = []

    class ReadError(Exception):
        pass

    def taken(path: str, *others: object, **named: object) -> None:
        found.append(pl.read_parquet(path))
        raise ReadError

    monkeypatch.setattr("shortlist.cli.training.training_data", taken)
    words = ["train", "--query", "u", "--candidate", "i", "--out", str(tmp_path / "m")]
    with pytest.raises(ReadError):
        cli.main([*words, "--sql", "select * from log", "--connect", str(shop(tmp_path))], standalone_mode=False)
    assert sorted(found[0].rows()) == [("ann", 1), ("bob", 2), ("bob", 3)]
    with pytest.raises(sl.ConfigError, match="--connect was given without --sql"):
        cli.main([*words, "x.csv", "--connect", "shop.duckdb"], standalone_mode=False)
    with pytest.raises(sl.ConfigError, match=r"--sql was given with INTERACTIONS \('x\.csv'\)"):
        cli.main([*words, "x.csv", "--sql", "select 1"], standalone_mode=False)
    with pytest.raises(Exception, match="Missing argument 'INTERACTIONS'"):
        cli.main(words, standalone_mode=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(sl.ConfigError, match="--sql does not support several processes"):
        cli.main([*words, "--sql", "select 1"], standalone_mode=False)
