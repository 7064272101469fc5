"""The account of what was read says how many files it came from, in memory and from disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.language import shown, speaking

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


@pytest.mark.parametrize(
    ("times", "words", "korean"),
    [
        (pl.Series([1_700_000_000]), "numbers", "수"),
        (pl.Series([1_700_000_000.5]), "numbers", "수"),
        (pl.Series(["2024-01-31"]), "dates and times", "날짜와 시각"),
        (pl.Series(["2024-01-31"]).str.to_date(), "dates", "날짜"),
        (pl.Series(["2024-01-31 10:00:00"]), "dates and times", "날짜와 시각"),
        (pl.Series(["2024-01-31T10:00:00Z"]), "dates and times in UTC", "날짜와 시각, 시간대 UTC"),
        (
            pl.Series(["2024-01-31 10:00"]).str.to_datetime().dt.replace_time_zone("Asia/Seoul"),
            "dates and times in Asia/Seoul",
            "날짜와 시각, 시간대 Asia/Seoul",
        ),
    ],
)
def test_times_are_named_in_words(times: pl.Series, words: str, korean: str, tmp_path: Path) -> None:
    """No names of Polars' types, in memory and from disk."""
    table = A.with_columns(times.alias("at"))
    table.write_parquet(tmp_path / "log.parquet")
    shards = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", query="u", candidate="i", timestamp="at")
    for account in (sl.Dataset(table, "u", "i", timestamp="at").account, shards.account):
        assert account.lines()[1].endswith(f"({words})")
        with speaking("ko"):
            assert shown(account.lines()[1]).endswith(f"({korean})")
