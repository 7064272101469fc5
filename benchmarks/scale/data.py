"""Synthetic logs: a few items chosen by many, most by few; users in no order."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl

PLACE = Path(__file__).parents[1] / "data"
FILE_ROWS = 10_000_000
COLUMNS = {"query": "user_id", "candidate": "item_id"}


def log(rows: int, users: int, items: int) -> Path:
    """Returns a folder of Parquet files; writes it where it is not there. Item j is drawn with a density of j^-0.6."""
    folder = PLACE / f"log-{rows}-{users}-{items}"
    if (folder / "done").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        rng = np.random.default_rng([rows, users, items, number])
        count = min(FILE_ROWS, rows - start)
        user = (rng.random(count, dtype=np.float32).astype(np.float64) + rng.random(count) * 2**-24) * users
        item = rng.random(count) ** 2.5 * items
        frame = pl.DataFrame({"user_id": user.astype(np.int64) + 1_000, "item_id": item.astype(np.int64) + 10**9})
        frame.write_parquet(folder / f"{number:03}.parquet", compression="lz4", statistics=False)
    (folder / "done").touch()
    return folder
