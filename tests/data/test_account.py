"""The account of what was read says how many files it came from, in memory and from disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import shortlist as sl

A, B = pl.DataFrame({"u": ["a"], "i": [1]}), pl.DataFrame({"u": ["b"], "i": [2]})


def test_files_are_counted_in_memory_and_from_disk(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    A.write_parquet(folder / "a.parquet")
    B.write_parquet(folder / "b.parquet")
    (folder / "c.parquet").touch()  # empty: left out
    data = sl.Dataset(folder, "u", "i")
    shards = sl.Shards.encode(folder, tmp_path / "shards", query="u", candidate="i")
    assert data.account.files == shards.account.files == 2
    assert data.account.lines()[0] == "2 interactions from 2 files, 2 queries, 2 candidates"
    train, _ = sl.split_random(data, test=0.5)
    assert train.account.lines()[0] == "1 interaction from 2 files, 2 queries, 2 candidates"
    assert sl.Dataset(A, "u", "i").account.files is None
