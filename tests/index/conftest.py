"""What exact search makes of few candidates, where its blocks are small."""

from __future__ import annotations

import pytest

from shortlist.index import exact, sieve, top


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that a few hundred candidates go through every one of the ways."""
    monkeypatch.setattr(exact, "_PAIRS", 50)
    monkeypatch.setattr(top, "_ROWS", 7)
    monkeypatch.setattr(top, "_SMALL", 100)
    monkeypatch.setattr(top, "_VECTOR", 16 * 4)
    monkeypatch.setattr(sieve, "_WIDE", 3)
    monkeypatch.setattr(sieve, "_TILE", 200)
    monkeypatch.setattr(sieve, "_LINE", 64)
    monkeypatch.setattr(sieve, "_PRODUCT", 16 * 3 * 4)
    monkeypatch.setattr(sieve, "_VECTOR", 16 * 4)
    monkeypatch.setattr(sieve, "_GROUPS", 4)
    monkeypatch.setattr(sieve, "_SAMPLE", 32)
    monkeypatch.setattr(sieve, "_BUDGET", 40)
    monkeypatch.setattr(sieve, "_THREADED", 1)
    monkeypatch.setattr(sieve, "threads_here", lambda: 3)
