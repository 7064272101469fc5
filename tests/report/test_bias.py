"""Shares by popularity, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shortlist.report.bias import by_popularity


def test_shares_by_popularity() -> None:
    """Counts 4 3 2 1 in a catalogue of four: each candidate is a part, the most popular first."""
    rows = by_popularity(np.array([1, 4, 2, 3]), np.array([0, 3, 0, 1]), np.array([1, 1, 0, 0]))
    assert [row["part"] for row in rows] == [1, 2, 3, 4]
    assert [row["training"] for row in rows] == pytest.approx([4 / 10, 3 / 10, 2 / 10, 1 / 10])
    assert [row["recommended"] for row in rows] == pytest.approx([3 / 4, 1 / 4, 0, 0])
    assert [row["held_out"] for row in rows] == pytest.approx([1 / 2, 0, 0, 1 / 2])
    twelve = by_popularity(np.arange(12), np.zeros(12, np.int64))
    assert [row["candidates"] for row in twelve] == [2, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert "held_out" not in twelve[0]
