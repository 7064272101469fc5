"""Which index suits a catalogue on this machine, and why."""

from __future__ import annotations

from shortlist.index.brute_force import BruteForce
from shortlist.index.contract import Index

__all__ = ["choose_index"]


def choose_index(n: int, dim: int) -> tuple[Index, str]:
    """An unbuilt index for ``n`` candidates of ``dim`` numbers, and a sentence for the user that says why."""
    return BruteForce(), f"exact search: {n:,} candidates are few enough to score every one."
