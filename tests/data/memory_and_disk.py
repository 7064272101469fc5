"""A log read into memory, and from disk."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import polars as pl

import shortlist as sl
from shortlist.data.events import Events
from shortlist.errors import ShortlistWarning


def in_memory(log: pl.DataFrame, tmp_path: Path, events: Events | None) -> sl.Dataset:
    return sl.Dataset(log, "who", "what", "at", events=events)


def from_disk(log: pl.DataFrame, tmp_path: Path, events: Events | None) -> sl.Dataset:
    half = log.height // 2
    (tmp_path / "log").mkdir()
    log[:half].write_parquet(tmp_path / "log" / "a.parquet")
    log[half:].write_parquet(tmp_path / "log" / "b.parquet")
    shards = sl.Shards.encode(
        tmp_path / "log", tmp_path / "shards",
        query="who", candidate="what", timestamp="at", events=events, block_rows=2, piece_rows=2,
    )  # fmt: skip
    assert len(shards) == len(shards.to_dataset())
    assert shards.account.to_dict() | {"files": None, "notes": None, "warnings": None} == shards.to_dataset().account.to_dict() | {
        "files": None, "notes": None, "warnings": None, "times": shards.account.times,
    }  # fmt: skip
    return shards.to_dataset()


def told(read: Any, log: pl.DataFrame, tmp_path: Path, events: Events | None = None) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(log, tmp_path, events)
    assert len(caught) == len({str(one.message) for one in caught})  # once, not twice
    assert all(issubclass(one.category, ShortlistWarning) for one in caught)
    return [str(one.message) for one in caught]
