"""What exact search makes of few candidates, where its blocks are small."""

from __future__ import annotations

import pytest

from shortlist.index import exact, few, pruning, top


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that a few hundred candidates go through every one of the ways."""
    monkeypatch.setattr(few, "_MORE", 0)  # the library has another way
    monkeypatch.setattr(exact, "_PAIRS", 50)
    monkeypatch.setattr(top, "_ROWS", 7)
    monkeypatch.setattr(top, "_SMALL", 100)
    monkeypatch.setattr(top, "_FEW", 100)
    monkeypatch.setattr(top, "_SCORES", 300)
    monkeypatch.setattr(top, "_VECTOR", 16 * 4)
    monkeypatch.setattr(top, "_PRODUCT", 16 * 3 * 4)
    monkeypatch.setattr(pruning, "_WIDE", 3)
    monkeypatch.setattr(pruning, "_TILE", 200)
    monkeypatch.setattr(pruning, "_LINE", 64)
    monkeypatch.setattr(pruning, "_PRODUCT", 16 * 3 * 4)
    monkeypatch.setattr(pruning, "_VECTOR", 16 * 4)
    monkeypatch.setattr(pruning, "_GROUPS", 4)
    monkeypatch.setattr(pruning, "_SAMPLE", 32)
    monkeypatch.setattr(pruning, "_BUDGET", 40)
    monkeypatch.setattr(pruning, "_THREADED", 1)
    monkeypatch.setattr(pruning, "threads_here", lambda: 3)
