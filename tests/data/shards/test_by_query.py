"""What each query chose, in a file: the same as in memory, for every part and process, and a full disk is told."""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.data.shards import by_query, chosen_by_query


@pytest.fixture
def shards(tmp_path: Path) -> sl.Shards:
    """300 interactions in four shards; user 9 chose nothing."""
    rng = np.random.default_rng(2)
    frame = pl.DataFrame({"user": rng.integers(0, 9, 300), "film": rng.integers(0, 40, 300)})
    frame.write_parquet(tmp_path / "log.parquet")
    options = {"query": "user", "candidate": "film", "block_rows": 16, "piece_rows": 96}
    users = pl.DataFrame({"user": range(10)})
    return sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", queries=users, **options)


def lists(offsets: np.ndarray, values: np.ndarray) -> list[list[int]]:
    return [values[start:stop].tolist() for start, stop in pairwise(offsets)]


def expected(data: sl.Dataset) -> list[list[int]]:
    return [sorted(data.candidate_rows[data.query_rows == query].tolist()) for query in range(10)]


@pytest.mark.parametrize("at_once", [1, 7, 1 << 22])
def test_what_each_query_chose(shards: sl.Shards, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_query, "AT_ONCE", at_once)
    monkeypatch.setattr("shortlist.data.shards.blocks.READ_AT_ONCE", 3)  # so that lists are filled in several steps
    train, _ = shards.split(0.3)
    for part in (shards, train):
        assert lists(*chosen_by_query(part)) == expected(part.to_dataset())
    assert lists(*chosen_by_query(train)) != lists(*chosen_by_query(shards))
    assert not list(shards.folder.glob("tmp*"))


def test_each_process_has_its_own_queries(shards: sl.Shards) -> None:
    parts = [lists(*chosen_by_query(shards, rank, 3)) for rank in range(3)]
    whole = expected(shards.to_dataset())
    assert [parts[query % 3][query] for query in range(10)] == whole
    assert [parts[(query + 1) % 3][query] for query in range(10)] == [[]] * 10


def test_what_some_queries_chose(shards: sl.Shards) -> None:
    data, some = shards.to_dataset(), shards.of_queries(pl.Series([3, 7, 3, 9, 50]))
    kept = np.isin(data.query_rows, [3, 7])
    assert some.query_rows.tolist() == data.query_rows[kept].tolist()
    assert some.candidate_rows.tolist() == data.candidate_rows[kept].tolist()
    assert len(shards.of_queries(pl.Series([50]))) == 0


def test_a_full_disk_is_told(shards: sl.Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(sl.DataError, match="take 1,200 bytes next to the shards"):
        chosen_by_query(shards)
