"""The public tables: where each comes from, how it is split, and by what it is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

import shortlist as sl

__all__ = ["TABLES", "Table"]


@dataclass(frozen=True)
class Table:
    """what: for the page. load: training and test part, over the same catalogue. measures: metric and cut-off, seen items
    excluded. bars, aims: by measure."""

    what: str
    load: Callable[[Path | None], tuple[sl.Dataset, sl.Dataset]]
    measures: tuple[tuple[str, int], ...]
    bars: tuple[float, ...]
    aims: tuple[float, ...]


def _given(name: str) -> Callable[[Path | None], tuple[sl.Dataset, sl.Dataset]]:
    """A table whose split comes with it: ``train.parquet`` and ``test.parquet`` with user and item."""

    def load(folder: Path | None) -> tuple[sl.Dataset, sl.Dataset]:
        parts = [_read(folder, f"{name}/{part}.parquet").select("user", "item") for part in ("train", "test")]
        return sl.Dataset(parts[0], "user", "item"), sl.Dataset(parts[1], "user", "item")

    return load


def _amazon(name: str) -> Callable[[Path | None], tuple[sl.Dataset, sl.Dataset]]:
    """The last item of each user is the test part; positions are the times."""

    def load(folder: Path | None) -> tuple[sl.Dataset, sl.Dataset]:
        table = _read(folder, f"amazon/{name}.parquet")
        train, test = sl.split_last(sl.Dataset(table, "user", "item", timestamp="position"))
        return _alone(train), _alone(test)

    return load


def _movielens(folder: Path | None) -> tuple[sl.Dataset, sl.Dataset]:
    """80/20 at random, seed 42, without the times: the rows are in no order."""
    data = sl.datasets.movielens("100k")
    train, test = sl.split_random(data, test=0.2, seed=42)
    return tuple(
        sl.Dataset(one.interactions.select("user_id", "movie_title"), "user_id", "movie_title") for one in (train, test)
    )  # type: ignore[return-value]


def _alone(part: sl.Dataset) -> sl.Dataset:
    return sl.Dataset(part.interactions, part.query, part.candidate, timestamp=part.timestamp)


def _read(folder: Path | None, name: str) -> pl.DataFrame:
    if folder is None or not (folder / name).is_file():
        raise sl.ConfigError(f"there is no {name!r} in {str(folder)!r}.", hint="--data-dir DIR")
    return pl.read_parquet(folder / name)


R10, R20 = (("recall", 10),), (("recall", 20),)
TABLES = {
    "ml-100k": Table(
        "MovieLens-100k, 80/20 at random", _movielens, (("top", 10), ("top", 100)), (0.172, 0.630), (0.180, 0.640)
    ),
    "lastfm": Table("Last.fm (HetRec 2011), 80/20 at random", _given("lastfm"), R10, (0.200,), (0.215,)),
    "steam": Table("Steam, 80/20 at random, new users counted", _given("steam"), R10, (0.520,), (0.545,)),
    "beauty": Table("Amazon Beauty, the last item of each user", _amazon("beauty"), R10, (0.097,), (0.100,)),
    "toys": Table("Amazon Toys, the last item of each user", _amazon("toys_and_games"), R10, (0.108,), (0.113,)),
    "amazon-book": Table("Amazon-Book, the split of KGAT", _given("amazon-book"), R20, (0.170,), (0.180,)),
}
