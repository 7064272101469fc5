"""Cells of a pool, read in blocks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shortlist.recommender import pool_cells


def test_cells_of_a_large_pool_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_cells, "BLOCK", 4)
    monkeypatch.setattr(pool_cells, "BLOCKS", 3)
    table = pl.DataFrame({"a": [one * one for one in range(30)], "b": [[one] for one in range(30)]})
    rows = np.arange(29, -1, -1)
    cells = pool_cells.PoolCells(table, rows)
    for at in (0, 29, 3, 4, 17, 0):
        assert cells.value("a", at) == (29 - at) ** 2
        assert cells.value("b", at) == [29 - at]
        assert len(cells._blocks) <= 3  # of four values each
