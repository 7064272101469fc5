"""Everything that is kept in a checked folder, as the fault tests see it: how it is written, and how it is read.

``python -m tests.store.users FOLDER`` writes one of each. ``tests/store/written/`` was made in this way before they shared
the code of ``shortlist.store`` (November 2026), and must stay readable.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache as cache_of
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

import shortlist as sl
from shortlist.data import cache
from shortlist.index import BruteForce, load_index
from shortlist.recommender.bundle import add_metadata
from shortlist.recommender.promotion import promote, promotions
from shortlist.train import checkpoint_files
from shortlist.train.processes import Alone


@dataclass(frozen=True)
class User:
    """write: brings version 1, 2, … into a place, over whatever version is there. read: the version that is there; None or
    an exception of the house where there is none. atomic: a write that ends early leaves the version before; otherwise it may
    leave nothing that can be read, and the next write finishes it. every: of so many calls of the file system one is failed,
    where all of them would take long; fewer than the calls of a file that is written in one step."""

    write: Callable[[Path, int], Any]
    read: Callable[[Path], int | None]
    atomic: bool = True
    every: int = 1


@cache_of
def _recommender(version: int) -> sl.Recommender:
    """ann chose a, bob b; version is a number of the first vector."""
    train = sl.Dataset({"who": ["ann", "bob"], "what": ["a", "b"]}, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(train)
    for tower in (model.query, model.candidate):
        (table,) = tower.tables.values()
        table.weight[:] = torch.tensor([[0.0, 0.5], [1.0, version], [2.0, 1.0]])
    return sl.Recommender(model.eval(), index=sl.BruteForce(), seen=train)


def _write_bundle(place: Path, version: int) -> None:
    _recommender(version).save(place / "bundle", overwrite=True, metadata={"version": version})


def _read_bundle(place: Path) -> int | None:
    return int(sl.Recommender.load(place / "bundle").metadata["version"])


def _write_metadata(place: Path, version: int) -> None:
    if not (place / "bundle").exists():
        _write_bundle(place, 0)
    add_metadata(place / "bundle", {"version": version})


def _write_index(place: Path, version: int) -> None:
    vectors = np.arange(8 * version, dtype=np.float32).reshape(-1, 4) / 8
    BruteForce("int8").build(vectors, np.arange(2 * version) * 3).save(place / "index")


def _read_index(place: Path) -> int | None:
    return load_index(place / "index").size // 2


def _write_shards(place: Path, version: int) -> None:
    source = place / "source.parquet"
    if not source.exists():
        rows = {"who": [1, 2, 3, 1, 2, 3], "what": ["a", "b", "c", "b", "c", "a"], "stars": [1.0, 2.0, 3.0] * 2}
        pl.DataFrame(rows).write_parquet(source)
        os.utime(source, (1, 1))

    def encode(overwrite: bool) -> None:
        sl.Shards.encode(
            source, place / "shards", query="who", candidate="what", weight="stars",
            block_rows=version, piece_rows=4 * version, overwrite=overwrite,
        )  # fmt: skip

    try:
        encode(overwrite=False)
    except sl.DataError as refused:
        if "encoded with other options" not in str(refused):
            raise
        encode(overwrite=True)


def _read_shards(place: Path) -> int | None:
    shards = sl.Shards.load(place / "shards")
    assert sorted(shards.to_dataset().interactions["what"].to_list()) == ["a", "a", "b", "b", "c", "c"]
    return shards.manifest.header.block_rows


def _write_grown(place: Path, version: int) -> None:
    """A log of 8 rows, encoded, which grows by 2 rows with new ids ``version`` times: tables are in several files."""
    days, log = place / "days", place / "log"
    if not days.exists():
        for folder in (days, log):
            folder.mkdir()
        for day, who in enumerate((range(8), range(8, 10), range(10, 12))):
            rows = {"who": list(who), "what": [f"film {one}" for one in who]}
            pl.DataFrame(rows).write_parquet(days / f"{day}.parquet")
            os.utime(days / f"{day}.parquet", (1, 1))
    for day in range(version + 1):
        source = log / f"{day}.parquet"
        if source.exists() and day < version:
            continue
        if not source.exists():
            os.link(days / source.name, source)
        sl.Shards.encode(log, place / "grown", query="who", candidate="what", block_rows=4, piece_rows=4, grow=True)


def _read_grown(place: Path) -> int | None:
    shards = sl.Shards.load(place / "grown")
    rows = len(shards)
    assert shards.queries["who"].to_list() == list(range(rows))
    assert shards.candidates["what"].to_list() == [f"film {one}" for one in range(rows)]
    assert shards.query_counts.tolist() == shards.candidate_counts.tolist() == [1] * rows
    assert sorted(shards.to_dataset().interactions["who"]) == list(range(rows))
    return (rows - 8) // 2


def _write_checkpoint(place: Path, version: int) -> None:
    tensors = {"a": torch.arange(version, dtype=torch.float32), "b": torch.ones((2, 2), dtype=torch.bfloat16)}
    checkpoint_files.write(place / "checkpoints", version, {"version": version}, tensors, 2, Alone())


def _read_checkpoint(place: Path) -> int | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.ShortlistWarning)
        saved = checkpoint_files.newest(place / "checkpoints")
    if saved is None:
        return None
    assert len(saved.tensors["a"]) == saved.header["version"] == saved.step
    return saved.step


def _write_cache(place: Path, version: int) -> None:
    cache.store(place / "cache", {"numbers": pl.DataFrame({"n": [version]}), "texts": pl.DataFrame({"t": ["é", ""]})})


def _read_cache(place: Path) -> int | None:
    tables = cache.load(place / "cache")
    return None if tables is None else int(tables["numbers"]["n"][0])


def _write_promotion(place: Path, version: int) -> None:
    if not (place / "bundle-2").exists():
        for number in (1, 2):
            _recommender(number).save(place / f"bundle-{number}", overwrite=True)
    promote(place / f"bundle-{version}", place / "current")


def _read_promotion(place: Path) -> int | None:
    if not os.path.lexists(place / "current"):
        return None
    (name,) = {promotions(place / "current")[-1].bundle, os.readlink(place / "current")}
    return int(name.removeprefix("bundle-"))


def _write_everyone(place: Path, version: int) -> None:
    _recommender(version).recommend_all(place / f"lists-{version}", 2, vectors=True)


def _read_everyone(place: Path) -> int | None:
    for version in (2, 1):
        folder = place / f"lists-{version}"
        if (folder / "manifest.json").is_file():
            assert pl.read_parquet(folder / "lists-*.parquet").height == 2
            assert pl.read_parquet(folder / "candidates-*.parquet").height == 2
            return version
    return None


USERS = {
    "bundle": User(_write_bundle, _read_bundle),
    "metadata": User(_write_metadata, _read_bundle),
    "index": User(_write_index, _read_index),
    "shards": User(_write_shards, _read_shards, atomic=False),
    "grown": User(_write_grown, _read_grown, every=3),
    "checkpoints": User(_write_checkpoint, _read_checkpoint),
    "cache": User(_write_cache, _read_cache),
    "promotion": User(_write_promotion, _read_promotion),
    "lists": User(_write_everyone, _read_everyone),
}

if __name__ == "__main__":
    for name, user in USERS.items():
        (Path(sys.argv[1]) / name).mkdir(parents=True)
        user.write(Path(sys.argv[1]) / name, 1)
