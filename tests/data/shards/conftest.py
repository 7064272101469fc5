"""A log in three Parquet files, and what a Dataset makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest


def log(rows: int = 1000, seed: int = 0) -> pl.DataFrame:
    """Interactions sorted by user, as logs often are; user ids are strings, films integers."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(0, 60, rows))
    return pl.DataFrame(
        {
            "user": [f"u{number}" for number in user],
            "film": (rng.zipf(1.4, rows) % 40) * 7 + 100,
            "when": rng.integers(0, 500, rows),
            "stars": rng.integers(1, 6, rows).astype(np.float64),
            "unused": rng.random(rows),
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of 400, 350 and 250 rows, one of them in a folder of its own."""
    frame = log()
    place = tmp_path / "log"
    (place / "month=2").mkdir(parents=True)
    for name, start, rows in (("a.parquet", 0, 400), ("b.parquet", 400, 350), ("month=2/c.parquet", 750, 250)):
        frame.slice(start, rows).write_parquet(place / name)
    return place
