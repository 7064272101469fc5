"""A log to forecast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

COLUMNS = {"query": "user_id", "candidate": "item_id"}
ROWS = 60_000


def ids(kind: str) -> np.ndarray:
    rng = np.random.default_rng(7)
    if kind == "even":
        return rng.integers(0, 4000, ROWS)
    if kind == "sorted":
        return np.sort(rng.integers(0, 4000, ROWS))
    if kind == "few":
        return rng.integers(0, 50, ROWS)
    return rng.zipf(1.3, ROWS) % 1_000_000


def written(place: Path) -> Path:
    """Three files of the log, in the folder ``place``."""
    place.mkdir()
    frame = pl.DataFrame({"user_id": ids("sorted"), "item_id": [f"item {number}" for number in ids("zipf").tolist()]})
    for part in range(3):
        frame.slice(part * 20_000, 20_000).write_parquet(place / f"{part}.parquet")
    return place
